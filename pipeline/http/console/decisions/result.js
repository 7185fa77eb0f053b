// Result: what a look says of each metric, in a table that also prints.

/** @import { Look } from "#api" */
/** @import { Told } from "../flag/definition.js" */

import { h, table } from "../dom.js";
import { arm, certainty, judged, shown, size } from "../experiment/comparisons.js";
import { vocabulary } from "../parts/vocabulary.js";

/** @param {Told} flag @param {Look} look */
export function result(flag, look) {
  const everybody = look.cells.filter((cell) => cell.segment === vocabulary.everyone);
  const rows = flag.definition.metrics.flatMap((goal) =>
    shown(
      everybody.filter((cell) => cell.metric === goal.metric),
      "deciding",
    ).map((cell) => ({ goal, cell })),
  );
  const isChance = flag.definition.analysis?.method === "bayesian";
  return table(
    "Result",
    ["metric", "variant", flag.control, "variant's", "lift", isChance ? "chance" : "p", "judged"],
    rows.map(({ goal, cell }) =>
      h(
        "tr",
        null,
        h("th", { scope: "row" }, cell.metric, h("small", null, vocabulary.goal_roles[goal.role].says)),
        h("td", null, cell.variant),
        arm(cell.control_mean, cell.control_nonzero, cell.control_n, isShare(flag, cell.metric), flag.control),
        arm(cell.mean, cell.nonzero, cell.n, isShare(flag, cell.metric), cell.variant),
        size(cell, isShare(flag, cell.metric), { absolute: false }),
        h("td", { class: "number" }, certainty(cell)),
        h("td", null, judged(cell)),
      ),
    ),
  );
}

/** @param {Told} flag @param {string} metric */
const isShare = ({ conversions }, metric) => conversions.includes(metric);
