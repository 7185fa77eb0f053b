// Distribution: units' numbers in bins, as a picture and as the numbers behind it.

/** @import { Histogram } from "#api" */

import { h, svg } from "../dom.js";
import { count, share } from "../parts/numbers.js";

const HEIGHT = 96;
const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });

/** @param {number} value */
const edge = (value) => plain.format(value).replace("-", "−");

/** @param {{ label: string, edges: number[], histogram: Histogram }} props */
export function Distribution({ label, edges, histogram: { zeros, counts } }) {
  const units = zeros + counts.reduce((sum, each) => sum + each, 0);
  if (!units) return h("p", { class: "quiet" }, "No unit has a number yet.");
  const top = Math.max(...counts, 1);
  const width = 100 / Math.max(counts.length, 1);
  return h(
    "figure",
    { class: "distribution" },
    counts.length > 0 &&
      svg(
        "svg",
        { height: HEIGHT, width: "100%", role: "img", "aria-label": label, class: "bins" },
        counts.map((each, index) => {
          const high = (each / top) * (HEIGHT - 2);
          return svg(
            "rect",
            { x: `${index * width}%`, width: `${width * 0.94}%`, y: HEIGHT - high, height: high },
            svg("title", null, `${binOf(edges, index)}: ${count(each)} units, ${share(each / units)}`),
          );
        }),
      ),
    counts.length > 0 &&
      h("p", { class: "ends" }, h("span", null, edge(edges[0] ?? 0)), h("span", null, edge(edges.at(-1) ?? 0))),
    h(
      "figcaption",
      null,
      `${count(units)} units; ${count(zeros)} (${share(zeros / units)}) have 0, and are in no bin. `,
      h(Bins, { label, edges, counts, units }),
    ),
  );
}

/** @param {{ label: string, edges: number[], counts: number[], units: number }} props */
const Bins = ({ label, edges, counts, units }) =>
  h(
    "details",
    null,
    h("summary", null, "The numbers"),
    h(
      "ol",
      { "aria-label": `Bins of ${label}` },
      counts.map((each, index) => h("li", null, `${binOf(edges, index)}: ${count(each)} (${share(each / units)})`)),
    ),
  );

/** @param {number[]} edges @param {number} index */
const binOf = (edges, index) =>
  `${edge(edges[index] ?? 0)} to ${index + 2 === edges.length ? "" : "below "}${edge(edges[index + 1] ?? 0)}`;
