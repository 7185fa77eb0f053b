// Api: the server's routes. Who is signed in has a cookie, which no script can read.

const RETRY_MS = [500, 1_000, 2_000];
const RETRY_MOST_MS = 5_000;

/** @typedef {{ path: string, error: string }} Fault What is wrong with a field of a document. */

/** An answer that is no success: `status`, the server's own words, what would follow from the action that it refused, and
 * which fields are to blame. */
export class Refusal extends Error {
  /** @param {number} status @param {{ error: string, consequences?: string[], faults?: Fault[] }} told */
  constructor(status, { error, consequences = [], faults = [] }) {
    super(error);
    this.status = status;
    this.consequences = consequences;
    this.faults = faults;
  }

  get isOfKey() {
    return this.status === 401 || this.status === 403;
  }
}

let ahead = 0; // of the server's clock over this one's, ms

/** The server's clock, ms. */
export const now = () => Date.now() + ahead;

/** @param {number} time What it says now. */
export const setClock = (time) => {
  ahead = time - Date.now();
};

/** @template T @param {string} path @returns {Promise<T>} */
export const get = async (path) => (await ask(path)).json();

/** Like `get`, of documents: whole numbers beyond JavaScript's are shown as they are written.
 * @template T @param {string} path @returns {Promise<T>} */
export const getDocument = async (path) => JSON.parse(await (await ask(path)).text(), asWritten);

// What JavaScript has and its types don't tell yet.
const { rawJSON } = /** @type {{ rawJSON?: (text: string) => unknown }} */ (JSON);

/** @param {string} _ @param {unknown} value @param {{ source?: string }} context */
const asWritten = (_, value, { source = "" } = {}) =>
  typeof value === "number" && /^-?\d{16,}$/.test(source) && rawJSON ? rawJSON(source) : value;

/** Save an answer as a file.
 * @param {string} path @param {string} name */
export async function save(path, name) {
  const address = URL.createObjectURL(await (await ask(path)).blob());
  Object.assign(document.createElement("a"), { href: address, download: name }).click();
  URL.revokeObjectURL(address);
}

/** @param {"POST" | "PUT"} method @param {string} path @param {object} body */
export const send = (method, path, body) =>
  ask(path, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

/** @param {string} path @param {Record<string, string | number | boolean>} query */
export const remove = (path, query = {}) =>
  ask(`${path}?${new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]))}`, {
    method: "DELETE",
  });

/** @type {string | null} */
let link = null; // that is shown with every request

/** Show a link with every request from now on, which then counts instead of a session; null: none.
 * @param {string | null} text */
export const showLink = (text) => {
  link = text;
};

/** @param {string} path @param {RequestInit} request */
export async function ask(path, request = {}) {
  const headers = new Headers(request.headers);
  if (link) headers.set("authorization", `Bearer ${link}`);
  let answer;
  try {
    answer = await fetch(`/api/1/${path}`, { ...request, headers });
  } catch (error) {
    if (request.signal?.aborted) throw error;
    throw new Refusal(0, { error: "The server cannot be reached; see whether `peekproof serve` is running." });
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({ error: `The server answered ${answer.status}.` }));
  throw new Refusal(answer.status, told);
}

/** Begin now, and again whenever the tab is shown again; until `signal`, and each time until it is hidden.
 * @param {AbortSignal} signal @param {(signal: AbortSignal) => unknown} begin */
export function whileShown(signal, begin) {
  let hiding = new AbortController();
  const change = () => {
    hiding.abort();
    if (document.hidden) return;
    hiding = new AbortController();
    begin(AbortSignal.any([signal, hiding.signal]));
  };
  document.addEventListener("visibilitychange", change, { signal });
  change();
}

/**
 * @typedef {{
 *   signal: AbortSignal,
 *   take: (event: string, data: any) => void,
 *   tell: (state: "live" | "lost" | "refused") => void,
 * }} Follower
 */

/**
 * Follow a stream of server-sent events until `signal`, through every interruption but that of the key: `take(event, data)`
 * is called for each, `tell` when the connection changes. A browser holds six connections to a server, for all tabs: one
 * that is hidden leaves them to others.
 * @param {string} path @param {Follower} follower
 */
export const follow = (path, follower) => whileShown(follower.signal, (signal) => hold(path, { ...follower, signal }));

/** Not by EventSource, which can't say why it was refused.
 * @param {string} path @param {Follower} follower */
async function hold(path, { signal, take, tell }) {
  for (let failures = 0; !signal.aborted; failures += 1) {
    try {
      const answer = await ask(path, { signal, headers: { accept: "text/event-stream" } });
      tell("live");
      failures = 0;
      if (answer.body) for await (const [event, data] of events(answer.body)) take(event, data);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refusal && error.isOfKey) return tell("refused");
    }
    tell("lost");
    const pause = RETRY_MS[failures] ?? RETRY_MOST_MS;
    await new Promise((resume) => setTimeout(resume, pause));
  }
}

/** @param {ReadableStream<BufferSource>} body @returns {AsyncGenerator<[string, unknown]>} */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const fields = block.split("\n").filter((line) => line && !line.startsWith(":"));
      const of = (/** @type {string} */ name) =>
        fields
          .filter((line) => line.startsWith(`${name}:`))
          .map((line) => line.slice(name.length + 1).replace(/^ /, ""));
      const data = of("data").join("\n");
      if (data) yield [of("event")[0] ?? "message", JSON.parse(data)];
    }
  }
}
