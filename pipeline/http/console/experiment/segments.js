// Segments: a metric's comparison within parts of the audience.

/** @import { Look } from "#api" */
/** @import { Told } from "../flag/definition.js" */
/** @import { Choice, Choose } from "./choice.js" */

import { h } from "../dom.js";
import { term } from "../parts/meanings.js";
import { vocabulary } from "../parts/vocabulary.js";
import { segmentTable } from "./scorecard.js";

/** @param {Told} flag @param {Look} look @param {Choice} choice @param {Choose} choose */
export function segments(flag, look, choice, choose) {
  const found = look.cells.filter((cell) => cell.segment !== vocabulary.everyone);
  const metrics = [...new Set(found.map((cell) => cell.metric))];
  const metric = metrics.find((each) => each === choice.metric) ?? metrics[0];
  if (metric === undefined || !found.length) return null;
  return h(
    "section",
    { "aria-labelledby": "segments" },
    h(
      "div",
      { class: "head" },
      h("h2", { id: "segments" }, term("segments", "Segments")),
      h(
        "label",
        null,
        "Metric ",
        h(
          "select",
          { id: "segmented", onchange: ({ target }) => choose({ metric: target.value }) },
          metrics.map((each) => h("option", { value: each, selected: each === metric }, each)),
        ),
      ),
    ),
    segmentTable(flag, look, metric, choice),
  );
}
