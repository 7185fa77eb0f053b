// Main: which page is shown, what it follows, and when it is drawn again.

import { follow, key } from "./api.js";
import { askForKey } from "./actions.js";
import { h, morph } from "./dom.js";
import { experimentPage } from "./experiment.js";
import { flagPage } from "./flag.js";
import { listPage } from "./list.js";
import { meanings, place } from "./words.js";

const REFRESH_MS = 10_000; // of what no stream tells: definitions and states that others change
const PAGES = { "": listPage, experiments: experimentPage, flags: flagPage };

const main = document.getElementById("main");
let page = null;
let leaving = new AbortController();
let isDue = false;

/** Draw soon; many calls draw once. */
function redraw() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    if (!page) return;
    morph(main, h("main", null, page.view()));
    document.title = page.title();
    page.drawn?.();
  });
}

async function open() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [kind = "", ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const make = PAGES[kind] ?? listPage;
  main.replaceChildren(h("p", { class: "quiet" }, "Reading …"));
  const opened = make(rest.join("/"), { redraw, say });
  page = null;
  document.getElementById("connection").textContent = "";
  if (!(await refresh(opened, signal))) return;
  page = opened;
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
  redraw();
  follow(page.stream, {
    signal,
    take: (event, look) => {
      if (event !== "look") return;
      page.take(look);
      redraw();
    },
    tell: connected,
  });
  while (!signal.aborted) {
    await new Promise((resume) => setTimeout(resume, REFRESH_MS));
    if (!document.hidden && !signal.aborted) await refresh(page, signal);
  }
}

/** Whether the page has what it shows; where the server refuses, that is said in its place. */
async function refresh(opened, signal) {
  try {
    await opened.refresh();
    if (!signal.aborted) redraw();
    return !signal.aborted;
  } catch (error) {
    if (error.status === undefined) throw error;
    if (signal.aborted || page === opened) return false; // a page that stands stays; its connection tells
    main.replaceChildren(refusal(error));
    return false;
  }
}

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

function connected(state) {
  const told = document.getElementById("connection");
  told.className = state === "live" ? "is-live" : "is-lost";
  told.textContent = CONNECTIONS[state];
}

const enterKey = async () => (await askForKey()) && open();

/** Tell a person who cannot see what changed. */
function say(text) {
  const said = document.getElementById("said");
  if (said.textContent !== text) said.textContent = text;
}

addEventListener("resize", redraw);
addEventListener("hashchange", () => location.hash !== "#main" && open());
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
document.getElementById("key").addEventListener("click", enterKey);
document.getElementById("meanings").append(...meanings());
let asked = null; // the term whose meaning opens
document.addEventListener("click", (event) => {
  asked = event.target.closest?.("[popovertarget]") ?? asked;
});
document.getElementById("meanings").addEventListener(
  "toggle",
  (event) => event.newState === "open" && place(event.target, asked),
  true, // it does not bubble
);
addEventListener("keydown", (event) => {
  const isTyping = event.target.matches?.("input, textarea, select");
  const search = main.querySelector("input[type=search]");
  if (event.key === "/" && search && !isTyping) {
    event.preventDefault();
    search.focus();
  }
});
setInterval(() => document.hidden || redraw(), 1_000); // ages grow
open();
