// Health: whether a look can be believed, and what was left out of it.

/** @import { Health, Loss, Mark } from "#api" */
/** @import { Child } from "./dom.js" */
/** @import { Term } from "./meanings.js" */

import { fact, h } from "./dom.js";
import { term } from "./meanings.js";
import { count, pValue, share } from "./numbers.js";
import { vocabulary } from "./vocabulary.js";
import { mark } from "./words.js";

/** Whether units are split as nobody promised.
 * @param {Health} health */
export const isBroken = ({ srm_running_p_value: p }) => p !== null && p < vocabulary.split_alpha;

/** @param {{ health: Health }} look */
export function health({ health: told }) {
  const units = told.arms.reduce((sum, arm) => sum + arm.units, 0);
  return h(
    "section",
    { "aria-labelledby": "health" },
    h("h2", { id: "health" }, "Health"),
    h(
      "dl",
      { class: "facts health" },
      split(told, units),
      number("exposures", "exposures", told.exposures),
      number("counted", "counted events", told.counted_events),
      told.full_lookback !== undefined && lookback(told.full_lookback),
      counted("jumpers", "jumpers", told.jumpers, told.jumpers > 0 && share(told.jumpers / (units + told.jumpers), 2)),
      counted("late", "late exposures", told.late_exposures),
      counted("late", "late events", told.late_events),
      counted("duplicates", "duplicates", told.duplicate_events),
      counted("ids", "reused ids", told.duplicate_ids),
      counted("unusable", "unusable", told.unusable_events, example(told.losses, "example")),
      example(told.losses, "rounded") && counted("rounded", "rounded", example(told.losses, "rounded")),
      counted("withheld", "withheld", told.withheld_units),
      told.crowded_units && counted("crowded", "crowded", told.crowded_units),
      counted("reassigned", "reassigned", told.reassigned),
      counted("forced", "forced", told.forced),
      counted("inactive", "inactive", told.inactive),
    ),
  );
}

/** @param {Health} told @param {number} units */
function split(told, units) {
  /** @type {Mark} */
  const state = isBroken(told)
    ? { sign: "✘", says: "broken", tone: "bad" }
    : { sign: "✔", says: "as promised", tone: "good" };
  const arms = told.arms.map((arm) => {
    const part = units ? share(arm.units / units, 2) : "–";
    return `${arm.variant} ${count(arm.units)} (${part}, promised ${share(arm.expected_share)})`;
  });
  return fact(
    term("split", "split"),
    [units > 0 ? mark(state) : "–", ` p ${pValue(told.srm_running_p_value)}`, h("small", null, arms.join(" · "))],
    "split",
  );
}

/** @param {number} part */
const lookback = (part) =>
  fact(term("lookback", "full lookback"), [share(part), h("small", null, " of units")], part ? null : "zero");

/** @param {Term} name @param {string} text @param {number} value */
const number = (name, text, value) => fact(term(name, text), count(value));

/** The same of what is hoped to be none.
 * @param {Term} name @param {string} text @param {number | string | null | undefined} value @param {Child} also */
const counted = (name, text, value, also = null) =>
  fact(
    term(name, text),
    [typeof value === "number" ? count(value) : value, also && h("small", null, [" ", also])],
    value ? null : "zero",
  );

/** Of the first metric that has one, a value that is of no use, or is rounded.
 * @param {Loss[] | undefined} losses @param {"example" | "rounded"} kind */
function example(losses, kind) {
  const its = losses?.find((loss) => typeof loss[kind] === "string");
  return its && `${its.metric}: ${its[kind] || "missing"}`;
}
