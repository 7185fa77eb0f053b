// Definition: a flag as the server tells it, and its definition with what holds where the document says nothing.

/** @import { Analysis, Flag, Goal, Segment, Shown, Variant } from "#api" */

import { getDocument } from "./api.js";
import { vocabulary } from "./vocabulary.js";

/** @template T @typedef {{ [K in keyof T]-?: Exclude<T[K], undefined> }} Whole */
/**
 * @typedef {Omit<Whole<Flag>, "variants" | "segments" | "metrics"> & {
 *   variants: Whole<Variant>[],
 *   segments: Whole<Segment>[],
 *   metrics: Whole<Goal>[],
 *   analysis: Whole<Analysis>,
 * }} Definition
 * @typedef {Shown & { definition: Definition }} Told
 */

/** A flag or an experiment.
 * @param {string} key @returns {Promise<Told>} */
export async function readFlag(key) {
  /** @type {Shown} */
  const shown = await getDocument(`overview/${encodeURIComponent(key)}`);
  return { ...shown, definition: definition(shown.state.definition) };
}

/** @param {Analysis} analysis */
export const analysisOf = (analysis) => whole(vocabulary.defaults.analysis, analysis);

/** @param {Flag} flag @returns {Definition} */
function definition(flag) {
  const { defaults } = vocabulary;
  const all = whole(defaults.flag, flag);
  return {
    ...all,
    variants: all.variants.map((each) => whole(defaults.variant, each)),
    segments: all.segments.map((each) => whole(defaults.segment, each)),
    metrics: all.metrics.map((each) => whole(defaults.goal, each)),
    analysis: analysisOf(all.analysis),
  };
}

/** @template {object} T @param {Record<string, unknown>} defaults @param {T} part */
const whole = (defaults, part) => /** @type {Whole<T>} */ ({ ...defaults, ...part });
