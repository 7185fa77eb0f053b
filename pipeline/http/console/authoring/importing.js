// Importing: documents from YAML, pasted or of files, checked together and published together.

/** @import { Checked } from "#api" */
/** @import { Page, Surroundings } from "../main.js" */

import { Refusal, send } from "../api.js";
import { h } from "../dom.js";
import { differences } from "../flag/versions.js";
import { may } from "../session/may.js";
import { FromStart, mayCount } from "./fromstart.js";
import { Reason } from "./reason.js";
import { readExactly } from "./values.js";

/** @typedef {Checked & { line: number, kind: string | null, key: string | null }} Imported */

const CHECK_MS = 400;

/** @implements {Page} */
export class ImportPage {
  title = "Import YAML – Peekproof";
  #text = "";
  /** @type {Imported[] | null} */
  #documents = null;
  #checked = ""; // the text of which they are
  #message = ""; // why nothing was checked, or published
  /** @type {string[]} */
  #follows = [];
  #reason = "";
  #fromStart = false; // runs count what is added from their start on
  #isBusy = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #due;

  /** @param {Surroundings} surroundings */
  constructor({ redraw, say }) {
    this.redraw = redraw;
    this.say = say;
  }

  async refresh() {} // all that it shows was typed here

  view() {
    return [
      h("h1", null, "Import YAML"),
      may("edit") ? this.#form() : h("p", null, "Your role reads: an experimenter or an admin imports documents."),
    ];
  }

  #form() {
    const documents = this.#documents ?? [];
    return [
      h(
        "p",
        { class: "quiet" },
        "One or several documents, with --- between them: what ‘Copy as YAML’ gave, or the files of configs/.",
      ),
      h(
        "div",
        { class: "field" },
        h("label", { for: "yaml" }, "YAML"),
        h("textarea", {
          id: "yaml",
          class: "code",
          rows: 14,
          spellcheck: "false",
          value: this.#text,
          oninput: (/** @type {{ target: HTMLInputElement }} */ { target }) => this.#type(target.value),
        }),
      ),
      h(
        "div",
        { class: "field" },
        h("label", { for: "yaml-files" }, "Or files"),
        h("input", {
          id: "yaml-files",
          type: "file",
          multiple: true,
          accept: ".yaml,.yml",
          onchange: ({ target }) => this.#read(target),
        }),
      ),
      documents.map((each, index) => h(DocumentTold, { key: String(index), document: each })),
      h("div", { role: "alert", class: "refusal" }, this.#message && h("p", null, this.#message)),
      documents.length > 0 && this.#publishing(documents),
    ];
  }

  /** @param {Imported[]} documents */
  #publishing(documents) {
    const changed = documents.filter(isChanged);
    const refused = documents.filter(({ faults }) => faults.length).length;
    const isChecked = this.#checked === this.#text;
    const says = refused ? "Publish" : `Publish ${changed.length} of ${documents.length}`;
    return h(
      "form",
      {
        class: "publishing",
        onsubmit: (event) => {
          event.preventDefault();
          this.#publish(documents);
        },
      },
      changed.some(({ kind, version }) => mayCount(kind, version)) &&
        h(FromStart, { isChosen: this.#fromStart, choose: (isChosen) => this.#count(isChosen) }),
      h(Reason, { reason: this.#reason, say: (reason) => this.#say(reason) }),
      h(
        "div",
        { class: "actions" },
        h(
          "button",
          { type: "submit", class: "main", disabled: refused > 0 || !changed.length || !isChecked || this.#isBusy },
          this.#follows.length ? `${says} nevertheless` : says,
        ),
        refused > 0 &&
          h("span", { class: "quiet" }, `${refused} of ${documents.length} would be refused, so none is published.`),
      ),
    );
  }

  /** @param {string} reason */
  #say(reason) {
    this.#reason = reason;
    this.redraw();
  }

  /** @param {boolean} fromStart */
  #count(fromStart) {
    this.#fromStart = fromStart;
    this.redraw();
  }

  /** @param {string} text */
  #type(text) {
    this.#text = text;
    this.#follows = [];
    clearTimeout(this.#due);
    this.#due = setTimeout(() => this.#check(), CHECK_MS);
    this.redraw();
  }

  /** @param {HTMLInputElement} input */
  async #read(input) {
    const texts = await Promise.all([...(input.files ?? [])].map((file) => file.text()));
    input.value = "";
    if (texts.length) this.#type([this.#text.trim(), ...texts].filter(Boolean).join("\n---\n"));
  }

  async #check() {
    const text = this.#text;
    this.#message = "";
    try {
      const answer = text.trim() ? await send("POST", "documents/import", { yaml: text }) : null;
      const told = answer ? readExactly(await answer.text()).documents : null;
      if (text !== this.#text) return; // that is being checked, too
      this.#documents = told;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (text !== this.#text) return;
      this.#documents = null;
      this.#message = [error.message, ...error.faults.map(({ path, error: says }) => `${path}: ${says}`)].join("\n");
    }
    this.#checked = text;
    this.redraw();
  }

  /** All that differ, together.
   * @param {Imported[]} documents */
  async #publish(documents) {
    const bases = documents.map(({ kind, key, version }) => ({ kind, key, base: version }));
    const yes = this.#follows.length ? /** @type {const} */ ({ yes: true }) : {};
    this.#isBusy = true;
    try {
      const said = { reason: this.#reason, bases, from_start: this.#fromStart, ...yes };
      await send("PUT", "documents", { yaml: this.#text, ...said });
      this.#follows = [];
      this.#message = `These stand: ${documents.filter(isChanged).map(nameOf).join(", ")}.`;
      this.say(this.#message);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#follows = error.consequences;
      this.#message = error.consequences.length
        ? ["This follows from it; nothing has been changed yet:", ...error.consequences].join("\n")
        : error.message;
    }
    this.#isBusy = false;
    await this.#checkAgain();
  }

  async #checkAgain() {
    const message = this.#message;
    await this.#check();
    this.#message = message || this.#message;
    this.redraw();
  }
}

/** @param {Imported} document */
const nameOf = ({ kind, key, line }) => (kind && key ? `${kind} ${key}` : `document in line ${line}`);

/** @param {Imported} document */
const isChanged = ({ version, differences: found }) => version === 0 || found.length > 0;

/** @param {{ document: Imported }} props */
function DocumentTold({ document }) {
  const { version, faults, consequences, notes, differences: found } = document;
  const news =
    version === 0 ? "is new" : isChanged(document) ? `is another version, ${version + 1}` : "stands as it is";
  const stands = faults.length ? "is refused" : news;
  return h(
    "section",
    { "aria-label": nameOf(document) },
    h("h2", { class: "as-written" }, `${nameOf(document)} ${stands}`),
    faults.length > 0 &&
      h(
        "ul",
        { class: "told" },
        faults.map(({ path, error }) => h("li", { class: "fault" }, h("code", null, path), ` ${error}`)),
      ),
    [...consequences, ...notes].length > 0 &&
      h(
        "ul",
        { class: "told" },
        [...consequences, ...notes].map((each) => h("li", null, each)),
      ),
    version > 0 && found.length > 0 && differences(found),
  );
}
