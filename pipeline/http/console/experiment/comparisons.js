// Comparisons: treatments with control, a row each, with their pictures and what is judged of them.

/** @import { Cell } from "#api" */
/** @import { Told } from "../flag/definition.js" */
/** @import { Child } from "../dom.js" */
/** @import { Choice } from "./choice.js" */

import { h } from "../dom.js";
import { field, term, titled } from "../parts/meanings.js";
import { count, difference, interval, lift, mean, pValue, share } from "../parts/numbers.js";
import { vocabulary } from "../parts/vocabulary.js";
import { mark, standing, told } from "../parts/words.js";
import { axis, bar, scaleOf } from "./bars.js";

/** @typedef {{ cell: Cell, id: string, head: Child, note?: number | null, drawer?: Child }} Row `note`: a lift that is
 *   marked on its bar; `drawer` lies open below it. */

/** The cell of each metric and variant on which a person should look: settled once it can be tested, before that live.
 * @param {Cell[]} cells @param {string} reading */
export function shown(cells, reading) {
  /** @type {Map<string, Cell>} */
  const chosen = new Map();
  for (const cell of cells) {
    const name = `${cell.metric} ${cell.variant} ${cell.segment}`;
    const other = chosen.get(name);
    if (!other || prefers(cell, other, reading)) chosen.set(name, cell);
  }
  return [...chosen.values()].map(told);
}

/** @param {Cell} cell @param {Cell} other @param {string} reading */
function prefers(cell, other, reading) {
  if (reading !== "deciding") return cell.reading === reading;
  const settled = cell.reading === "settled" ? cell : other;
  return cell.reading === (vocabulary.statuses[settled.status].is_untested ? "live" : "settled");
}

/** Rows under one head, and one scale.
 * @param {Told} flag @param {Choice} choice @param {Child} head @param {Row[]} rows */
export function body(flag, choice, head, rows) {
  const scale = scaleOf(
    rows.flatMap(({ cell, note }) => [cell.running_relative_lower, cell.running_relative_upper, note]),
  );
  return h(
    "tbody",
    null,
    h(
      "tr",
      { class: "group" },
      h("th", { colspan: isSeveral(flag) ? 4 : 3, scope: "rowgroup" }, head),
      h("td", { class: "bar" }, axis(scale)),
      h("td", { colspan: 3 }),
    ),
    rows.map((each) => [
      row(flag, choice, scale, each),
      each.drawer &&
        h(
          "tr",
          { class: "drawer", id: `drawer-${each.cell.metric}` },
          h("td", { colspan: isSeveral(flag) ? 8 : 7 }, each.drawer),
        ),
    ]),
  );
}

/** @param {Told} flag */
const isSeveral = ({ variants }) => variants.length > 2;

/** @param {Told} flag @param {Choice} choice @param {number} scale @param {Row} row */
function row(flag, choice, scale, { cell, id, head, note }) {
  const asShare = flag.conversions.includes(cell.metric);
  return h(
    "tr",
    { id },
    h("th", { scope: "row" }, head),
    isSeveral(flag) && h("td", { "data-name": "variant" }, cell.variant),
    arm(cell.control_mean, cell.control_nonzero, cell.control_n, asShare, flag.control),
    arm(cell.mean, cell.nonzero, cell.n, asShare, cell.variant),
    h(
      "td",
      { class: "bar" },
      cell.status === "ok"
        ? bar(cell, scale, vocabulary.judgements[cell.judgement ?? "open"].tone, note)
        : h("small", { class: "warn" }, `! ${standing(cell)}`),
    ),
    size(cell, asShare, choice),
    h("td", { class: "number", "data-name": cell.chance === null ? "p" : "chance" }, certainty(cell)),
    h("td", { class: "judged" }, judged(cell)),
  );
}

