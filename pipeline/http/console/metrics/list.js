// List: every metric, or every cohort, and how it is called.

/** @import { DocumentItem } from "#api" */
/** @import { Page, Surroundings } from "../main.js" */

import { readDocuments } from "../authoring/documents.js";
import { NewLinks } from "../authoring/links.js";
import { h } from "../dom.js";
import { addressOf } from "../parts/route.js";
import { matches, search } from "../parts/search.js";

const MEANS = {
  metric:
    "A metric makes one number of a unit's events, such as whether it purchased; experiments compare their averages.",
  cohort: "A cohort is a list of ids to which flags can be shown, or not.",
};

/** Of one kind of document: a list that is searched by its words.
 * @implements {Page} */
export class DocumentsPage {
  /** @type {DocumentItem[]} */
  #documents = [];
  #text = "";

  /** @param {"metric" | "cohort"} kind @param {string} name @param {URLSearchParams} query What is searched.
   * @param {Pick<Surroundings, "redraw">} surroundings */
  constructor(kind, name, query, { redraw }) {
    this.#text = query.get("text") ?? "";
    this.kind = kind;
    this.name = name;
    this.title = `${name} – Peekproof`;
    this.redraw = redraw;
  }

  get address() {
    return addressOf({ at: `${this.kind}s`, of: [], query: new URLSearchParams(this.#text && { text: this.#text }) });
  }

  async refresh() {
    this.#documents = await readDocuments(this.kind);
  }

  view() {
    const found = this.#documents.filter(({ key, name, owner, tags }) =>
      matches(this.#text, [key, name, owner, ...tags]),
    );
    return [
      h("div", { class: "head" }, h("h1", null, this.name), h(NewLinks, { whats: [this.kind] })),
      search({
        label: `Search ${this.name.toLowerCase()} by key, name, owner or tag`,
        text: this.#text,
        take: (text) => {
          this.#text = text;
          this.redraw();
        },
      }),
      found.length
        ? h(
            "ul",
            { class: "rows" },
            found.map((each) => row(each)),
          )
        : h(
            "p",
            { class: "quiet" },
            this.#documents.length ? "None matches." : `There are none yet. ${MEANS[this.kind]}`,
          ),
    ];
  }
}

/** @param {DocumentItem} document */
const row = ({ kind, key, name, owner, tags, ids }) =>
  h(
    "li",
    { id: `row-${key}` },
    h(
      "div",
      { class: "named" },
      h("a", { href: `#/${kind}s/${encodeURIComponent(key)}` }, name ?? key),
      h("span", null, key),
    ),
    h(
      "p",
      { class: "quiet" },
      [ids !== null && `${ids.toLocaleString("en")} members`, `of ${owner}`, tags.join(", ")]
        .filter(Boolean)
        .join(" · "),
    ),
  );
