// Shipped: what the flags of a measured holdout brought one by one, beside what the holdout shows of them together.

/** @import { Lift, ShippedMetric } from "#api" */

import { get } from "../api.js";
import { h, useState } from "../dom.js";
import { interval, lift, moment } from "../parts/numbers.js";
import { useRepeated } from "../parts/repeated.js";
import { who } from "../session/may.js";

const AGAIN_MS = 30_000;

/** Of an experiment that measures a holdout; else, and for those who came by a link, it is nothing.
 * @param {{ experiment: string, holdout: string | null }} props */
export function Shipped({ experiment, holdout }) {
  const isShown = Boolean(holdout) && !who()?.experiment;
  const [told, setTold] = useState(/** @type {ShippedMetric[]} */ ([]));
  const path = isShown ? `experiments/${encodeURIComponent(experiment)}/shipped` : null;
  useRepeated(path, (of) => get(of), setTold, AGAIN_MS);
  if (!isShown || told.length === 0) return null;
  return h(
    "section",
    { "aria-labelledby": "shipped" },
    h("h2", { id: "shipped" }, `Shipped while ${holdout} was measured`),
    told.map((each) =>
      h(
        "div",
        { key: each.metric },
        h("p", null, each.says),
        h(
          "table",
          { class: "plain", "aria-label": each.metric },
          h("thead", null, h("tr", null, ["Change", "Shipped", `Lift of ${each.metric}`].map(head))),
          h(
            "tbody",
            null,
            each.changes.map((change) =>
              h(
                "tr",
                null,
                h(
                  "th",
                  { scope: "row" },
                  h("a", { href: `#/experiments/${encodeURIComponent(change.flag)}` }, change.flag),
                  `: ${change.variant}`,
                ),
                h("td", null, moment(change.time)),
                h("td", null, change.lift ? sized(change.lift) : "not measured"),
              ),
            ),
            each.total && row("Together, by their own looks", each.total),
            each.measured && row("Everybody else beside those held out", each.measured),
          ),
        ),
      ),
    ),
  );
}

/** @param {string} text */
const head = (text) => h("th", { scope: "col" }, text);

/** @param {string} what @param {Lift} its */
const row = (what, its) =>
  h("tr", null, h("th", { scope: "row", colspan: 2 }, what), h("td", null, h("strong", null, sized(its))));

/** @param {Lift} its */
const sized = ({ estimate, lower, upper }) => `${lift(estimate)} ${interval(lower, upper, lift)}`;
