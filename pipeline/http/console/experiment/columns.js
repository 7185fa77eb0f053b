// Columns: one cell over the looks, and what is drawn of it.

/** @import { Cell, Columns, Look } from "#api" */
/** @import { Drawn } from "../parts/chart.js" */
/** @import { Maybe } from "../parts/numbers.js" */

import { count, interval, moment, pValue } from "../parts/numbers.js";

/**
 * @typedef {{
 *   columns: Columns,
 *   estimate: Maybe[],
 *   lower: Maybe[],
 *   upper: Maybe[],
 *   low: Maybe[],
 *   high: Maybe[],
 *   running_p_value: Maybe[],
 *   drawn: Drawn,
 * }} Curve Of the difference or of the lift: `lower` and `upper` end the interval of each look alone, `low` and `high`
 *   that of all looks so far.
 */

export const BEYOND = 1e6; // where an end that a one-sided test leaves open is drawn: out of sight

/** The same columns of other values.
 * @param {Columns} columns @param {(name: keyof Columns) => Maybe[]} make @returns {Columns} */
function columnsOf(columns, make) {
  const names = /** @type {(keyof Columns)[]} */ (Object.keys(columns));
  return /** @type {any} */ (Object.fromEntries(names.map((name) => [name, make(name)])));
}

/** With another look, if it is as of some time.
 * @param {Columns} columns @param {Look} look @param {Cell} cell */
export function appended(columns, { look, time }, cell) {
  if (!time) return columns;
  const told = { ...cell, look, time };
  return columnsOf(columns, (name) => [...columns[name], told[name]]);
}

/** @type {WeakMap<Columns, { look: number, columns: Columns }>} */
const cuts = new WeakMap();

/** The looks up to one; the same object as long as nothing changed, so that nothing is drawn again.
 * @param {Columns} columns @param {number} look */
export function cut(columns, look) {
  if ((columns.look.at(-1) ?? 0) <= look) return columns;
  const last = cuts.get(columns);
  if (last?.look === look) return last.columns;
  const length = columns.look.findLastIndex((each) => each <= look) + 1;
  const made = columnsOf(columns, (name) => columns[name].slice(0, length));
  cuts.set(columns, { look, columns: made });
  return made;
}

/** @type {WeakMap<Columns, Map<string, any>>} */
const memory = new WeakMap(); // columns -> what was made of them, by kind

/** @template Made @param {Columns} columns @param {string} kind @param {() => Made} make @returns {Made} */
function remembered(columns, kind, make) {
  const made = memory.get(columns) ?? new Map();
  memory.set(columns, made);
  if (!made.has(kind)) made.set(kind, make());
  return made.get(kind);
}

/** @param {Columns} columns @param {boolean} isAbsolute @returns {Curve} */
export const curve = (columns, isAbsolute) =>
  remembered(columns, isAbsolute ? "absolute" : "relative", () => {
    const [estimate, lower, upper, runningLower, runningUpper] = isAbsolute
      ? [columns.estimate, columns.lower, columns.upper, columns.running_lower, columns.running_upper]
      : [
          columns.relative_estimate,
          columns.relative_lower,
          columns.relative_upper,
          columns.running_relative_lower,
          columns.running_relative_upper,
        ];
    // A look that says nothing of the cell tells no running values either: they are of earlier ones.
    const says = (/** @type {number} */ at) =>
      [columns.p_value, columns.lower, columns.upper].some((each) => each[at] !== null);
    const told = (/** @type {Maybe[]} */ values) => values.map((each, at) => (says(at) ? each : null));
    const [low, high] = [told(runningLower), told(runningUpper)];
    const known = estimate.map((each, at) => (lower[at] === null && upper[at] === null ? null : each));
    /** @type {Drawn} */
    const drawn = [
      columns.time,
      open(upper, lower, BEYOND),
      open(lower, upper, -BEYOND),
      open(high, low, BEYOND),
      open(low, high, -BEYOND),
      known,
    ];
    const running = told(columns.running_p_value);
    return { columns, estimate: told(estimate), lower, upper, low, high, running_p_value: running, drawn };
  });

/** Ends, of which one that is open while the other is not is drawn out of sight.
 * @param {Maybe[]} ends @param {Maybe[]} others @param {number} beyond */
const open = (ends, others, beyond) => ends.map((end, at) => (end === null && others[at] !== null ? beyond : end));

/** How many units each arm has, control first.
 * @param {Columns} first @param {Columns[]} others @returns {Drawn} */
export const entries = (first, others) =>
  remembered(first, "entries", () => [first.time, first.control_n, first.n, ...others.map((each) => each.n)]);

/** The curve as a table, a row for each look.
 * @param {Curve} curve @param {(value: number) => string} write */
export const rows = (curve, write) => curve.columns.look.map((_, at) => row(curve, write, at));

/** @param {Curve} curve @param {(value: number) => string} write @param {number} at */
function row({ columns, estimate, lower, upper, low, high, running_p_value }, write, at) {
  const found = estimate[at];
  return [
    count(columns.look[at]),
    moment.bare(columns.time[at]),
    count((columns.n[at] ?? 0) + (columns.control_n[at] ?? 0)),
    typeof found === "number" ? write(found) : "–",
    interval(low[at], high[at], write),
    pValue(running_p_value[at]),
    interval(lower[at], upper[at], write),
    pValue(columns.p_value[at]),
  ];
}

/** The same of one look, in a line.
 * @param {Curve} curve @param {(value: number) => string} write @param {number} at */
export function inLine(curve, write, at) {
  const [look, , units, found, ends, p] = row(curve, write, at);
  const says = found === "–" && ends === "–" ? "no interval yet" : `${found} ${ends}, p ${p}`;
  return `Look ${look}, ${moment(curve.columns.time[at])}, ${units} units: ${says}`;
}

/** When the first unit had entered, by the looks.
 * @param {Columns} columns */
export const firstUnit = ({ time, n, control_n }) =>
  time[n.findIndex((units, at) => (units ?? 0) + (control_n[at] ?? 0) > 0)] ?? time[0] ?? 0;
