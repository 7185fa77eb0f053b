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
 *   read: (at: number) => string,
 *   range?: (drawn: Maybe[][]) => [number, number],
 *   zero?: boolean,
 * }} Axis How a value is written, what is shown in words, and at one of the times; where the axis ends, whether its 0 is
 *   a line.
 * @typedef {{ from: number, to: number, breadth: number, marks: { time: number, until: number }[] }} Frame What charts that
 *   stand below each other share: when they begin and end (ms), how broad their values are written, and what is marked.
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
  /** @type {Frame} */
  #frame = { from: 0, to: 0, breadth: 0, marks: [] };

  /** @param {string} id @param {Line[]} lines @param {Axis} axis */
  constructor(id, lines, axis) {
    this.id = id;
    this.lines = lines;
    this.axis = axis;
  }

  /** Where it is drawn, and what it says at the cursor, which the arrow keys move too. */
  place() {
    return [
      h("div", {
        id: this.id,
        class: "chart",
        role: "img",
        tabindex: 0,
        onkeydown: (/** @type {KeyboardEvent} */ event) => this.#step(event),
      }),
      h("p", { id: `${this.id}-read`, class: "readout", "aria-live": "polite" }),
    ];
  }

  /** How broad values are written beside it (px).
   * @param {Drawn} columns */
  breadth([, values]) {
    return 14 + 7 * Math.max(...(values ?? []).map((each) => this.axis.write(each ?? 0).length), 4);
  }

  /** Draw these columns in its place.
   * @param {Drawn} columns @param {Frame} frame */
  draw(columns, frame) {
    const holder = document.getElementById(this.id);
    if (!holder || !columns[0].length) return;
    const state = [
      holder,
      holder.clientWidth,
      colour("--paper"),
      JSON.stringify([frame.breadth, frame.marks]),
      columns,
    ];
    const isSame = state.map((each, index) => each === this.#state[index]);
    if (isSame.every(Boolean)) return;
    this.#state = state;
    this.#frame = frame;
    const [times, ...values] = columns;
    const data = /** @type {uPlot.AlignedData} */ ([times.map((time) => time / 1_000), ...values]);
    holder.setAttribute("aria-label", this.axis.label());
    if (this.#plot && isSame.slice(0, 4).every(Boolean)) this.#plot.setData(data);
    else {
      this.#plot?.destroy();
      this.#plot = new Plot(this.#options(holder), data, holder);
    }
    this.#read(this.#plot);
  }

  /** Say what is at the cursor, else at the end.
   * @param {uPlot} plot */
  #read({ cursor, data }) {
    const place = document.getElementById(`${this.id}-read`);
    const says = this.axis.read(cursor.idx ?? data[0].length - 1);
    if (place && place.textContent !== says) place.textContent = says;
  }

  /** @param {KeyboardEvent} event */
  #step(event) {
    const plot = this.#plot;
    const last = (plot?.data[0].length ?? 0) - 1;
    const at = plot?.cursor.idx ?? last;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
    if (!plot || to === undefined) return;
    event.preventDefault();
    const time = plot.data[0][Math.max(0, Math.min(to, last))] ?? 0;
    /** @type {(at: object, fire: boolean, publish: boolean) => void} */ (plot.setCursor)(
      { left: plot.valToPos(time, "x"), top: 0 },
      true,
      true, // charts in step follow it
    );
  }

  /** @param {HTMLElement} holder @returns {uPlot.Options} */
  #options(holder) {
    const { range, zero } = this.axis;
    const ends = () => /** @type {[number, number]} */ ([this.#frame.from / 1_000, this.#frame.to / 1_000]);
    return {
      width: holder.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { show: false }, y: false, sync: { key: "looks" } },
      scales: {
        x: { time: true, range: ends },
        ...(range && { y: { range: (plot) => range([...plot.data].map((each) => [...each])) } }),
      },
      axes: this.#axes(),
      series: [{}, ...this.lines.map(series)],
      bands: this.lines.flatMap(({ area }, index) =>
        area ? [{ series: [index + 1, area.below + 1], fill: translucent(colour(area.fill), area.opacity) }] : [],
      ),
      hooks: {
        drawAxes: zero ? [drawZero] : [],
        draw: [(plot) => drawMarks(plot, this.#frame.marks)],
        setCursor: [(plot) => this.#read(plot)],
      },
    };
  }

  /** @returns {uPlot.Axis[]} */
  #axes() {
    const { write } = this.axis;
    const stroke = colour("--quiet");
    const grid = { stroke: colour("--rule"), width: 1 };
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    return [
      {
        stroke,
        grid: { show: false },
        ticks: grid,
        font,
        space: 90,
        values: (_, ticks) => ticks.map(clockOf(this.#frame)),
      },
      {
        stroke,
        grid,
        ticks: { show: false },
        font,
        size: this.#frame.breadth,
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

/** A line with its number at each moment; what lasted is a band.
 * @param {uPlot} plot @param {Frame["marks"]} marks */
function drawMarks({ ctx, bbox, valToPos }, marks) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.font = `${11 * devicePixelRatio}px ${getComputedStyle(document.body).fontFamily}`;
  ctx.textBaseline = "top";
  marks.forEach(({ time, until }, index) => {
    const [from, to] = [time, until].map((each) => Math.round(valToPos(each / 1_000, "x", true)));
    if (from === undefined || to === undefined) return;
    ctx.fillStyle = translucent(colour("--warn"), 0.15);
    ctx.fillRect(from, bbox.top, to - from, bbox.height);
    ctx.strokeStyle = ctx.fillStyle = colour("--quiet");
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([2, 3].map((each) => each * devicePixelRatio));
    ctx.beginPath();
    ctx.moveTo(from, bbox.top);
    ctx.lineTo(from, bbox.top + bbox.height);
    ctx.stroke();
    ctx.fillText(String(index + 1), from + 3 * devicePixelRatio, bbox.top + 2 * devicePixelRatio);
  });
  ctx.restore();
}

/** How a tick is written: with its date, where there are several days.
 * @param {Frame} frame */
function clockOf({ from, to }) {
  const [begin, end] = to - from > 86_400_000 ? [5, 16] : [11, 19];
  return (/** @type {number} */ seconds) => moment.bare(seconds * 1_000).slice(begin, end);
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
