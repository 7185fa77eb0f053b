// Page: a document that is made or edited, in steps.

/** @import { Page, Surroundings } from "../main.js" */
/** @import { Route } from "../parts/route.js" */
/** @import { Group } from "./shapes.js" */
/** @import { Step } from "./steps.js" */
/** @import { Fault } from "./values.js" */

import { get } from "../api.js";
import { h } from "../dom.js";
import { moment } from "../parts/numbers.js";
import { addressOf } from "../parts/route.js";
import { Conflict } from "./conflict.js";
import { readDocument } from "./documents.js";
import { Edited, isWithin } from "./edited.js";
import { Fields } from "./form.js";
import { Known } from "./known.js";
import { mayMake } from "./links.js";
import { PARTS } from "./parts.js";
import { Publication } from "./publication.js";
import { Review } from "./review.js";
import { SamplePlanned } from "./sampleplan.js";
import { shapeOf } from "./shapes.js";
import { REVIEW, stepsOf } from "./steps.js";
import { Templates } from "./templates.js";
import { Trying } from "./trying.js";
import { CopyYaml, Yaml, yamlOf } from "./yaml.js";

const STEP = "step"; // in the address

const pathNow = () => location.hash.split("?", 1)[0];

/** What a new one holds before anything is typed. @type {Record<string, object>} */
const FIRST = {
  experiment: { variants: [{ key: "control" }, { key: "treatment" }], metrics: [] },
  flag: { variants: [{ key: "on" }] },
};

/** @implements {Page} */
export class AuthoringPage {
  /** @type {Group | null} */
  #shape = null;
  #step = 0;
  #focus = ""; // what is focused once it is drawn
  /** @type {string | null} */
  #asked = null; // the step that the address names, until it is known which there are
  #at = "";
  #path = pathNow();

