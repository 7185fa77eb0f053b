// Wording: a metric's definition as a sentence.

import { typedOf } from "../authoring/values.js";

/** @param {any} metric */
export function inWords(metric) {
  const { type, window, where = [], property, cap, lower_cap: floor, log, cuped } = metric;
  const limits = [
    where.length > 0 && `Only events count whose ${where.map(condition).join(", and whose ")}.`,
    window === "none" ? "Whatever comes after its entry counts." : `Counted within ${window} after a unit's entry.`,
    cap !== undefined && cap !== null && `A unit counts for at most ${typedOf(cap)}.`,
    floor !== undefined && floor !== null && `A unit counts for at least ${typedOf(floor)}.`,
    log && "Of a unit's number ln(1 + x) is taken.",
    cuped &&
      `What a unit did in ${cuped.lookback} before its entry explains a part of it${cuped.with?.length ? `, by ${cuped.with.join(", ")} too` : ""}.`,
  ];
  return [`${what(metric, type, property)}.`, ...limits].filter(Boolean).join(" ");
}

/** @param {any} metric @param {string} type @param {string | undefined} property */
function what(metric, type, property) {
  const { event, numerator, denominator, steps = [], counting, start, nth = 1, period = "24h" } = metric;
  switch (type) {
    case "conversion":
      return `Whether a unit sent ‘${event}’`;
    case "count":
      return `How many times a unit sent ‘${event}’`;
    case "sum":
      return `The total of ‘${property}’ over a unit's ‘${event}’`;
    case "mean":
      return `The average of ‘${property}’ over a unit's ‘${event}’`;
    case "ratio":
      return `The total of ‘${numerator}’ over all units, by that of ‘${denominator}’`;
    case "distinct":
      return property
        ? `How many different values of ‘${property}’ a unit's ‘${event}’ had`
        : `On how many days a unit sent ‘${event}’`;
    case "percentile":
      return `The value up to which ${typedOf(metric.percentile)} % of ${metric.of === "units" ? `units' totals of ‘${property}’ over their ‘${event}’` : `all ‘${property}’ of ‘${event}’`} lie`;
    case "retention":
      return `Whether a unit sent ‘${event}’ in period ${typedOf(nth)} (of ${period}) after its first ‘${start?.event}’`;
    default: {
      const names = steps.map((/** @type {any} */ step) => `‘${step.event}’`).join(", then ");
      return counting === "totals" ? `How many times over a unit sent ${names}` : `Whether a unit sent ${names}`;
    }
  }
}

/** Whether its numbers are shares: of units that did something.
 * @param {any} metric */
export const isShare = ({ type, counting }) =>
  ["conversion", "retention"].includes(type) || (type === "funnel" && counting !== "totals");

/** @param {any} condition */
const condition = ({ property, op, values }) =>
  `${property} ${op} ${values.map((/** @type {string} */ v) => `‘${v}’`).join(", ")}`;
