// Main: which page is shown, what it follows, and when it is drawn again.

/** @import { Look } from "#api" */
/** @import { Child } from "./dom.js" */

import { follow, key, Refusal } from "./api.js";
import { Bell } from "./bell.js";
import { h, morph } from "./dom.js";
import { ExperimentPage } from "./experiment.js";
import { FlagPage } from "./flag.js";
import { askForKey } from "./key.js";
import { ListPage } from "./list.js";
import { meanings, place } from "./meanings.js";
import { learn } from "./vocabulary.js";

/**
 * @typedef {{
 *   stream: string,
 *   title: string,
 *   refresh(): Promise<void>,
 *   take(look: Look): void,
 *   view(): Child[],
 *   drawn?(): void,
 * }} Page What it follows, is called and shows; what it reads anew; `drawn` is called when it stands on the page.
 * @typedef {{ redraw: () => void, say: (text: string) => void }} Surroundings `say` tells who cannot see what changed.
 */

const REFRESH_MS = 10_000; // of what no stream tells: definitions and states that others change

/** @param {string} kind @param {string[]} of @returns {Page} */
function pageOf(kind, of) {
  const [key = "", ...asked] = of;
  if (kind === "experiments") return new ExperimentPage(key, { redraw, say }, asked);
  return kind === "flags" ? new FlagPage(key, { redraw }) : new ListPage({ redraw, say });
}

/** @param {string} id */
const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

const main = element("main");
/** @type {Page | null} */
let page = null;
let leaving = new AbortController();
let isDue = false;
const bell = new Bell(element("bell"), element("notifications"), say);

/** Draw soon; many calls draw once. */
function redraw() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    if (!page) return;
    morph(main, h("main", null, page.view()));
    document.title = page.title;
    page.drawn?.();
  });
}

async function open() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [kind = "", ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  main.replaceChildren(h("p", { class: "quiet" }, "Reading …"));
  const opened = pageOf(kind, rest);
  page = null;
  element("connection").textContent = "";
  if (!(await refresh(opened, signal))) return;
  page = opened;
  bell.listen();
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
  redraw();
  follow(opened.stream, {
    signal,
    take: (event, data) => {
      if (event !== "look") return;
      opened.take(data);
      redraw();
    },
    tell: connected,
  });
  while (!signal.aborted) {
    await new Promise((resume) => setTimeout(resume, REFRESH_MS));
    if (!document.hidden && !signal.aborted) await refresh(opened, signal);
  }
}

/** Whether the page has what it shows; where the server refuses, that is said in its place.
 * @param {Page} opened @param {AbortSignal} signal */
async function refresh(opened, signal) {
  try {
    await prepare();
    await opened.refresh();
    if (!signal.aborted) redraw();
    return !signal.aborted;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (signal.aborted || page === opened) return false; // a page that stands stays; its connection tells
    main.replaceChildren(refusal(error));
    return false;
  }
}

async function prepare() {
  await learn();
  if (!element("meanings").childElementCount) element("meanings").append(...meanings());
}

/** @param {Refusal} error */
const refusal = (error) =>
  h(
    "div",
    { class: "refused" },
    h("h1", null, error.status === 404 ? "Not here" : error.isOfKey ? "A key is needed" : "No answer"),
    h("p", null, error.isOfKey && !key.get() ? WANTS_KEY : error.message),
    error.isOfKey
      ? h("button", { type: "button", class: "main", onclick: enterKey }, "Enter a key")
      : h("button", { type: "button", onclick: open }, "Try again"),
    location.hash.length > 2 && h("p", null, h("a", { href: "#/" }, "All experiments and flags")),
  );

const WANTS_KEY =
  "This server tells nothing without one. Where it runs, ‘peekproof key create viewer --name YOU’ makes a key that reads; an experimenter's acts too.";

const CONNECTIONS = { live: "Live", lost: "Connecting again …", refused: "The key opens nothing any more" };

/** @param {keyof typeof CONNECTIONS} state */
function connected(state) {
  const told = element("connection");
  told.className = state === "live" ? "is-live" : "is-lost";
  told.textContent = CONNECTIONS[state];
}

const enterKey = async () => (await askForKey()) && open();

/** @param {string} text */
function say(text) {
  const said = element("said");
  if (said.textContent !== text) said.textContent = text;
}

addEventListener("resize", redraw);
addEventListener("hashchange", () => location.hash !== "#main" && open());
document.querySelector(".skip")?.addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
element("key").addEventListener("click", enterKey);

/** @type {Element | null} */
let asked = null; // the term whose meaning opens
document.addEventListener("click", ({ target }) => {
  asked = (target instanceof Element && target.closest("[popovertarget]")) || asked;
});
element("meanings").addEventListener(
  "toggle",
  ({ target, newState }) => {
    if (newState === "open" && asked && target instanceof HTMLElement) place(target, asked);
  },
  true, // it does not bubble
);
addEventListener("keydown", (event) => {
  const isTyping = event.target instanceof Element && event.target.matches("input, textarea, select");
  const search = /** @type {HTMLInputElement | null} */ (main.querySelector("input[type=search]"));
  if (event.key === "/" && search && !isTyping) {
    event.preventDefault();
    search.focus();
  }
});
setInterval(() => document.hidden || redraw(), 1_000); // ages grow
open();
