// Api: the server's routes. A key, where one is needed, stays in this tab and goes into a header, never into an address.

const KEPT = "peekproof-key";
const RETRY_MS = [500, 1_000, 2_000, 5_000];

export const key = {
  get: () => sessionStorage.getItem(KEPT),
  set: (text) => (text ? sessionStorage.setItem(KEPT, text) : sessionStorage.removeItem(KEPT)),
};

/** An answer that is no success: `status`, the server's own words, and what would follow from the action it refused. */
export class Refusal extends Error {
  constructor(status, { error, consequences = [] }) {
    super(error);
    this.status = status;
    this.consequences = consequences;
  }

  get isOfKey() {
    return this.status === 401 || this.status === 403;
  }
}

let ahead = 0; // of the server's clock over this one's, ms

/** The server's clock, ms. */
export const now = () => Date.now() + ahead;

export async function get(path) {
  const told = await (await ask(path)).json();
  if (path === "overview") ahead = told.time - Date.now();
  return told;
}

/** Like `get`, of documents: whole numbers beyond JavaScript's are shown as they are written. */
export const getDocument = async (path) => JSON.parse(await (await ask(path)).text(), asWritten);

const asWritten = (_, value, { source } = {}) =>
  typeof value === "number" && /^-?\d{16,}$/.test(source) && JSON.rawJSON ? JSON.rawJSON(source) : value;

/** Save an answer as a file. */
export async function save(path, name) {
  const address = URL.createObjectURL(await (await ask(path)).blob());
  Object.assign(document.createElement("a"), { href: address, download: name }).click();
  URL.revokeObjectURL(address);
}

export const post = (path, body) =>
  ask(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  }).then((answer) => answer.json());

async function ask(path, request = {}) {
  const held = key.get();
  const headers = { ...request.headers, ...(held && { authorization: `Bearer ${held}` }) };
  let answer;
  try {
    answer = await fetch(`/api/1/${path}`, { ...request, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, { error: "The server cannot be reached; see whether `peekproof serve` is running." });
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({ error: `The server answered ${answer.status}.` }));
  throw new Refusal(answer.status, told);
}

/**
 * Follow a stream of server-sent events until `signal`, through every interruption but that of the key: `take(event, data)`
 * is called for each, `tell("live" | "lost" | "refused")` when that changes. Not by EventSource, which can carry no key.
 */
export async function follow(path, { signal, take, tell }) {
  for (let failures = 0; !signal.aborted; failures += 1) {
    try {
      const answer = await ask(path, { signal, headers: { accept: "text/event-stream" } });
      tell("live");
      failures = 0;
      for await (const [event, data] of events(answer.body)) take(event, data);
    } catch (error) {
      if (signal.aborted) return;
      if (error.isOfKey) return tell("refused");
    }
    tell("lost");
    await new Promise((resume) => setTimeout(resume, RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]));
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = block.split("\n").filter((line) => line && !line.startsWith(":"));
      const of = (name) =>
        fields
          .filter((line) => line.startsWith(`${name}:`))
          .map((line) => line.slice(name.length + 1).replace(/^ /, ""));
      const data = of("data").join("\n");
      if (data) yield [of("event")[0] ?? "message", JSON.parse(data)];
    }
  }
}
