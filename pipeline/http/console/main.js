// Main: which page is shown, what it follows, and when it is drawn again.

/** @import { Child } from "./dom.js" */
/** @import { Route } from "./parts/route.js" */

import { follow, Refusal } from "./api.js";
import { ArrivingPage } from "./arriving/page.js";
import { ImportPage } from "./authoring/importing.js";
import { OthersPage } from "./authoring/others.js";
import { AuthoringPage } from "./authoring/page.js";
import { CohortPage } from "./cohorts/page.js";
import { BriefPage } from "./decisions/brief.js";
import { BriefsPage } from "./decisions/page.js";
import { DeploymentPage, DeploymentsPage } from "./deployments/page.js";
import { h, render } from "./dom.js";
import { ExperimentPage } from "./experiment/page.js";
import { ExplorePage } from "./exploring/page.js";
import { FlagPage } from "./flag/page.js";
import { ListPage } from "./list/page.js";
import { DocumentsPage } from "./metrics/list.js";
import { MetricPage } from "./metrics/page.js";
import { OnCallPage } from "./oncall/page.js";
import { Bell } from "./parts/bell.js";
import { meanings, place } from "./parts/meanings.js";
import { routeOf } from "./parts/route.js";
import { learn } from "./parts/vocabulary.js";
import { takeLink } from "./session/link.js";
import { forget, recognize, who } from "./session/may.js";
import { followOtherTabs, openSession, SignIn } from "./session/sign-in.js";
import { UnitPage } from "./units/page.js";

/**
 * @typedef {{
 *   stream?: string,
 *   title: string,
 *   address?: string,
 *   refresh(): Promise<void>,
 *   take?(look: any, event: string): void,
 *   view(): Child[],
 *   drawn?(): void,
 * }} Page What it follows, is called and shows; what it reads anew; what it does with the events that it follows (a page
 *   of results takes looks, and no other event); `drawn` is called when it stands on the page. Its `address` opens what is
 *   seen now.
 * @typedef {{ redraw: () => void, say: (text: string) => void }} Surroundings `say` tells who cannot see what changed.
 * @typedef {{ at: string, nav?: string, under?: string, isOfKind?: boolean,
 *   open(route: Route, around: Surroundings): Page }} Registered A page of the addresses that begin so; `nav` is what leads
 *   there from the head of every page, or the page is one of those `under` another: if it is of one kind of document,
 *   under that which lists the kind.
 */

const REFRESH_MS = 10_000; // of what no stream tells: definitions and states that others change

/** @type {Registered[]} */
const PAGES = [
  { at: "", nav: "Experiments and flags", open: (route, around) => new ListPage(route, around) },
  { at: "experiments", under: "", open: (route, around) => new ExperimentPage(route, around) },
  { at: "explore", under: "", open: (route, around) => new ExplorePage(route, around) },
  {
    at: "briefs",
    nav: "Briefs",
    open: ({ of, query }, around) => (of[0] ? new BriefPage(of[0]) : new BriefsPage(query, around)),
  },
  { at: "arriving", nav: "Arriving", open: (route, around) => new ArrivingPage(route, around) },
  {
    at: "metrics",
    nav: "Metrics",
    open: ({ of, query }, around) =>
      of[0] ? new MetricPage(of[0], around) : new DocumentsPage("metric", "Metrics", query, around),
  },
  {
    at: "cohorts",
    nav: "Cohorts",
    open: ({ of, query }, around) =>
      of[0] ? new CohortPage(of[0], around) : new DocumentsPage("cohort", "Cohorts", query, around),
  },
  { at: "unit", nav: "Units", open: (route, around) => new UnitPage(route, around) },
  { at: "flags", under: "", open: ({ of }, around) => new FlagPage(of[0] ?? "", around) },
  {
    at: "deployments",
    nav: "Deployments",
    open: ({ of }, around) => (of[0] ? new DeploymentPage(of[0], around) : new DeploymentsPage()),
  },
  { at: "on-call", nav: "On call", open: (_, around) => new OnCallPage(around) },
  { at: "new", under: "", isOfKind: true, open: (route, around) => new AuthoringPage(route, around) },
  { at: "edit", under: "", isOfKind: true, open: (route, around) => new AuthoringPage(route, around) },
  { at: "documents", nav: "Documents", open: () => new OthersPage() },
  { at: "import", under: "", open: (_, around) => new ImportPage(around) },
];

