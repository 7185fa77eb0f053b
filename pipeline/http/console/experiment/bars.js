// Bars: an interval on a line from −scale to +scale, 0 in the middle. The numbers stand beside it; this is their picture.

/** @import { Cell, Mark } from "#api" */
/** @import { Child } from "../dom.js" */
/** @import { Maybe } from "../parts/numbers.js" */

import { h, svg } from "../dom.js";
import { interval, lift, missing, share } from "../parts/numbers.js";

const SCALES = [0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75]; // relative lifts at the ends
const LARGEST = 1;
const HEIGHT = 26;
const MIDDLE = HEIGHT / 2;

/** The smallest scale that shows every one of these ends; what lies beyond the largest goes on as an arrow.
 * @param {Maybe[]} ends */
export function scaleOf(ends) {
  const furthest = Math.max(0, ...ends.map((end) => Math.abs(end ?? 0)));
  return SCALES.find((scale) => scale >= furthest) ?? LARGEST;
}

/** The axis above bars of one scale.
 * @param {number} scale */
export const axis = (scale) =>
  h(
    "span",
    { class: "axis" },
    h("span", null, `−${share(scale, 0)}`),
    h("span", null, "0"),
    h("span", null, `+${share(scale, 0)}`),
  );

/**
 * Running interval (thick) around 0, this look's interval (thin), the estimate (dot), and `note`, a lift (dashed).
 * Filled where it is decided, hollow where it is open, so that it reads without colour.
 * @param {Cell} cell @param {number} scale @param {Mark["tone"]} tone @param {Maybe} note
 */
export function bar(cell, scale, tone, note) {
  const { relative_estimate: estimate, relative_lower: lower, relative_upper: upper } = cell;
  const x = (/** @type {number} */ of) => `${50 + (Math.max(-scale, Math.min(scale, of)) / scale) * 47}%`;
  const line = (/** @type {number | null} */ from, /** @type {number | null} */ to, /** @type {string} */ kind) =>
    (from !== null || to !== null) &&
    svg("line", { x1: x(from ?? -2 * scale), x2: x(to ?? 2 * scale), y1: MIDDLE, y2: MIDDLE, class: kind });
  return svg(
    "svg",
    { class: `bar ${tone}`, height: HEIGHT, role: "img", "aria-label": says(cell, note) },
    line(-scale, scale, "ground"),
    svg("line", { x1: "50%", x2: "50%", y1: 0, y2: HEIGHT, class: "zero" }),
    line(lower, upper, "look"),
    running(cell, scale, tone === "good" || tone === "bad", x, line),
    !missing(note) && svg("line", { x1: x(note), x2: x(note), y1: 3, y2: HEIGHT - 3, class: "note" }),
    estimate !== null && svg("circle", { cx: x(estimate), cy: MIDDLE, r: 4.5, class: "dot" }),
  );
}

/** The interval of all looks: hollow and with its ends marked until it is decided, an arrow where it goes on.
 * @param {Cell} cell @param {number} scale @param {boolean} isDecided @param {(of: number) => string} x
 * @param {(from: number | null, to: number | null, kind: string) => Child} line */
function running({ running_relative_lower: low, running_relative_upper: high }, scale, isDecided, x, line) {
  if (low === null && high === null) return null;
  const arrow = (/** @type {string} */ at, /** @type {string} */ points) =>
    svg("svg", { x: at, y: 0, overflow: "visible" }, svg("path", { d: points, class: "end" }));
  const cap = (/** @type {number | null} */ end) =>
    end !== null &&
    Math.abs(end) <= scale &&
    svg("line", { x1: x(end), x2: x(end), y1: MIDDLE - 4.5, y2: MIDDLE + 4.5, class: "cap" });
  return [
    line(low, high, "running"),
    !isDecided && [line(low, high, "hollow"), cap(low), cap(high)],
    (low ?? -Infinity) < -scale && arrow("3%", `M0 ${MIDDLE - 7}L-9 ${MIDDLE}L0 ${MIDDLE + 7}Z`),
    (high ?? Infinity) > scale && arrow("97%", `M0 ${MIDDLE - 7}L9 ${MIDDLE}L0 ${MIDDLE + 7}Z`),
  ];
}

/** @param {Cell} cell @param {Maybe} note */
function says({ relative_estimate: estimate, running_relative_lower: low, running_relative_upper: high }, note) {
  const noted = missing(note) ? "" : `; ${lift(note)} is marked`;
  return `lift ${lift(estimate)}, interval ${interval(low, high, lift)}${noted}`;
}
