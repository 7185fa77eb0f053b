// Importing: documents from YAML, pasted or of files, checked together and published together.

/** @import { Checked } from "#api" */
/** @import { Page, Surroundings } from "../main.js" */

import { Refusal, send } from "../api.js";
import { h } from "../dom.js";
import { differences } from "../flag/versions.js";
import { vocabulary } from "../parts/vocabulary.js";
import { may } from "../session/may.js";
import { publish } from "./documents.js";
import { readExactly } from "./values.js";

/** @typedef {Checked & { kind: string, key: string }} Imported */

const CHECK_MS = 400;

/** Those that others name come first. */
const ORDER = ["cohort", "deployment", "group", "metric", "flag", "brief", "template", "notification"];

/** @implements {Page} */
export class ImportPage {
  title = "Import YAML – Peekproof";
  #text = "";
  /** @type {Imported[] | null} */
  #documents = null;
  #message = ""; // why nothing was checked, or published
  /** @type {string[]} */
  #follows = [];
  /** @type {string[]} */
  #done = [];
  #reason = "";
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
      h(
        "div",
        { role: "alert", class: "refusal" },
        this.#message && h("p", null, this.#message),
        this.#done.length > 0 && h("p", null, `These stand: ${this.#done.join(", ")}.`),
      ),
      documents.length > 0 && this.#publishing(documents),
    ];
  }

  /** @param {Imported[]} documents */
  #publishing(documents) {
    const changed = documents.filter(isChanged);
    const isSound = documents.every(({ faults }) => !faults.length);
    const says = `Publish ${changed.length} of ${documents.length}`;
    return h(
      "form",
      {
        class: "publishing",
        onsubmit: (event) => {
          event.preventDefault();
          this.#publish(changed);
        },
      },
      h(
        "div",
        { class: "field" },
        h("label", { for: "reason" }, "Reason, for the history"),
        h("input", {
          id: "reason",
          required: true,
          maxlength: vocabulary.longest_reason,
          autocomplete: "off",
          value: this.#reason,
          oninput: ({ target }) => this.#say(target.value),
        }),
      ),
      h(
        "div",
        { class: "actions" },
        h(
          "button",
          { type: "submit", class: "main", disabled: !isSound || !changed.length || this.#isBusy },
          this.#follows.length ? `${says} nevertheless` : says,
        ),
      ),
    );
  }

  /** @param {string} reason */
  #say(reason) {
    this.#reason = reason;
    this.redraw();
  }

  /** @param {string} text */
  #type(text) {
    this.#text = text;
    this.#follows = [];
    this.#done = [];
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
      if (text === this.#text) this.#documents = told;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#documents = null;
      this.#message = [error.message, ...error.faults.map(({ path, error: says }) => `${path}: ${says}`)].join("\n");
    }
    this.redraw();
  }

  /** One after the other; what one refuses stops those after it.
   * @param {Imported[]} documents */
  async #publish(documents) {
    const yes = this.#follows.length ? /** @type {const} */ ({ yes: true }) : {};
    this.#isBusy = true;
    this.#message = "";
    const ordered = documents.toSorted((one, other) => ORDER.indexOf(one.kind) - ORDER.indexOf(other.kind));
    try {
      for (const { kind, key, definition, version } of ordered) {
        await publish(kind, key, definition, { reason: this.#reason, base: version, ...yes });
        this.#done.push(`${kind} ${key}`);
      }
      this.#follows = [];
      this.say(`${documents.length} documents are published.`);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#follows = error.consequences;
      this.#message = error.consequences.length
        ? ["This follows from it:", ...error.consequences].join("\n")
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
const isChanged = ({ version, differences: found }) => version === 0 || found.length > 0;

/** @param {{ document: Imported }} props */
function DocumentTold({ document }) {
  const { kind, key, version, faults, consequences, notes, differences: found } = document;
  const stands =
    version === 0 ? "is new" : isChanged(document) ? `is another version, ${version + 1}` : "stands as it is";
  return h(
    "section",
    { "aria-label": `${kind} ${key}` },
    h("h2", null, `${kind} `, h("code", null, key), ` ${stands}`),
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
