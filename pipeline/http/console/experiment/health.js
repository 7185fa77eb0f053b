// Health: whether a look can be believed, and what was left out of it.

/** @import { Health, Loss, Mark } from "#api" */
/** @import { Child } from "../dom.js" */

import { fact, h } from "../dom.js";
import { field, term, titled } from "../parts/meanings.js";
import { count, pValue, share, written } from "../parts/numbers.js";
import { vocabulary } from "../parts/vocabulary.js";
import { mark } from "../parts/words.js";

/** Whether units are split as nobody promised.
 * @param {Health} health */
export const isBroken = ({ srm_running_p_value: p }) => p !== null && p < vocabulary.split_alpha;

/** @type {("unjoined_events" | "waiting_events" | "moved_events" | "crossed_people")[]} */
const OF_PEOPLE = ["unjoined_events", "waiting_events", "moved_events", "crossed_people"];

/** @param {{ health: Health }} look */
export function health({ health: told }) {
  const units = told.arms.reduce((sum, arm) => sum + arm.units, 0);
  const rounded = example(told.losses, "rounded");
  return h(
    "section",
    { "aria-labelledby": "health" },
    h("h2", { id: "health" }, "Health"),
    h(
      "dl",
      { class: "facts health" },
      split(told, units),
      number(told, "exposures"),
      number(told, "counted_events"),
      told.full_lookback !== undefined && counted(told, "full_lookback", "of units"),
      counted(told, "jumpers", told.jumpers > 0 && share(told.jumpers / (units + told.jumpers), 2)),
      counted(told, "late_exposures"),
      counted(told, "late_events"),
      counted(told, "duplicate_events"),
      counted(told, "duplicate_ids"),
      counted(told, "unusable_events", example(told.losses, "example")),
      rounded && fact(term("rounded", "rounded"), rounded),
      counted(told, "withheld_units"),
      told.crowded_units && counted(told, "crowded_units", `over ${count(vocabulary.most_events)} events in an hour`),
      ...OF_PEOPLE.filter((name) => told[name] !== undefined).map((name) => counted(told, name)),
      counted(told, "reassigned"),
      counted(told, "forced"),
      counted(told, "inactive"),
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
    titled("Health.srm_running_p_value"),
    [units > 0 ? mark(state) : "–", ` p ${pValue(told.srm_running_p_value)}`, h("small", null, arms.join(" · "))],
    "split",
  );
}

/** @typedef {{ [Name in keyof Health]: NonNullable<Health[Name]> extends number ? Name : never }[keyof Health]} Numbers */

/** @param {Health} health @param {NonNullable<Numbers>} name */
const number = (health, name) => fact(titled(`Health.${name}`), written(health[name], field(`Health.${name}`).unit));

/** The same of what is hoped to be none.
 * @param {Health} health @param {NonNullable<Numbers>} name @param {Child} also */
const counted = (health, name, also = null) =>
  fact(
    titled(`Health.${name}`),
    [written(health[name], field(`Health.${name}`).unit), also && h("small", null, [" ", also])],
    health[name] ? null : "zero",
  );

/** Of the first metric that has one, a value that is of no use, or is rounded.
 * @param {Loss[] | undefined} losses @param {"example" | "rounded"} kind */
function example(losses, kind) {
  const its = losses?.find((loss) => typeof loss[kind] === "string");
  return its && `${its.metric}: ${its[kind] || "missing"}`;
}
