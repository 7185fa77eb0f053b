// Route: which page an address names, of what, and how it is seen.

/** @typedef {{ at: string, of: string[], query: URLSearchParams }} Route `#/experiments/KEY?metric=orders` is at
 *   `experiments`, of KEY. */

/** @param {string} hash @returns {Route} */
export function routeOf(hash) {
  const [path = "", query = ""] = hash.replace(/^#(\/|main$)?/, "").split("?", 2);
  const [at = "", ...of] = path.split("/").map(decoded);
  return { at, of, query: new URLSearchParams(query) };
}

/** The address of a route.
 * @param {Route} route */
export function addressOf({ at, of, query }) {
  const path = [at, ...of].map(encodeURIComponent).join("/");
  return `#/${path}${query.size ? `?${query}` : ""}`;
}

/** @param {string} part As it is, where nobody has encoded it. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
