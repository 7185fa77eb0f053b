// Best: which of several arms can still be the best by the primary metric, and how likely each is.

/** @import { Look } from "#api" */

import { h } from "../dom.js";
import { term } from "../parts/meanings.js";
import { share } from "../parts/numbers.js";

/** @param {Look} look */
export function best({ best: arms = [] }) {
  const metrics = [...new Set(arms.map((arm) => arm.metric))];
  return metrics.map((metric) =>
    h(
      "section",
      { "aria-label": `Best arm by ${metric}` },
      h("h2", null, `Best arm by ${metric}`),
      h(
        "table",
        { class: "plain" },
        h(
          "thead",
          null,
          h(
            "tr",
            null,
            h("th", { scope: "col" }, "Variant"),
            h("th", { scope: "col", class: "number" }, term("Contender.chance", "Chance to be best")),
            h("th", { scope: "col" }, term("Contender.beaten_by", "Still in the race")),
          ),
        ),
        h(
          "tbody",
          null,
          arms
            .filter((arm) => arm.metric === metric)
            .map(({ variant, chance, beaten_by: by }) =>
              h(
                "tr",
                null,
                h("th", { scope: "row" }, variant),
                h("td", { class: "number" }, share(chance, 1)),
                h("td", null, by ? `No: ${by} is better` : "Yes, it can be the best"),
              ),
            ),
        ),
      ),
    ),
  );
}
