// Vocabulary: the words, signs and numbers by which the server tells what it knows. They are learnt before a page is drawn.

/** @import { Vocabulary } from "#api" */

import { get } from "../api.js";

export const vocabulary = /** @type {Vocabulary} */ ({});

export async function learn() {
  if (!vocabulary.decisions) Object.assign(vocabulary, await get("vocabulary"));
}
