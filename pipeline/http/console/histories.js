// Histories: intervals that close over the looks, and the units that came in.

import { get } from "./api.js";
import { chart, numbers } from "./chart.js";
import { h } from "./dom.js";
import { count, difference, interval, lift, moment, pValue } from "./numbers.js";
import { isShare } from "./scorecard.js";
import { standing, term } from "./words.js";

const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3]]; // lines told apart without colour
const TONES = ["--ink", "--open", "--warn", "--good"];
const AGAIN_MS = 10_000; // after which a history that could not be had is asked for again
const MOST = 1_000; // points, then the server's thinned ones are taken again

/** The two charts of an experiment at `path`; they read a history once and go on with the looks that arrive. */
export function histories(path, redraw) {
  const known = new Map(); // address -> columns, or null while they are read
  let plots = null;
  let wanted = null; // what the charts show

  const address = (run, cell, reading) =>
    `${path}/results/history?${new URLSearchParams({ run, metric: cell.metric, variant: cell.variant, reading, segment: "all" })}`;

  function columnsOf(run, cell, reading) {
    const at = address(run, cell, reading);
    if (!known.has(at)) {
      known.set(at, null);
      get(at).then(
        (columns) => {
          known.set(at, columns);
          redraw();
        },
        () => setTimeout(() => known.delete(at), AGAIN_MS),
      );
    }
    return known.get(at);
  }

  function take(look) {
    for (const cell of look.cells) {
      const at = address(look.run, cell, cell.reading);
      const columns = cell.segment === "all" && known.get(at);
      if (!columns || columns.look.at(-1) >= look.look) continue;
      if (columns.look.length > MOST) known.delete(at);
      else
        known.set(
          at,
          Object.fromEntries(
            Object.entries(columns).map(([name, values]) => [
              name,
              [...values, name in look ? look[name] : cell[name]],
            ]),
          ),
        );
    }
  }

  function view(flag, look, choice, chosen) {
    const options = look.cells.filter((cell) => cell.segment === "all");
    if (!options.length) return null;
    const nameOf = (cell) => `${cell.metric}, ${cell.variant}, ${cell.reading}`;
    const goals = flag.state.definition.metrics;
    const deciding =
      options.find(({ judgement }) => judgement === "harmed") ??
      options.find((cell) => cell.judgement && goals.find((goal) => goal.metric === cell.metric)?.role === "primary") ??
      options[0];
    const cell = options.find((each) => nameOf(each) === choice.metric) ?? deciding;
    const until = (columns) => columns && cut(columns, look.look);
    const asShare = isShare(flag.metrics[cell.metric]);
    const isAbsolute = choice.absolute && cell.method !== "exact";
    const write = isAbsolute ? (value) => difference(value, asShare) : lift;
    const history = until(columnsOf(look.run, cell, cell.reading));
    const arms = [flag.control, ...new Set(options.map((each) => each.variant))];
    const live = options.filter((each) => each.metric === options[0].metric && each.reading === "live");
    const units = live.map((each) => until(columnsOf(look.run, each, "live")));
    wanted = {
      history: history && named(history, isAbsolute),
      units: units.every(Boolean) && units.length ? units : null,
      write,
      cell,
    };
    if (plots?.of !== arms.join())
      plots = { of: arms.join(), intervals: intervalChart(() => wanted), units: unitChart(arms, () => wanted) };
    return [
      h(
        "section",
        { "aria-labelledby": "closing" },
        h(
          "div",
          { class: "head" },
          h("h2", { id: "closing" }, "How the interval closes"),
          h(
            "label",
            null,
            "Comparison ",
            h(
              "select",
              { id: "metric", onchange: chosen("metric") },
              options.map((each) => h("option", { value: nameOf(each), selected: each === cell }, nameOf(each))),
            ),
          ),
        ),
        cell.status !== "ok" && h("p", null, h("small", { class: "warn" }, `! ${cell.metric} at this look: ${standing(cell)}`)),
        plots.intervals.place(),
        h(
          "p",
          { class: "quiet legend" },
          isAbsolute ? term("difference", "Difference") : term("lift", "Lift"),
          ` of ${cell.variant} on ${cell.metric}. Edged band: what all looks so far say together; faint band: each look alone; line: the estimate. Where the edged band leaves 0, a difference is shown.`,
        ),
        wanted.history &&
          numbers(
            "numbers-intervals",
            ["look", "as of (UTC)", "units", "estimate", "interval", "p", "this look’s interval", "its p"],
            () => rows(wanted.history, write),
            redraw,
          ),
      ),
      wanted.units &&
        h(
          "section",
          { "aria-labelledby": "entries" },
          h("h2", { id: "entries" }, term("entries", "Units that have entered")),
          plots.units.place(),
          h(
            "p",
            { class: "quiet legend" },
            arms.map((each, index) => h("span", { class: "sample" }, sample(index), ` ${each} `)),
          ),
          numbers(
            "numbers-units",
            ["look", "as of (UTC)", ...arms],
            () =>
              units[0].look.map((number, index) => [
                count(number),
                moment(units[0].time[index]),
                count(units[0].control_n[index]),
                ...units.map((each) => count(each.n[index])),
              ]),
            redraw,
          ),
        ),
    ];
  }

  return {
    take,
    view,
    draw() {
      if (wanted?.history) plots.intervals.draw(wanted.history.drawn);
      if (wanted?.units) plots.units.draw(unitColumns(wanted.units));
    },
  };
}

