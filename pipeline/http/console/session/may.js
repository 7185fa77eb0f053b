// May: who is signed in, and what that one may. Nobody sees a button that he may not press.

/** @import { Me } from "#api" */

import { get } from "../api.js";

/** @type {Me | null} */
let me = null;

/** Who is signed in; null: nobody, or it is not known yet. */
export const who = () => me;

/** Whether whoever is signed in may do so.
 * @param {Me["may"][number]} what */
export const may = (what) => me?.may.includes(what) ?? false;

/** Learn who is signed in, once. Throws what the server refuses. */
export async function recognize() {
  me ??= await get("me");
}

/** What was learned holds no more. */
export const forget = () => {
  me = null;
};
