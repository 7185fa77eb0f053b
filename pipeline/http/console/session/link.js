// Link: what whoever was sent a link to one experiment shows instead of a session, in this tab alone.

import { showLink } from "../api.js";

const KEPT = "peekproof-link";

/** Take what the address carries, and have it say that no more; whether there was any. */
export function takeLink() {
  const [path = "", query = ""] = location.hash.split("?", 2);
  const asked = new URLSearchParams(query);
  const link = asked.get("link");
  if (!link) return false;
  sessionStorage.setItem(KEPT, link);
  asked.delete("link");
  history.replaceState(null, "", asked.size ? `${path}?${asked}` : path);
  return true;
}

/** Show it with every request; whether there is any. */
export function useLink() {
  const kept = sessionStorage.getItem(KEPT);
  showLink(kept);
  return kept !== null;
}

/** The address that opens an experiment for whoever has it.
 * @param {string} experiment @param {string} key What the server made. */
export const addressWith = (experiment, key) =>
  `${location.origin}/#/experiments/${encodeURIComponent(experiment)}?link=${encodeURIComponent(key)}`;