/** The looks up to one; the same object as long as nothing changed, so that nothing is drawn again. */
function cut(columns, look) {
  if (columns.look.at(-1) <= look) return columns;
  const length = columns.look.findLastIndex((each) => each <= look) + 1;
  return Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values.slice(0, length)]));
}

const memory = new WeakMap(); // columns -> what is drawn of them, by kind

function remembered(columns, kind, make) {
  const made = memory.get(columns) ?? {};
  memory.set(columns, made);
  return (made[kind] ??= make());
}

const BEYOND = 1e6; // where an end that a one-sided test leaves open is drawn: out of sight

/** The columns of the difference or of the lift, and what is drawn of them. */
const named = (columns, isAbsolute) =>
  remembered(columns, isAbsolute ? "absolute" : "relative", () => {
    const prefix = isAbsolute ? "" : "relative_";
    const [estimate, lower, upper] = ["estimate", "lower", "upper"].map((name) => columns[prefix + name]);
    // A look that says nothing of the cell tells no running values either: they are of earlier ones.
    const says = (at) => [columns.p_value, columns.lower, columns.upper].some((each) => each[at] !== null);
    const told = (name) => columns[name].map((each, at) => (says(at) ? each : null));
    const [low, high] = ["lower", "upper"].map((name) => told(`running_${prefix}${name}`));
    const open = (ends, others, beyond) => ends.map((end, at) => (end === null && others[at] !== null ? beyond : end));
    const known = estimate.map((each, at) => (lower[at] === null && upper[at] === null ? null : each));
    const drawn = [
      columns.time,
      open(upper, lower, BEYOND),
      open(lower, upper, -BEYOND),
      open(high, low, BEYOND),
      open(low, high, -BEYOND),
      known,
    ];
    const said = { running_p_value: told("running_p_value"), estimate: told(`${prefix}estimate`) };
    return { ...columns, ...said, lower, upper, low, high, drawn };
  });

const unitColumns = (units) =>
  remembered(units[0], "units", () => [units[0].time, units[0].control_n, ...units.map((each) => each.n)]);

const rows = (history, write) =>
  history.look.map((number, index) => [
    count(number),
    moment(history.time[index]),
    count(history.n[index] + history.control_n[index]),
    write(history.estimate[index]),
    interval(history.low[index], history.high[index], write),
    pValue(history.running_p_value[index]),
    interval(history.lower[index], history.upper[index], write),
    pValue(history.p_value[index]),
  ]);

function intervalChart(wanted) {
  const series = [
    { label: "upper end of this look", band: 1, fill: "--open", opacity: 0.13 },
    { label: "lower end of this look" },
    { label: "upper end of all looks", tone: "--open", width: 1, band: 3, fill: "--open", opacity: 0.3 },
    { label: "lower end of all looks", tone: "--open", width: 1 },
    { label: "estimate", tone: "--ink", width: 2 },
  ];
  const label = () => {
    const { history, cell, write } = wanted();
    const at = (index) => interval(history.low.at(index), history.high.at(index), write);
    const first = history.low.findIndex((each) => each !== null);
    if (cell.status !== "ok")
      return `Interval of ${cell.variant} on ${cell.metric} over ${history.look.length} looks: ${standing(cell)}`;
    if (first < 0)
      return `Interval of ${cell.variant} on ${cell.metric} over ${history.look.length} looks: too few units yet`;
    return `Interval of ${cell.variant} on ${cell.metric}: ${at(first)} at look ${history.look[first]}, ${at(-1)} at look ${history.look.at(-1)}`;
  };
  return chart("chart-intervals", series, {
    write: (value) => wanted().write(value),
    label,
    zero: true,
    range: closing,
  });
}

/** From below 0 and the newest interval to above them. The first intervals are wider than what there is to see. */
function closing([, ...columns]) {
  const newest = columns
    .map((values) => values.findLast((each) => each !== null) ?? 0)
    .filter((each) => Math.abs(each) < BEYOND);
  const [least, most] = [Math.min(0, ...newest), Math.max(0, ...newest)];
  const margin = (most - least || 0.1) * 0.6;
  return [least - margin, most + margin];
}

function unitChart(arms, wanted) {
  const series = arms.map((label, index) => ({
    label,
    tone: TONES[index % TONES.length],
    dash: DASHES[index % DASHES.length],
    width: 2,
  }));
  const label = () =>
    `Units that have entered: ${arms.map((arm, index) => `${arm} ${count(index ? wanted().units[index - 1].n.at(-1) : wanted().units[0].control_n.at(-1))}`).join(", ")}`;
  return chart("chart-units", series, { write: count, label });
}

const sample = (index) => h("span", { class: `line line-${index % DASHES.length}`, "aria-hidden": "true" });
