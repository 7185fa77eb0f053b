// Briefs: what was asked, decided and learned, searched by words, tag, metric, owner and outcome.

/** @import { BriefListed, Briefs } from "#api" */
/** @import { Page, Surroundings } from "../main.js" */

import { get } from "../api.js";
import { fact, h } from "../dom.js";
import { addressOf } from "../parts/route.js";
import { search } from "../parts/search.js";
import { vocabulary } from "../parts/vocabulary.js";
import { decidedAs, mark } from "../parts/words.js";

/** @typedef {Record<"text" | "tag" | "metric" | "owner" | "decision", string>} Asked */

const PAUSE_MS = 200; // in typing, before it is searched

/** Fields of a search, by their names in the API, and what they are called. */
const FIELDS = /** @type {const} */ ({ tag: "Tag", metric: "Metric", owner: "Owner" });

/** @implements {Page} */
export class BriefsPage {
  title = "Briefs – Peekproof";
  /** @type {BriefListed[]} */
  #briefs = [];
  /** @type {BriefListed[]} */
  #all = []; // without any search: what its fields offer
  /** @type {Asked} */
  #asked = { text: "", tag: "", metric: "", owner: "", decision: "" };
  #asks = 0; // times
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #due;

  /** @param {URLSearchParams} query What is searched. @param {Pick<Surroundings, "redraw">} surroundings */
  constructor(query, { redraw }) {
    for (const name of /** @type {(keyof Asked)[]} */ (Object.keys(this.#asked)))
      this.#asked[name] = query.get(name) ?? "";
    this.redraw = redraw;
  }

  get address() {
    return addressOf({ at: "briefs", of: [], query: new URLSearchParams(said(this.#asked)) });
  }

  async refresh() {
    this.#asks += 1;
    const turn = this.#asks;
    const isAny = Object.values(this.#asked).every((value) => !value.trim());
    const all = read({});
    const [found, every] = await Promise.all([isAny ? all : read(this.#asked), all]);
    if (turn === this.#asks) [this.#briefs, this.#all] = [found, every]; // else what is asked by now comes
  }

  view() {
    return [
      h("h1", null, "Briefs"),
      search(
        { label: "Search the texts of briefs", text: this.#asked.text, take: (text) => this.#ask({ text }) },
        this.#select(
          "tag",
          this.#every(({ tags }) => tags),
        ),
        this.#select(
          "metric",
          this.#every(({ metrics }) => metrics),
        ),
        this.#select(
          "owner",
          this.#every(({ owner }) => [owner]),
        ),
        this.#select("decision", vocabulary.outcomes),
      ),
      this.#briefs.length
        ? h("ul", { class: "rows briefs" }, this.#briefs.map(row))
        : h("p", { class: "quiet" }, this.#all.length ? "No brief matches." : "There are no experiments yet."),
    ];
  }

  /** @param {(brief: BriefListed) => string[]} of */
  #every = (of) => [...new Set(this.#all.flatMap(of))].sort();

  /** @param {"tag" | "metric" | "owner" | "decision"} name @param {string[]} values */
  #select(name, values) {
    return h(
      "select",
      {
        id: name,
        "aria-label": name === "decision" ? "Decision" : FIELDS[name],
        value: this.#asked[name],
        onchange: ({ target }) => this.#ask({ [name]: target.value }),
      },
      h("option", { value: "" }, `any ${name}`),
      values.map((each) => h("option", { value: each }, each)),
    );
  }

  /** @param {Partial<Asked>} asked */
  #ask(asked) {
    Object.assign(this.#asked, asked);
    clearTimeout(this.#due);
    this.#due = setTimeout(() => this.refresh().then(this.redraw, () => {}), PAUSE_MS); // else the next refresh brings it
    this.redraw();
  }
}

/** @param {Record<string, string>} asked */
const said = (asked) => Object.entries(asked).filter(([, value]) => value.trim());

/** @param {Record<string, string>} asked */
async function read(asked) {
  /** @type {Briefs} */
  const { briefs } = await get(`briefs?${new URLSearchParams(said(asked))}`);
  return briefs;
}

/** @param {BriefListed} brief */
const row = ({ key, name, owner, tags, metrics, status, decided, written, learning }) =>
  h(
    "li",
    { id: `row-${key}` },
    h(
      "div",
      { class: "named" },
      h("a", { href: `#/briefs/${encodeURIComponent(key)}` }, name ?? key),
      h("span", null, key),
      h("span", null, owner),
    ),
    h(
      "div",
      { class: "verdict" },
      decided ? mark(decidedAs(decided)) : h("span", { class: "quiet" }, status),
      decided?.reason && h("p", null, decided.reason),
      learning ? h("p", null, learning) : h("p", { class: "quiet" }, written ? "" : "No brief has been written yet."),
      h(
        "dl",
        { class: "facts" },
        tags.length > 0 && fact("tags", tags.join(", ")),
        metrics.length > 0 && fact("metrics", metrics.join(", ")),
      ),
    ),
  );