/** @param {string} id */
const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** Where documents are listed, by kind; others where experiments and flags are. @type {Record<string, string>} */
const LISTED = {
  metric: "metrics",
  cohort: "cohorts",
  deployment: "deployments",
  brief: "briefs",
  group: "documents",
  notification: "documents",
  source: "documents",
  template: "documents",
};

const main = element("main");
/** @type {Page | null} */
let page = null;
let leaving = new AbortController();
let isDue = false;
let at = ""; // the address of what is shown
const bell = new Bell(element("bell"), element("notifications"), say);

/** Draw soon; many calls draw once. */
function redraw() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    if (!page) return;
    render(page.view(), main);
    document.title = page.title;
    page.drawn?.();
    if (page.address) readdress(page.address);
  });
}

/** Have a reload, another tab and a link that is sent to somebody open what is seen.
 * @param {string} address */
function readdress(address) {
  if (address === at || location.hash !== at) return; // the same, or somebody is on the way to another page
  history.replaceState(null, "", address);
  at = address;
}

async function open() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  if (takeLink()) forget();
  at = location.hash;
  const route = routeOf(location.hash);
  const registered = PAGES.find(({ at }) => at === route.at);
  page = null;
  navigate(registered, route);
  element("connection").textContent = "";
  if (!registered) return render(refusal(new Refusal(404, { error: `There is no page ${location.hash}.` })), main);
  render(h("p", { class: "quiet" }, "Reading …"), main);
  const opened = registered.open(route, { redraw, say });
  if (!(await refresh(opened, signal))) return;
  page = opened;
  navigate(registered, route); // by now it is known who looks
  if (!who()?.experiment) bell.listen();
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
  redraw();
  if (opened.stream)
    follow(opened.stream, {
      signal,
      take: (event, data) => {
        opened.take?.(data, event);
        redraw();
      },
      tell: connected,
    });
  document.addEventListener("visibilitychange", () => document.hidden || refresh(opened, signal), { signal });
  while (!signal.aborted) {
    await new Promise((resume) => setTimeout(resume, REFRESH_MS));
    if (!document.hidden && !signal.aborted) await refresh(opened, signal);
  }
}

/** The links to other pages, of which one is the page that is open, or leads to it.
 * @param {Registered | undefined} open @param {Route} route */
function navigate(open, { of }) {
  const under = (open?.isOfKind && LISTED[of[0] ?? ""]) || open?.under;
  const home = open?.nav ? open : PAGES.find(({ at }) => at === under);
  const links = PAGES.map(
    (each) => each.nav && h("a", { href: `#/${each.at}`, "aria-current": each === home ? "page" : null }, each.nav),
  );
  const isShared = Boolean(who()?.experiment); // by a link, which shows one experiment
  render(isShared ? null : links, element("pages"));
  element("pages").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  element("bell").hidden = isShared;
}

/** Whether the page has what it shows; where the server refuses, that is said in its place.
 * @param {Page} opened @param {AbortSignal} signal */
async function refresh(opened, signal) {
  try {
    await prepare();
    await opened.refresh();
    if (signal.aborted) return false;
    if (!opened.stream) connected("live");
    redraw();
    return true;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (signal.aborted) return false;
    if (error.isOfKey) {
      forget();
      element("session").textContent = "Sign in";
    }
    if (page !== opened)
      render(
        error.isOfKey
          ? h(SignIn, { open: changeSession, why: error.status === 403 ? error.message : null })
          : refusal(error),
        main,
      );
    else if (!opened.stream) connected(error.isOfKey ? "refused" : "lost"); // a page that stands stays
    return false;
  }
}

async function prepare() {
  await recognize();
  await learn();
  element("session").textContent = who()?.name ?? "Sign in";
  if (!element("meanings").childElementCount) render(meanings(), element("meanings"));
}

/** @param {Refusal} error */
const refusal = (error) =>
  h(
    "div",
    { class: "refused" },
    h("h1", null, error.status === 404 ? "Not here" : "No answer"),
    h("p", null, error.message),
    h("button", { type: "button", onclick: open }, "Try again"),
    location.hash.length > 2 && h("p", null, h("a", { href: "#/" }, "All experiments and flags")),
  );

const CONNECTIONS = { live: "Live", lost: "Connecting again …", refused: "Signed out" };

/** @param {keyof typeof CONNECTIONS} state */
function connected(state) {
  const told = element("connection");
  told.className = state === "live" ? "is-live" : "is-lost";
  told.textContent = CONNECTIONS[state];
}

const changeSession = async () => (await openSession()) && open();

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
element("session").addEventListener("click", changeSession);
followOtherTabs(open);

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
