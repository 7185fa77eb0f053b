// May: who is signed in, and what that one may. Nobody sees a button that he may not press.

/** @import { Me } from "#api" */

import { get, Refusal, showLink } from "../api.js";
import { useLink } from "./link.js";

/** @type {Me | null} */
let me = null;

/** Who is signed in; null: nobody, or it is not known yet. */
export const who = () => me;

/** Whether whoever is signed in may do so.
 * @param {Me["may"][number]} what */
export const may = (what) => me?.may.includes(what) ?? false;

/** Learn who is signed in, once; a link counts for who is not. Throws what the server refuses. */
export async function recognize() {
  if (me) return;
  showLink(null);
  try {
    me = await get("me");
  } catch (error) {
    if (!(error instanceof Refusal && error.isOfKey && useLink())) throw error;
    me = await get("me");
  }
}

/** What was learned holds no more. */
export const forget = () => {
  me = null;
};
