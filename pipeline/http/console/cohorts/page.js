// A cohort: how many it lists, whether it lists somebody, and who uses it. Its list is edited by a file.

/** @import { Page, Surroundings } from "../main.js" */
/** @import { Standing } from "../authoring/documents.js" */

import { readDocument } from "../authoring/documents.js";
import { DocumentLinks } from "../authoring/links.js";
import { h } from "../dom.js";
import { UsedBy } from "../metrics/used.js";
import { count, moment } from "../parts/numbers.js";
import { search } from "../parts/search.js";
import { may } from "../session/may.js";

const MOST_SHOWN = 50;

/** @implements {Page} */
export class CohortPage {
  title = "Cohort – Peekproof";
  /** @type {Standing | undefined} */
  #document;
  /** @type {string[]} */
  #members = []; // each once
  #text = "";

  /** @param {string} key @param {Pick<Surroundings, "redraw">} surroundings */
  constructor(key, { redraw }) {
    this.key = key;
    this.redraw = redraw;
  }

  async refresh() {
    this.#document = await readDocument("cohort", this.key);
    this.#members = [...new Set(/** @type {string[]} */ (this.#document.definition.ids ?? []))];
    this.title = `${this.#document.definition.name ?? this.key} – Peekproof`;
  }

  view() {
    if (!this.#document) return [];
    const { definition, used_by: usedBy, author, time } = this.#document;
    const ids = this.#members;
    const again = (definition.ids?.length ?? 0) - ids.length;
    const wanted = this.#text.trim();
    const found = wanted ? ids.filter((each) => each.includes(wanted)) : ids;
    return [
      h(
        "div",
        { class: "head" },
        h("h1", null, definition.name ?? this.key),
        h(DocumentLinks, { kind: "cohort", of: this.key }),
      ),
      h("p", { class: "quiet" }, `${this.key} · of ${definition.owner} · edited by ${author}, ${moment(time)}`),
      definition.description && h("p", null, definition.description),
      h(
        "section",
        { "aria-labelledby": "members" },
        h("h2", { id: "members" }, "Members"),
        h("p", null, `${count(ids.length)} by `, h("code", null, definition.unit ?? "user_id"), "."),
        again > 0 && h("p", { class: "quiet" }, `The list has ${count(again)} of them again; each counts once.`),
        may("edit") &&
          h(
            "p",
            null,
            h("a", { href: `#/edit/cohort/${encodeURIComponent(this.key)}` }, "Upload a file"),
            " that takes the list's place: text, CSV, TSV or JSON.",
          ),
        search({
          label: "Search a member by its id",
          placeholder: "An id, or a part of one  /",
          text: this.#text,
          take: (text) => {
            this.#text = text;
            this.redraw();
          },
        }),
        h(
          "p",
          { class: "quiet", role: "status" },
          wanted && (ids.includes(wanted) ? `‘${wanted}’ is a member. ` : `‘${wanted}’ is no member. `),
          found.length > MOST_SHOWN && `Of ${count(found.length)} the first ${MOST_SHOWN} are shown.`,
        ),
        h(
          "ul",
          { class: "ids", "aria-label": "Members" },
          found.slice(0, MOST_SHOWN).map((each) => h("li", { key: each }, h("code", null, each))),
        ),
      ),
      h(UsedBy, { usedBy }),
    ];
  }
}
