// Looks: the newest of each run, and the one that a person went back to.

/** @import { Look } from "#api" */
/** @import { Told } from "../flag/definition.js" */

import { get, now } from "../api.js";
import { h } from "../dom.js";
import { term, titled } from "../parts/meanings.js";
import { asOf, count, duration, moment } from "../parts/numbers.js";

export class Looks {
  /** @type {string | null} */
  refusal = null; // why the one that was asked for cannot be had
  /** @type {Map<string, Look>} */
  #newest = new Map(); // by run
  /** @type {Look | null} */
  #past = null; // the one that a person went back to
  /** @type {{ number: number, address: string } | null} */
  #wanted = null; // the one that was asked for; null: the newest, or it is here
  #isReading = false;

  /** @param {string} path @param {() => void} redraw */
  constructor(path, redraw) {
    this.path = path;
    this.redraw = redraw;
  }

  /** Keep a look; returns the one before.
   * @param {Look} look */
  take(look) {
    const before = this.#newest.get(look.run);
    this.#newest.set(look.run, look);
    return before;
  }

  /** @param {string | null} run */
  newest(run) {
    return run === null ? undefined : this.#newest.get(run);
  }

  /** The one to show of a run.
   * @param {string | null} run */
  shown(run) {
    return this.#past?.run === run && this.#past ? this.#past : this.newest(run);
  }

  /** Which one of the past is shown of a run, or will be.
   * @param {string | null} run */
  past(run) {
    if (this.#wanted && run) return { run, look: this.#wanted.number };
    return this.#past?.run === run ? this.#past : null;
  }

  forget() {
    this.#past = null;
  }

  /** Show the look that a link leads to.
   * @param {string} run @param {number} number */
  async open(run, number) {
    const asked = { number, address: `${this.path}/results/looks/${number}?run=${encodeURIComponent(run)}` };
    this.#wanted = asked;
    await this.#read(asked);
  }

  /** Show a look. One is read at a time; of those that a slider passes meanwhile, the last one is read next.
   * @param {Look} newest @param {number} number */
  async #goTo(newest, number) {
    const address = `${this.path}/results/looks/${number}?run=${newest.run}`;
    this.#wanted = number < newest.look ? { number, address } : null;
    if (!this.#wanted) this.#past = this.refusal = null;
    this.redraw();
    if (this.#isReading) return;
    this.#isReading = true;
    while (this.#wanted) await this.#read(this.#wanted);
    this.#isReading = false;
  }

  /** @param {{ number: number, address: string }} asked */
  async #read(asked) {
    /** @type {Look | null} */
    let look = null;
    let refusal = null;
    try {
      look = await get(asked.address);
    } catch (error) {
      refusal = error instanceof Error ? error.message : String(error);
    }
    if (this.#wanted) [this.#past, this.refusal] = [look, refusal];
    if (this.#wanted === asked) this.#wanted = null;
    this.redraw();
  }

  /** Which run and which of its looks are shown, and how old that is; the slider stands at the one that is asked for.
   * @param {Told} flag @param {string | null} run @param {(run: string) => void} choose */
  timeline(flag, run, choose) {
    const runs = flag.state.runs ?? [];
    return h(
      "div",
      { class: "timeline", role: "group", "aria-label": "Looks" },
      runs.length > 1 &&
        h(
          "label",
          null,
          "Run ",
          h(
            "select",
            { id: "run", onchange: ({ target }) => choose(target.value) },
            runs.map((each) => h("option", { value: each.key, selected: each.key === run }, each.key)),
          ),
        ),
      this.#slider(this.shown(run), this.newest(run)),
    );
  }

  /** @param {Look | undefined} look @param {Look | undefined} newest */
  #slider(look, newest) {
    if (!look || !newest) return null;
    return [
      h("label", { for: "looks" }, term("Look.look", "Look"), ` ${count(look.look)} of ${count(newest.look)}`),
      h("input", {
        id: "looks",
        type: "range",
        min: 1,
        max: newest.look,
        value: this.#wanted?.number ?? look.look,
        oninput: ({ target }) => this.#goTo(newest, Number(target.value)),
      }),
      h("span", null, titled("Look.time"), " ", asOf(look.time, moment)),
      look === newest
        ? h(
            "span",
            null,
            term("freshness", look.final ? "final" : asOf(look.time, (time) => `${duration(now() - time)} old`)),
          )
        : h("button", { type: "button", onclick: () => this.#goTo(newest, newest.look) }, "Back to the newest"),
    ];
  }
}