/** @param {string} of @param {Told} flag @param {Choice} choice @param {Child} bodies */
export function table(of, flag, { absolute }, bodies) {
  const several = isSeveral(flag);
  const { method } = flag.definition.analysis;
  const head = (/** @type {Child} */ name, /** @type {string | null} */ kind = null) =>
    h("th", { scope: "col", class: kind }, name);
  const heads = [
    head(of),
    several && head("variant"),
    head(flag.control, "number"),
    head(several ? "treatment" : flag.variants.find((each) => each !== flag.control), "number"),
    head("0 is no difference", "bar"),
    head(
      [titled(absolute ? "Cell.estimate" : "Cell.relative_estimate"), ", ", term(`interval-${method}`, "interval")],
      "number",
    ),
    head(
      method === "bayesian" ? titled("Cell.chance") : term(`p-${method}`, field("Cell.running_p_value").title),
      "number",
    ),
    head(titled("Cell.judgement")),
  ];
  return h(
    "div",
    { class: "wide", tabindex: 0, role: "group", "aria-label": `Comparisons by ${of}` },
    h("table", { class: "scorecard" }, h("thead", null, h("tr", null, heads)), bodies),
  );
}

/** @param {number | null} value @param {number} nonzero @param {number} n @param {boolean} asShare @param {string} name */
export const arm = (value, nonzero, n, asShare, name) =>
  h(
    "td",
    { class: "number", "data-name": name },
    mean(value, asShare),
    h("small", null, asShare ? `${count(nonzero)} of ${count(n)}` : `${count(n)} units`),
  );

/** @param {Cell} cell @param {boolean} asShare @param {Pick<Choice, "absolute">} choice */
export function size(cell, asShare, { absolute }) {
  const write = absolute ? (/** @type {number | null} */ value) => difference(value, asShare) : lift;
  const [estimate, low, high] = absolute
    ? [cell.estimate, cell.running_lower, cell.running_upper]
    : [cell.relative_estimate, cell.running_relative_lower, cell.running_relative_upper];
  const why =
    vocabulary.methods[cell.method].is_fixed && cell.running_p_value === null
      ? `read at ${count(cell.planned_units)} units`
      : absolute && cell.method === "exact"
        ? "its interval is of the lift"
        : "too wide yet";
  return h(
    "td",
    { class: "number", "data-name": absolute ? "difference" : "lift" },
    write(estimate),
    cell.status === "ok" && h("small", null, low === null && high === null ? why : interval(low, high, write)),
    cell.status === "ok" && cell.adjusted && otherWay(cell, cell.adjusted, absolute, write),
  );
}

/** What the other way finds, plain or with CUPED, which decides nothing.
 * @param {Cell} cell @param {NonNullable<Cell["adjusted"]>} adjusted @param {boolean} absolute
 * @param {(value: number | null) => string} write */
function otherWay(cell, adjusted, absolute, write) {
  const [estimate, low, high] = absolute
    ? [cell.other_estimate, cell.other_running_lower, cell.other_running_upper]
    : [cell.other_relative_estimate, cell.other_running_relative_lower, cell.other_running_relative_upper];
  return h(
    "small",
    { class: "quiet" },
    term("Cell.adjusted", adjusted === "none" ? "with CUPED" : "plain"),
    ` ${write(estimate ?? null)} ${interval(low ?? null, high ?? null, write)}`,
  );
}

/** @param {Cell} cell */
export function certainty(cell) {
  const method = h("small", null, vocabulary.methods[cell.method].says);
  if (cell.chance !== null) return [share(cell.chance), method];
  const adjusted = cell.adjusted_p_value;
  const differs = adjusted !== null && adjusted !== cell.running_p_value;
  return [pValue(cell.running_p_value), method, differs && h("small", null, `adjusted ${pValue(adjusted)}`)];
}

/** @param {Cell} cell @returns {Child} */
export function judged(cell) {
  // An exact test shows harm at any time; that there is none to come, only settled units could show.
  const caveat = cell.caveat ?? (cell.reading === "live" && cell.judgement === "safe" ? "open windows" : null);
  const isSaid = cell.status === "ok";
  return [
    cell.judgement ? mark(vocabulary.judgements[cell.judgement]) : h("span", { class: "quiet" }, "to watch"),
    h("small", null, term(cell.reading, cell.reading)),
    cell.exploratory && h("small", { class: "warn" }, "! exploratory: chosen after the start, it decides nothing"),
    isSaid && caveat && h("small", { class: "warn" }, `! ${vocabulary.caveats[caveat]}`),
    isSaid &&
      cell.running_empty &&
      h("small", { class: "warn" }, "! intervals of different looks exclude each other: the effect has moved"),
  ];
}