  /** @param {Route} route `#/new/WHAT` or `#/edit/KIND/KEY`. @param {Surroundings} surroundings */
  constructor({ at, of: [what = "", key = ""], query: asked }, { redraw, say }) {
    const query = new URLSearchParams(asked);
    this.#asked = query.get(STEP);
    query.delete(STEP);
    this.#at = at;
    this.isExperiment = what === "experiment";
    this.what = what;
    this.query = query;
    this.redraw = redraw;
    this.say = say;
    const from = query.toString();
    const draft = at === "edit" ? `${what}/${key}` : `new/${what}${from && `?${from}`}`;
    this.edited = new Edited(this.isExperiment ? "flag" : what, at === "edit" ? key : "", draft, redraw);
    this.known = new Known(this.edited);
    this.publication = new Publication(this.edited, (key) => this.#done(key));
  }

  get address() {
    const name = this.#asked ?? (this.#step ? this.#steps[this.#step]?.name : null);
    const query = new URLSearchParams([...this.query, ...(name ? [[STEP, name]] : [])]);
    const { kind, key } = this.edited;
    return addressOf({ at: this.#at, of: this.#at === "edit" ? [kind, key] : [this.what], query });
  }

  get #steps() {
    return this.#shape ? stepsOf(this.edited, this.#shape, this.isExperiment) : [];
  }

  get title() {
    return `${this.#heading} – Peekproof`;
  }

  get #heading() {
    const { key } = this.edited;
    return key ? `Edit ${key}` : `New ${this.what}`;
  }

  async refresh() {
    if (this.#shape) {
      await Promise.all([this.edited.lookAgain(), this.known.refresh()]);
      return;
    }
    const { kind, key } = this.edited;
    const [schema] = await Promise.all([get(`schemas/${encodeURIComponent(kind)}`), this.known.refresh()]);
    const standing = key ? await readDocument(kind, key) : null;
    if (standing?.definition.metrics) this.isExperiment = true;
    this.publication.isDraft = !standing || standing.status === "draft";
    await this.edited.begin(standing?.definition ?? (await this.#first()), standing);
    this.#shape = shapeOf(schema);
    this.#step = Math.max(
      0,
      this.#steps.findIndex(({ name }) => name === this.#asked),
    );
    this.edited.isSeen = this.#steps[this.#step] === REVIEW;
    this.#asked = null;
  }

  /** What a new document begins with: another one, but its key; what a brief has of its experiment; a template's values.
   * @returns {Promise<object>} */
  async #first() {
    const [from, experiment, template] = ["from", "experiment", "template"].map((name) => this.query.get(name));
    if (from) {
      const { key: _, ...others } = (await readDocument(this.edited.kind, from)).definition;
      return others;
    }
    if (experiment) {
      const { key, owner, tags } = (await readDocument("flag", experiment)).definition;
      return { key, owner, ...(tags && { tags }) };
    }
    const first = FIRST[this.what] ?? {};
    return template ? { ...first, ...(await readDocument("template", template)).definition.values } : first;
  }

  view() {
    const shape = this.#shape;
    if (!shape) return [];
    return [
      h("div", { class: "head" }, h("h1", null, this.#heading), this.#links()),
      mayMake(this.what) ? this.#form(shape) : this.#read(),
    ];
  }

  #links() {
    const { kind, key } = this.edited;
    return key && h(CopyYaml, { read: () => yamlOf(kind, key) });
  }

  /** What is shown to who may not edit. */
  #read() {
    const { standing } = this.edited;
    return standing
      ? h(Yaml, { text: standing.yaml })
      : h(
          "p",
          null,
          "Your role reads it: an experimenter makes and edits documents, an admin deployments and notifications.",
        );
  }

  /** @param {Group} shape */
  #form(shape) {
    const { edited, known } = this;
    const steps = this.#steps;
    const step = steps[Math.min(this.#step, steps.length - 1)] ?? REVIEW;
    const form = { edited, known, parts: PARTS };
    return [
      this.#draftTold(),
      edited.newer && h(Conflict, { key: `conflict-${edited.newer.version}`, edited }),
      this.#step === 0 &&
        !edited.key &&
        edited.kind === "flag" &&
        h(Templates, { known, of: this.what, chosen: this.query.get("template") }),
      this.#progress(steps, step),
      h("h2", { id: "step", tabindex: -1, class: "step" }, step.title),
      step.says && h("p", { class: "quiet" }, step.says),
      step === REVIEW
        ? h(Review, {
            publication: this.publication,
            isExperiment: this.isExperiment,
            show: (fault) => this.#show(fault, steps),
          })
        : h(
            "div",
            { class: "authoring", key: step.name },
            step.name === "analysis" && h(SamplePlanned, { form }),
            h(Fields, { form, path: [], shape, names: step.fields }),
            step.name === "map" && h(Trying, { edited }),
          ),
      h("div", { class: "actions onward" }, this.#onward(steps)),
      known.view(),
    ];
  }

  #draftTold() {
    const { edited } = this;
    const discard = () => {
      edited.discard();
      this.redraw();
    };
    if (edited.discarded) {
      return h(
        "p",
        { class: "draft" },
        "The draft is discarded. ",
        h("button", { type: "button", onclick: () => edited.bringBack() }, "Bring it back"),
      );
    }
    if (!edited.isKept)
      return h(
        "p",
        { class: "draft fault" },
        "This browser has no room for a draft of it: what you type is lost with the page.",
      );
    if (!edited.isChanged) return null;
    return h(
      "p",
      { class: "draft quiet" },
      edited.restored ? `Your draft of ${moment(edited.restored)} goes on. ` : "A draft is kept in this browser. ",
      h("button", { type: "button", onclick: discard }, "Discard it"),
    );
  }

  /** @param {Step[]} steps @param {Step} current */
  #progress(steps, current) {
    return h(
      "nav",
      { class: "progress", "aria-label": "Steps" },
      h(
        "ol",
        null,
        steps.map((step, index) => {
          const faults = step.fields.reduce((all, name) => all + this.edited.faultsAt([name]).length, 0);
          return h(
            "li",
            { key: step.name },
            h(
              "button",
              {
                type: "button",
                "aria-current": step === current ? "step" : null,
                onclick: () => this.#go(index, steps),
              },
              `${index + 1}. ${step.title}`,
              faults > 0 && h("b", { class: "fault" }, ` ! ${faults}`, h("span", { class: "unseen" }, " to mend")),
            ),
          );
        }),
      ),
    );
  }

  /** @param {Step[]} steps */
  #onward(steps) {
    const [before, after] = [steps[this.#step - 1], steps[this.#step + 1]];
    return [
      before &&
        h("button", { type: "button", onclick: () => this.#go(this.#step - 1, steps) }, `Back: ${before.title}`),
      after &&
        h(
          "button",
          { type: "button", class: "main", onclick: () => this.#go(this.#step + 1, steps) },
          `Next: ${after.title}`,
        ),
    ];
  }

  /** To another step; what is wrong with this one is told from now on.
   * @param {number} index @param {Step[]} steps */
  #go(index, steps) {
    for (const name of steps[this.#step]?.fields ?? []) this.edited.touch([name]);
    this.edited.isSeen ||= steps[index] === REVIEW;
    this.#step = index;
    this.#focus = "#step";
    this.redraw();
  }

  /** To the field that is to blame.
   * @param {Fault} fault @param {Step[]} steps */
  #show(fault, steps) {
    const index = steps.findIndex(({ fields }) => fields.some((name) => isWithin(fault.path, name)));
    this.#go(Math.max(0, index), steps);
    this.#focus = fault.path;
  }

  drawn() {
    const wanted = this.#focus;
    if (!wanted) return;
    this.#focus = "";
    const places = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("main [data-path]")]);
    const near = places.filter((each) => isWithin(wanted, each.dataset.path ?? "#"));
    const nearest = near.sort((one, other) => (other.dataset.path ?? "").length - (one.dataset.path ?? "").length)[0];
    const focused = wanted.startsWith("#")
      ? document.querySelector(wanted)
      : nearest?.querySelector("input, select, textarea, button");
    if (focused instanceof HTMLElement) focused.focus();
  }

  /** @param {string} key */
  #done(key) {
    const { kind } = this.edited;
    this.say(`${key} is published.`);
    const places = /** @type {Record<string, string>} */ ({
      metric: "metrics",
      cohort: "cohorts",
      brief: "briefs",
      deployment: "deployments",
    });
    const flags = this.edited.at(["metrics"]) ? "experiments" : "flags";
    const place = kind === "flag" ? flags : places[kind];
    if (pathNow() !== this.#path) return; // nobody who has left is taken back
    location.hash = place ? `#/${place}/${encodeURIComponent(key)}` : "#/documents";
  }
}
