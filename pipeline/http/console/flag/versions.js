// Versions: how a flag came to stand where it stands. When, who, why, and what changed.

/** @import { Difference, Told, Version, Versions as Answer } from "#api" */

import { get, getDocument } from "../api.js";
import { h, table } from "../dom.js";
import { moment } from "../parts/numbers.js";

/** A section for the history of one flag, which `refresh` reads anew and `view` draws. */
export class Versions {
  /** @type {Told[]} */
  all = []; // oldest first
  /** @type {Map<number, Difference[] | string>} */
  #details = new Map(); // version -> its differences, or why they cannot be had, once they were asked for

  /** @param {"flags" | "experiments"} kind @param {string} key @param {() => void} redraw */
  constructor(kind, key, redraw) {
    this.path = `${kind}/${encodeURIComponent(key)}/versions`;
    this.redraw = redraw;
  }

  async refresh() {
    /** @type {Answer} */
    const { versions } = await get(this.path);
    this.all = versions;
  }

  view() {
    return h(
      "section",
      { "aria-labelledby": "history" },
      h("h2", { id: "history" }, "History"),
      h(
        "ol",
        { class: "versions", reversed: true },
        this.all.toReversed().map((each) => this.#item(each)),
      ),
    );
  }

  /** @param {Told} told */
  #item({ version, changed, reason, append_time, author }) {
    const what = changed.join(", ");
    return h(
      "li",
      { id: `version-${version}`, value: version, tabindex: -1 },
      h("p", null, h("b", null, what || "nothing changed"), reason !== what && h("q", null, reason)),
      h("p", { class: "quiet" }, `${moment(append_time)}, ${author}`),
      h(
        "details",
        { ontoggle: (event) => event.target.open && this.#read(version) },
        h("summary", null, `What version ${version} changed`),
        differences(this.#details.get(version)),
      ),
    );
  }

  /** @param {number} version */
  async #read(version) {
    if (Array.isArray(this.#details.get(version))) return;
    /** @type {Promise<Version>} */
    const asked = getDocument(`${this.path}/${version}`);
    const told = await asked.then(
      ({ differences }) => differences,
      (error) => /** @type {string} */ (error.message),
    );
    this.#details.set(version, told);
    this.redraw();
  }
}

/** @param {Difference[] | string | undefined} found */
export function differences(found) {
  if (!Array.isArray(found)) return h("p", { class: "quiet" }, found ?? "Reading …");
  if (!found.length) return h("p", { class: "quiet" }, "Nothing of the definition.");
  return table(
    "Differences",
    ["field", "before", "after"],
    found.map(({ path, before, after }) =>
      h(
        "tr",
        null,
        h("th", { scope: "row" }, h("code", null, path)),
        h("td", null, value(before, "del")),
        h("td", null, value(after, "ins")),
      ),
    ),
  );
}

/** @param {unknown} of @param {"del" | "ins"} tag */
const value = (of, tag) =>
  of === null || of === undefined ? "–" : h(tag, null, typeof of === "string" ? of : JSON.stringify(of));
