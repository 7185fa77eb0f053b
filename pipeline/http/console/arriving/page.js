// Arriving: what comes now, and what of it nobody can use.

/** @import { ArrivingTold, SourceStanding } from "#api" */
/** @import { Page, Surroundings } from "../main.js" */
/** @import { Route } from "../parts/route.js" */

import { get, now, setClock } from "../api.js";
import { h } from "../dom.js";
import { count } from "../parts/numbers.js";
import { addressOf } from "../parts/route.js";
import { matches, search } from "../parts/search.js";
import { eventRows, flagRows, neverCame } from "./names.js";
import { sourcesRead } from "./sources.js";
import { Tail } from "./tail.js";
import { refused, unusable } from "./unusable.js";

const FRESH_MS = 10_000; // the stream tells at least every 5 s

/** @implements {Page} */
export class ArrivingPage {
  stream = "arriving/stream";
  title = "Arriving – Peekproof";
  /** @type {ArrivingTold | null} */
  #told = null;
  /** @type {SourceStanding[]} */
  #sources = [];
  #words = "";
  #unit = "";

  /** @param {Route} route @param {Surroundings} surroundings */
  constructor({ query }, { redraw }) {
    this.#words = query.get("text") ?? "";
    this.#unit = query.get("unit") ?? "";
    this.redraw = redraw;
  }

  get address() {
    const query = { ...(this.#words && { text: this.#words }), ...(this.#unit && { unit: this.#unit }) };
    return addressOf({ at: "arriving", of: [], query: new URLSearchParams(query) });
  }

  async refresh() {
    this.#sources = (await get("sources")).sources;
    if (this.#told && now() - this.#told.time < FRESH_MS) return; // the stream tells it
    this.take(await get("arriving"));
  }

  /** @param {ArrivingTold} told */
  take(told) {
    this.#told = told;
    setClock(told.time);
  }

  view() {
    const told = this.#told;
    if (!told) return [];
    const events = told.events.filter(({ name }) => matches(this.#words, [name]));
    const flags = told.flags.filter(({ flag }) => matches(this.#words, [flag]));
    return [
      h("h1", null, "Arriving"),
      h("p", { class: "quiet" }, "What came on the topics, by name: of the last hour by minute, told each second."),
      told.behind && h("p", { class: "mark warn" }, told.behind),
      search({
        label: "Search by the name of an event or a flag",
        text: this.#words,
        take: (words) => {
          this.#words = words;
          this.redraw();
        },
      }),
      h(
        "section",
        { "aria-labelledby": "events" },
        h("h2", { id: "events" }, "Events"),
        events.length ? eventRows(events) : h("p", { class: "quiet" }, nothing("event", told.events.length > 0)),
        ...told.more.map((each) =>
          h(
            "p",
            { class: "quiet", key: each.topic },
            `${count(each.hour)} more messages of ${each.topic}, of up to ${count(each.kinds)} other names, are not kept apart: does a producer send an id as a name?`,
          ),
        ),
        told.hidden > 0 && h("p", { class: "quiet" }, `${count(told.hidden)} rarer names are not shown.`),
      ),
      neverCame(told.never_came),
      h(
        "section",
        { "aria-labelledby": "exposures" },
        h("h2", { id: "exposures" }, "Exposures"),
        flags.length ? flagRows(flags) : h("p", { class: "quiet" }, nothing("exposure", told.flags.length > 0)),
      ),
      sourcesRead(this.#sources),
      unusable(told.dead_letters),
      refused(told.refused),
      h(Tail, { unit: this.#unit }),
    ];
  }
}

/** @param {string} what @param {boolean} others Come, under other names. */
const nothing = (what, others) =>
  others
    ? `No ${what} of such a name.`
    : [
        `No ${what} came in the last two days. `,
        h("a", { href: "#/deployments" }, "The page of a deployment"),
        " shows how programs send.",
      ];
