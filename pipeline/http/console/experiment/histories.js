// Histories: intervals that close over the looks, and the units that came in.

/** @import { Cell, Columns, Look } from "#api" */
/** @import { Line } from "../parts/chart.js" */
/** @import { Curve } from "./columns.js" */
/** @import { Told } from "../flag/definition.js" */
/** @import { Maybe } from "../parts/numbers.js" */
/** @import { Happening } from "./happenings.js" */
/** @import { Choice, Choose } from "./choice.js" */

import { get } from "../api.js";
import { h } from "../dom.js";
import { Chart, Numbers } from "../parts/chart.js";
import { term } from "../parts/meanings.js";
import { count, difference, interval, lift, moment } from "../parts/numbers.js";
import { vocabulary } from "../parts/vocabulary.js";
import { standing } from "../parts/words.js";
import { ownZone } from "../parts/zones.js";
import { appended, BEYOND, curve, cut, entries, firstUnit, inLine, rows } from "./columns.js";
import { shown } from "./comparisons.js";
import { happeningList } from "./happenings.js";

const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3]]; // lines told apart without colour
const TONES = ["--ink", "--open", "--warn", "--good"];
const AGAIN_MS = 10_000; // after which a history that could not be had is asked for again
const MOST = 1_000; // points, then the server's thinned ones are taken again

/**
 * @typedef {{
 *   cell: Cell,
 *   curve: Curve | null,
 *   units: Columns[],
 *   write: (value: number) => string,
 *   marks: Happening[],
 * }} Wanted
 */

/** The two charts of an experiment at `path`; they read a history once and go on with the looks that arrive. */
export class Histories {
  /** @type {Map<string, Columns | null>} */
  #known = new Map(); // by address; null while they are read
  /** @type {{ of: string, intervals: Chart, units: Chart } | null} */
  #charts = null;
  /** @type {Wanted | null} */
  #wanted = null; // what the charts show

  /** @param {string} path @param {() => void} redraw */
  constructor(path, redraw) {
    this.path = path;
    this.redraw = redraw;
  }

  /** @param {Look} look */
  take(look) {
    for (const cell of look.cells) {
      const at = this.#address(look.run, cell, cell.reading);
      const columns = this.#known.get(at);
      if (!columns || (columns.look.at(-1) ?? 0) >= look.look) continue;
      if (columns.look.length > MOST) this.#known.delete(at);
      else this.#known.set(at, appended(columns, look, cell));
    }
  }

  /** @param {Told} flag @param {Look} look @param {Choice} choice @param {Choose} choose @param {Happening[]} marks What
   *   happened meanwhile. */
  view(flag, look, choice, choose, marks) {
    const everybody = look.cells.filter((cell) => cell.segment === vocabulary.everyone);
    const segments = [...new Set(look.cells.map((cell) => cell.segment))];
    const segment = segments.find((each) => each === choice.segment) ?? vocabulary.everyone;
    const cells = shown(
      look.cells.filter((cell) => cell.segment === segment),
      choice.reading,
    );
    const cell = chosen(flag, cells, choice);
    if (!cell) return null;
    const isAbsolute = choice.absolute && cell.method !== "exact";
    const asShare = flag.conversions.includes(cell.metric);
    const columns = this.#columns(look, cell, cell.reading);
    const live = everybody.filter((each) => each.metric === everybody[0]?.metric && each.reading === "live");
    const units = live.map((each) => this.#columns(look, each, "live"));
    const known = units.filter((each) => each !== null);
    this.#wanted = {
      cell,
      curve: columns && curve(columns, isAbsolute),
      units: known.length === units.length ? known : [],
      write: isAbsolute ? (value) => difference(value, asShare) : lift,
      marks,
    };
    const arms = [flag.control, ...new Set(live.map((each) => each.variant))];
    const charts = this.#chartsOf(arms);
    return [
      this.#closing(charts.intervals, this.#wanted, cells, segments, isAbsolute, choose),
      this.#entries(charts.units, this.#wanted.units, arms),
    ];
  }

  draw() {
    if (!this.#wanted || !this.#charts) return;
    const {
      curve,
      units: [first, ...others],
      marks,
    } = this.#wanted;
    const { intervals, units } = this.#charts;
    const entered = first && entries(first, others);
    const [from, to] = ends(first ?? curve?.columns);
    const breadth = Math.max(curve ? intervals.breadth(curve.drawn) : 0, entered ? units.breadth(entered) : 0);
    const frame = { from, to, breadth, marks: marks.map(({ time, until }) => ({ time, until })) };
    if (curve) intervals.draw(curve.drawn, frame);
    if (entered) units.draw(entered, frame);
  }

  /** @param {string} run @param {Cell} cell @param {Cell["reading"]} reading */
  #address(run, { metric, variant, segment }, reading) {
    const asked = { run, metric, variant, reading, segment };
    return `${this.path}/results/history?${new URLSearchParams(asked)}`;
  }

