// Definition: a flag as the server tells it, and its definition with what holds where the document says nothing, and
// with the percentages that are in force, of a plan those of its step.

/** @import { Analysis, Flag, FlagArriving, Goal, Segment, Shown, Variant } from "#api" */

import { get, getDocument } from "../api.js";
import { vocabulary } from "../parts/vocabulary.js";

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
  return toldOf(shown);
}

/** One that was read along with others.
 * @param {Shown} shown @returns {Told} */
export const toldOf = (shown) => ({ ...shown, definition: definition(shown) });

/** What came of it within the last hour; null: it cannot be told now.
 * @param {string} key @returns {Promise<FlagArriving | null>} */
export const readArriving = (key) => get(`arriving/flags/${encodeURIComponent(key)}`).catch(() => null);

/** @param {Analysis} analysis */
export const analysisOf = (analysis) => whole(vocabulary.defaults.analysis, analysis);

/** @param {Shown} shown @returns {Definition} */
function definition({ state, rollout, of_segments }) {
  const { defaults } = vocabulary;
  const all = whole(defaults.flag, state.definition);
  return {
    ...all,
    rollout,
    variants: all.variants.map((each) => whole(defaults.variant, each)),
    segments: all.segments.map((each, index) => ({
      ...whole(defaults.segment, each),
      rollout: of_segments[index] ?? 0,
    })),
    metrics: all.metrics.map((each) => whole(defaults.goal, each)),
    analysis: analysisOf(all.analysis),
  };
}

/** @template {object} T @param {Record<string, unknown>} defaults @param {T} part */
const whole = (defaults, part) => /** @type {Whole<T>} */ ({ ...defaults, ...part });
