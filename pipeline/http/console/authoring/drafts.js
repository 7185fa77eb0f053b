// Drafts: what was typed and not published yet, kept in this browser until it is published or discarded.

import { readExactly } from "./values.js";

/** @typedef {{ definition: any, base: number, time: number }} Draft `base`: the version that was edited. */

const KEPT = "peekproof-draft/";

/** @param {string} name @returns {Draft | null} */
export function draftOf(name) {
  try {
    return readExactly(localStorage.getItem(KEPT + name) ?? "null");
  } catch {
    return null; // of another version of this page
  }
}

/** Whether it is kept: a browser has room for some megabytes alone.
 * @param {string} name @param {Draft} draft */
export function keepDraft(name, draft) {
  try {
    localStorage.setItem(KEPT + name, JSON.stringify(draft));
    return true;
  } catch {
    return false;
  }
}

/** @param {string} name */
export const dropDraft = (name) => localStorage.removeItem(KEPT + name);
