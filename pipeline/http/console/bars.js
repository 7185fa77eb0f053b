// Bars: an interval on a line from −scale to +scale, 0 in the middle. The numbers stand beside it; this is their picture.

import { h, svg } from "./dom.js";
import { interval, lift, share } from "./numbers.js";

const SCALES = [0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1]; // relative lifts at the ends
const HEIGHT = 26;

/** The smallest scale that shows every one of these ends; what lies beyond the largest goes on as an arrow. */
export function scaleOf(ends) {
  const furthest = Math.max(0, ...ends.filter((end) => end !== null && end !== undefined).map(Math.abs));
  return SCALES.find((scale) => scale >= furthest) ?? SCALES.at(-1);
}

/** The axis above bars of one scale. */
export const axis = (scale) =>
  h(
    "span",
    { class: "axis" },
    h("span", null, `−${share(scale, 0)}`),
    h("span", null, "0"),
    h("span", null, `+${share(scale, 0)}`),
  );

/**
 * Running interval (thick) around 0, this look's interval (thin), the estimate (dot), and `mark`, a lift of note (dashed).
 * Filled where it is decided, hollow where it is open, so that it reads without colour.
 */
export function bar(cell, scale, tone, mark) {
  const x = (of) => `${50 + (Math.max(-scale, Math.min(scale, of)) / scale) * 47}%`;
  const span = (from, to) => ({ x1: x(from ?? -2 * scale), x2: x(to ?? 2 * scale) });
  const { relative_estimate: estimate, relative_lower: lower, relative_upper: upper } = cell;
  const { running_relative_lower: low, running_relative_upper: high } = cell;
  const inside = (end) => end !== null && Math.abs(end) <= scale;
  const has = (one, other) => one !== null || other !== null;
  const middle = HEIGHT / 2;
  const decided = tone === "good" || tone === "bad";
  const arrow = (at, points) =>
    svg("svg", { x: at, y: 0, overflow: "visible" }, svg("path", { d: points, class: "end" }));
  const ends = has(low, high) ? [low ?? -Infinity, high ?? Infinity] : [];
  return svg(
    "svg",
    { class: `bar ${tone}`, height: HEIGHT, role: "img", "aria-label": says(cell, mark) },
    svg("line", { x1: x(-scale), x2: x(scale), y1: middle, y2: middle, class: "ground" }),
    svg("line", { x1: "50%", x2: "50%", y1: 0, y2: HEIGHT, class: "zero" }),
    has(lower, upper) && svg("line", { ...span(lower, upper), y1: middle, y2: middle, class: "look" }),
    ends.length > 0 && svg("line", { ...span(low, high), y1: middle, y2: middle, class: "running" }),
    ends.length > 0 && !decided && svg("line", { ...span(low, high), y1: middle, y2: middle, class: "hollow" }),
    !decided &&
      [low, high].map(
        (end) =>
          inside(end) && svg("line", { x1: x(end), x2: x(end), y1: middle - 4.5, y2: middle + 4.5, class: "cap" }),
      ),
    ends.length > 0 && ends[0] < -scale && arrow("3%", `M0 ${middle - 7}L-9 ${middle}L0 ${middle + 7}Z`),
    ends.length > 0 && ends[1] > scale && arrow("97%", `M0 ${middle - 7}L9 ${middle}L0 ${middle + 7}Z`),
    mark !== null &&
      mark !== undefined &&
      svg("line", { x1: x(mark), x2: x(mark), y1: 3, y2: HEIGHT - 3, class: "note" }),
    estimate !== null && svg("circle", { cx: x(estimate), cy: middle, r: 4.5, class: "dot" }),
  );
}

function says({ relative_estimate: estimate, running_relative_lower: low, running_relative_upper: high }, mark) {
  const noted = mark === null || mark === undefined ? "" : `; ${lift(mark)} is marked`;
  return `lift ${lift(estimate)}, interval ${interval(low, high, lift)}${noted}`;
}