  /** A cell's columns up to a look; null while they are read.
   * @param {Look} look @param {Cell} cell @param {Cell["reading"]} reading */
  #columns(look, cell, reading) {
    const at = this.#address(look.run, cell, reading);
    if (!this.#known.has(at)) this.#read(at);
    const columns = this.#known.get(at);
    return columns ? cut(columns, look.look) : null;
  }

  /** @param {string} address */
  async #read(address) {
    this.#known.set(address, null);
    try {
      this.#known.set(address, await get(address));
      this.redraw();
    } catch {
      setTimeout(() => this.#known.delete(address), AGAIN_MS);
    }
  }

  /** @param {string[]} arms */
  #chartsOf(arms) {
    const of = arms.join();
    if (this.#charts?.of === of) return this.#charts;
    const wanted = () => /** @type {Wanted} */ (this.#wanted);
    this.#charts = { of, intervals: intervalChart(wanted), units: unitChart(arms, () => wanted().units) };
    return this.#charts;
  }

  /** @param {Chart} chart @param {Wanted} wanted @param {Cell[]} cells @param {string[]} segments @param {boolean} isAbsolute
   * @param {Choose} choose */
  #closing(chart, { cell, curve, write, marks }, cells, segments, isAbsolute, choose) {
    const heads = [
      "look",
      `as of (${ownZone()})`,
      "units",
      "estimate",
      "interval",
      "p",
      "this look’s interval",
      "its p",
    ];
    return h(
      "section",
      { "aria-labelledby": "closing" },
      h(
        "div",
        { class: "head" },
        h("h2", { id: "closing" }, "How the interval closes"),
        comparisons(cell, cells, segments, choose),
      ),
      cell.status !== "ok" &&
        h("p", null, h("small", { class: "warn" }, `! ${cell.metric} at this look: ${standing(cell)}`)),
      chart.place(),
      h(
        "p",
        { class: "quiet legend" },
        isAbsolute ? term("Cell.estimate", "Difference") : term("Cell.relative_estimate", "Lift"),
        ` of ${cell.variant} on ${cell.metric}, ${cell.reading} units${of(cell.segment)}. Edged band: what all looks so far say together; faint band: each look alone; line: the estimate. Where the edged band leaves 0, a difference is shown.`,
      ),
      happeningList(marks),
      curve && h(Numbers, { id: "numbers-intervals", heads, rows: () => rows(curve, write) }),
    );
  }

  /** @param {Chart} chart @param {Columns[]} units @param {string[]} arms */
  #entries(chart, units, arms) {
    const [first] = units;
    if (!first) return null;
    const row = (/** @type {number} */ number, /** @type {number} */ at) => [
      count(number),
      moment.bare(first.time[at]),
      count(first.control_n[at]),
      ...units.map((each) => count(each.n[at])),
    ];
    return h(
      "section",
      { "aria-labelledby": "entries" },
      h("h2", { id: "entries" }, term("entries", "Units that have entered")),
      chart.place(),
      h(
        "p",
        { class: "quiet legend" },
        arms.map((each, index) => h("span", { class: "swatch" }, sample(index), ` ${each} `)),
      ),
      h(Numbers, {
        id: "numbers-units",
        heads: ["look", `as of (${ownZone()})`, ...arms],
        rows: () => first.look.map(row),
      }),
    );
  }
}

/** Which comparison is shown, of whom.
 * @param {Cell} cell @param {Cell[]} cells @param {string[]} segments @param {Choose} choose */
const comparisons = (cell, cells, segments, choose) =>
  h(
    "div",
    { class: "choices" },
    h(
      "label",
      null,
      "Comparison ",
      h(
        "select",
        {
          id: "metric",
          onchange: ({ target }) => {
            const { metric, variant } = /** @type {Cell} */ (cells.find((each) => nameOf(each) === target.value));
            choose({ metric, variant });
          },
        },
        cells.map((each) => h("option", { value: nameOf(each), selected: each === cell }, nameOf(each))),
      ),
    ),
    segments.length > 1 &&
      h(
        "label",
        null,
        "Segment ",
        h(
          "select",
          { id: "segment", onchange: ({ target }) => choose({ segment: target.value }) },
          segments.map((each) =>
            h(
              "option",
              { value: each, selected: each === cell.segment },
              each === vocabulary.everyone ? "everybody" : each,
            ),
          ),
        ),
      ),
  );

