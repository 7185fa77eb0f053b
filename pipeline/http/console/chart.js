// Chart: lines over the looks, drawn by uPlot, with a table of the same numbers.

import { h, table } from "./dom.js";
import { moment } from "./numbers.js";

const HEIGHT = 240;

/** Colours of the page as it is shown now, for a canvas that knows no style sheet. */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/**
 * A chart that lives on in its place (`data-kept`) while the page around it is drawn again.
 *
 * `series`: {label, tone, dash, width, and, for an area: band, the index of the series that bounds it below, fill,
 * opacity}. `write` says a value of its axis, `label` in words what it shows, `range` gives the axis' two ends.
 */
export function chart(id, series, { write, label, range, zero = false }) {
  let plot = null;
  let holder = null;
  let told = [];
  let drawn = [];

  function make() {
    const ink = colour("--quiet");
    const grid = { stroke: colour("--rule"), width: 1 };
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const wide = Math.max(...(told[1] ?? [0]).map((each) => write(each ?? 0).length), 4);
    plot?.destroy();
    plot = new window.uPlot(
      {
        width: holder.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { drag: { x: false, y: false }, points: { show: false } },
        scales: { x: { time: true }, ...(range && { y: { range: () => range(told) } }) },
        tzDate: (seconds) => window.uPlot.tzDate(new Date(seconds * 1_000), "UTC"),
        axes: [
          {
            stroke: ink,
            grid: { show: false },
            ticks: grid,
            font,
            space: 90,
            values: (_, ticks) => ticks.map(clockOf(told[0])),
          },
          {
            stroke: ink,
            grid,
            ticks: { show: false },
            font,
            size: 14 + 7 * wide,
            values: (_, ticks) => ticks.map((each) => (each === 0 ? "0" : write(each))),
          },
        ],
        series: [
          {},
          ...series.map(({ label: name, tone, dash, width = 1.5 }) => ({
            label: name,
            stroke: tone ? colour(tone) : "transparent",
            dash,
            width,
            points: { show: false },
            spanGaps: true,
          })),
        ],
        bands: series.flatMap(({ band, fill, opacity }, index) =>
          band === undefined ? [] : [{ series: [index + 1, band + 1], fill: translucent(colour(fill), opacity) }],
        ),
        hooks: zero ? { drawAxes: [drawZero] } : {},
      },
      told,
      holder,
    );
  }

  function drawZero({ ctx, bbox, valToPos, scales }) {
    if (scales.y.min > 0 || scales.y.max < 0) return;
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

  return {
    place: () => h("div", { id, class: "chart", role: "img", "data-kept": true }),
    /** Draw these columns in its place: times (ms), then one per series. */
    draw(columns) {
      const found = document.getElementById(id);
      if (!found || !columns[0].length) return;
      const state = [columns, found, found.clientWidth, colour("--paper")];
      if (state.every((each, index) => each === drawn[index])) return;
      const isSame = state.slice(1).every((each, index) => each === drawn[index + 1]);
      [drawn, holder] = [state, found];
      told = [columns[0].map((time) => time / 1_000), ...columns.slice(1)];
      holder.setAttribute("aria-label", label(columns));
      if (isSame) plot.setData(told);
      else make();
    },
  };
}

/** How a tick is written: with its date, where there are several days. */
function clockOf(times) {
  const [from, to] = times.at(-1) - times[0] > 86_400 ? [5, 16] : [11, 19];
  return (seconds) => moment(seconds * 1_000).slice(from, to);
}

/** A hexadecimal colour with that opacity. */
const translucent = (hex, opacity) =>
  `${hex}${Math.round(opacity * 255)
    .toString(16)
    .padStart(2, "0")}`;

/** The table of a chart: heads, and one row per look, newest first. It is made while it is unfolded: it may be long. */
export function numbers(id, heads, rows, redraw) {
  const isOpen = document.getElementById(id)?.open;
  const cells = ([first, ...others]) =>
    h(
      "tr",
      null,
      h("th", { scope: "row", class: "number" }, first),
      others.map((each) => h("td", { class: "number" }, each)),
    );
  return h(
    "details",
    { id, class: "numbers", ontoggle: redraw },
    h("summary", null, "The same numbers as a table"),
    isOpen &&
      table("Numbers of the chart", heads, rows().toReversed().map(cells), { kind: "number", frame: "wide high" }),
  );
}
