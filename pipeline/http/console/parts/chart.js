// Chart: lines over the looks, drawn by uPlot, with a table of the same numbers.

/** @import uPlot from "uplot" */
/** @import { Maybe } from "./numbers.js" */

import { h, table, useState } from "../dom.js";
import { moment } from "./numbers.js";

/**
 * @typedef {{
 *   label: string,
 *   tone?: string,
 *   dash?: number[],
 *   width?: number,
 *   area?: { below: number, fill: string, opacity: number },
 * }} Line `area` lies between it and the line with that index.
 * @typedef {[number[], ...Maybe[][]]} Drawn Times (ms), then one column for each line.
 * @typedef {{
 *   write: (value: number) => string,
 *   label: () => string,
 *   range?: (drawn: Maybe[][]) => [number, number],
 *   zero?: boolean,
 * }} Axis How a value is written, what is shown in words, where the axis ends, whether its 0 is a line.
 */

const HEIGHT = 240;
const Plot = /** @type {{ uPlot: typeof uPlot }} */ (/** @type {unknown} */ (window)).uPlot;

/** Colours of the page as it is shown now, for a canvas that knows no style sheet.
 * @param {string} name */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A chart that lives on in its place while the page around it is drawn again. */
export class Chart {
  /** @type {uPlot | null} */
  #plot = null;
  /** @type {unknown[]} */
  #state = []; // of the page and the columns, as they were drawn

  /** @param {string} id @param {Line[]} lines @param {Axis} axis */
  constructor(id, lines, axis) {
    this.id = id;
    this.lines = lines;
    this.axis = axis;
  }

  place() {
    return h("div", { id: this.id, class: "chart", role: "img" });
  }

  /** Draw these columns in its place.
   * @param {Drawn} columns */
  draw(columns) {
    const holder = document.getElementById(this.id);
    if (!holder || !columns[0].length) return;
    const state = [holder, holder.clientWidth, colour("--paper"), columns];
    const isSame = state.map((each, index) => each === this.#state[index]);
    if (isSame.every(Boolean)) return;
    this.#state = state;
    const [times, ...values] = columns;
    const data = /** @type {uPlot.AlignedData} */ ([times.map((time) => time / 1_000), ...values]);
    holder.setAttribute("aria-label", this.axis.label());
    if (this.#plot && isSame.slice(0, 3).every(Boolean)) return this.#plot.setData(data);
    this.#plot?.destroy();
    this.#plot = new Plot(this.#options(holder, data), data, holder);
  }

  /** @param {HTMLElement} holder @param {uPlot.AlignedData} data @returns {uPlot.Options} */
  #options(holder, data) {
    const { range, zero } = this.axis;
    return {
      width: holder.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { show: false } },
      scales: {
        x: { time: true },
        ...(range && { y: { range: (plot) => range([...plot.data].map((each) => [...each])) } }),
      },
      tzDate: (seconds) => Plot.tzDate(new Date(seconds * 1_000), "UTC"),
      axes: this.#axes(data),
      series: [{}, ...this.lines.map(series)],
      bands: this.lines.flatMap(({ area }, index) =>
        area ? [{ series: [index + 1, area.below + 1], fill: translucent(colour(area.fill), area.opacity) }] : [],
      ),
      hooks: zero ? { drawAxes: [drawZero] } : {},
    };
  }

  /** @param {uPlot.AlignedData} data @returns {uPlot.Axis[]} */
  #axes(data) {
    const { write } = this.axis;
    const stroke = colour("--quiet");
    const grid = { stroke: colour("--rule"), width: 1 };
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const widest = Math.max(...[...(data[1] ?? [0])].map((each) => write(each ?? 0).length), 4);
    return [
      {
        stroke,
        grid: { show: false },
        ticks: grid,
        font,
        space: 90,
        values: (plot, ticks) => ticks.map(clockOf([...plot.data[0]])),
      },
      {
        stroke,
        grid,
        ticks: { show: false },
        font,
        size: 14 + 7 * widest,
        values: (_, ticks) => ticks.map((each) => (each === 0 ? "0" : write(each))),
      },
    ];
  }
}

/** @param {Line} line @returns {uPlot.Series} */
const series = ({ label, tone, dash, width = 1.5 }) => ({
  label,
  stroke: tone ? colour(tone) : "transparent",
  dash,
  width,
  points: { show: false },
  spanGaps: true,
});

/** @param {uPlot} plot */
function drawZero({ ctx, bbox, valToPos, scales: { y: scale } }) {
  if (!scale || (scale.min ?? 0) > 0 || (scale.max ?? 0) < 0) return;
  const y = Math.round(valToPos(0, "y", true));
  ctx.save();
  ctx.strokeStyle = colour("--ink");
  ctx.lineWidth = devicePixelRatio;
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.restore();
}

/** How a tick is written: with its date, where there are several days.
 * @param {number[]} times */
function clockOf(times) {
  const [first = 0, last = first] = [times[0], times.at(-1)];
  const [from, to] = last - first > 86_400 ? [5, 16] : [11, 19];
  return (/** @type {number} */ seconds) => moment(seconds * 1_000).slice(from, to);
}

/** A hexadecimal colour with that opacity.
 * @param {string} hex @param {number} opacity */
const translucent = (hex, opacity) =>
  `${hex}${Math.round(opacity * 255)
    .toString(16)
    .padStart(2, "0")}`;

/** The table of a chart: heads, and one row per look, newest first. It is made while it is unfolded: it may be long.
 * @param {{ id: string, heads: string[], rows: () => string[][] }} props */
export function Numbers({ id, heads, rows }) {
  const [isOpen, setOpen] = useState(false);
  const cells = (/** @type {string[]} */ [first, ...others]) =>
    h(
      "tr",
      null,
      h("th", { scope: "row", class: "number" }, first),
      others.map((each) => h("td", { class: "number" }, each)),
    );
  return h(
    "details",
    { id, class: "numbers", ontoggle: ({ target }) => setOpen(target.open) },
    h("summary", null, "The same numbers as a table"),
    isOpen &&
      table("Numbers of the chart", heads, rows().toReversed().map(cells), { kind: "number", frame: "wide high" }),
  );
}
