// Choice: how a person chose to see an experiment's numbers, and how an address says so.

/** @import { Cell } from "#api" */

import { vocabulary } from "../parts/vocabulary.js";

/**
 * @typedef {"deciding" | Cell["reading"]} Reading
 * @typedef {{
 *   reading: Reading,
 *   absolute: boolean,
 *   metric: string | null,
 *   variant: string | null,
 *   segment: string,
 *   drawer: string | null,
 * }} Choice Which units are counted, and whether differences are absolute; the comparison that is shown over the looks and
 *   by segments; null: the one that decides; the metric whose drawer is open.
 * @typedef {(chosen: Partial<Choice>) => void} Choose
 */

/** What the choices of a reading say. @type {Record<Reading, string>} */
export const READINGS = {
  deciding: "deciding: settled once enough, else live",
  settled: "settled: units whose window is over",
  live: "live: everyone so far",
};

/** @param {URLSearchParams} query @returns {Choice} */
export function choiceOf(query) {
  const reading = query.get("reading") ?? "";
  return {
    reading: reading in READINGS ? /** @type {Reading} */ (reading) : "deciding",
    absolute: query.get("absolute") === "true",
    metric: query.get("metric"),
    variant: query.get("variant"),
    segment: query.get("segment") ?? vocabulary.everyone,
    drawer: query.get("drawer"),
  };
}

/** What differs from what is shown unasked.
 * @param {Choice} choice */
export const queryOf = ({ reading, absolute, metric, variant, segment, drawer }) =>
  new URLSearchParams({
    ...(metric !== null && { metric }),
    ...(variant !== null && { variant }),
    ...(reading !== "deciding" && { reading }),
    ...(segment !== vocabulary.everyone && { segment }),
    ...(drawer !== null && { drawer }),
    ...(absolute && { absolute: "true" }),
  });