const LEAST_MS = 60_000; // that charts show

/** From the first unit to the newest look.
 * @param {Columns | undefined} columns @returns {[number, number]} */
function ends(columns) {
  const [from, to] = columns ? [firstUnit(columns), columns.time.at(-1) ?? 0] : [0, 0];
  return to > from ? [from, to] : [from - LEAST_MS / 2, from + LEAST_MS / 2];
}

/** @param {Cell} cell */
const nameOf = ({ metric, variant }) => `${metric}, ${variant}`;

/** @param {string} segment */
const of = (segment) => (segment === vocabulary.everyone ? "" : ` of ${segment}`);

/** The comparison that a person chose, else the one on which the verdict rests.
 * @param {Told} flag @param {Cell[]} cells @param {Choice} choice */
function chosen({ definition: { metrics } }, cells, { metric: asked, variant }) {
  const primary = metrics.find((goal) => goal.role === "primary")?.metric;
  return (
    cells.find((each) => each.metric === asked && (!variant || each.variant === variant)) ??
    cells.find(({ judgement }) => judgement === "harmed") ??
    cells.find(({ judgement, metric }) => judgement && metric === primary) ??
    cells[0]
  );
}

/** @param {() => Wanted} wanted */
function intervalChart(wanted) {
  /** @type {Line[]} */
  const lines = [
    { label: "upper end of this look", area: { below: 1, fill: "--open", opacity: 0.13 } },
    { label: "lower end of this look" },
    { label: "upper end of all looks", tone: "--open", width: 1, area: { below: 3, fill: "--open", opacity: 0.3 } },
    { label: "lower end of all looks", tone: "--open", width: 1 },
    { label: "estimate", tone: "--ink", width: 2 },
  ];
  return new Chart("chart-intervals", lines, {
    write: (value) => wanted().write(value),
    label: () => inWords(wanted()),
    read: (at) => {
      const { curve, write } = wanted();
      return curve ? inLine(curve, write, at) : "";
    },
    zero: true,
    range: closing,
  });
}

/** @param {Wanted} wanted */
function inWords({ cell, curve, write }) {
  const of = `Interval of ${cell.variant} on ${cell.metric}`;
  const {
    columns: { look: looks },
    low,
    high,
  } = /** @type {Curve} */ (curve);
  if (cell.status !== "ok") return `${of} over ${looks.length} looks: ${standing(cell)}`;
  const at = (/** @type {number} */ index) => interval(low.at(index), high.at(index), write);
  const first = low.findIndex((each) => each !== null);
  if (first < 0) return `${of} over ${looks.length} looks: ${vocabulary.statuses.gated.says}`;
  return `${of}: ${at(first)} at look ${looks[first]}, ${at(-1)} at look ${looks.at(-1)}`;
}

/** From below 0 and the newest interval to above them. The first intervals are wider than what there is to see.
 * @param {Maybe[][]} drawn @returns {[number, number]} */
function closing([, ...columns]) {
  const newest = columns
    .map((values) => values.findLast((each) => each !== null) ?? 0)
    .filter((each) => Math.abs(each) < BEYOND);
  const [least, most] = [Math.min(0, ...newest), Math.max(0, ...newest)];
  const margin = (most - least || 0.1) * 0.6;
  return [least - margin, most + margin];
}

/** @param {string[]} arms @param {() => Columns[]} units */
function unitChart(arms, units) {
  const lines = arms.map((label, index) => ({
    label,
    tone: TONES[index % TONES.length],
    dash: DASHES[index % DASHES.length],
    width: 2,
  }));
  const label = () => {
    const counts = [units()[0]?.control_n, ...units().map((each) => each.n)];
    return `Units that have entered: ${arms.map((arm, index) => `${arm} ${count(counts[index]?.at(-1))}`).join(", ")}`;
  };
  const read = (/** @type {number} */ at) => {
    const [first] = units();
    const counts = [first?.control_n[at], ...units().map((each) => each.n[at])];
    const told = arms.map((arm, index) => `${arm} ${count(counts[index])}`).join(", ");
    return first ? `Look ${count(first.look[at])}, ${moment(first.time[at])}: ${told}` : "";
  };
  return new Chart("chart-units", lines, { write: count, label, read });
}

/** @param {number} index */
const sample = (index) => h("span", { class: `line line-${index % DASHES.length}`, "aria-hidden": "true" });
