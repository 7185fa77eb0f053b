// Recount: what the run does not count from its start, and how far the count is that does.

/** @import { RecountShown, RecountTold } from "#api" */
/** @import { Told } from "../flag/definition.js" */
/** @import { Child } from "../dom.js" */

import { get, remove, send } from "../api.js";
import { h } from "../dom.js";
import { askForChange } from "../parts/change.js";
import { duration, share } from "../parts/numbers.js";
import { may } from "../session/may.js";

/** A section for the recount of one experiment, which `refresh` reads anew and `view` draws. */
export class RecountSection {
  /** @type {RecountShown | null} */
  #shown = null;

  /** @param {string} key */
  constructor(key) {
    this.path = `experiments/${encodeURIComponent(key)}/recount`;
  }

  /** Whether the run is counted again now. */
  get isUnderWay() {
    return this.#shown?.recount?.state === "begun";
  }

  /** Read it; without an answer there is no section. */
  async refresh() {
    this.#shown = await get(this.path).catch(() => null);
  }

  /** @param {Told} flag @param {() => void} done Reads what stands, after a change. @returns {Child} */
  view(flag, done) {
    const { recount, short_of: names } = this.#shown ?? { recount: null, short_of: [] };
    const isUnderWay = recount?.state === "begun";
    if (!recount?.why && !isUnderWay && names.length === 0) return null;
    return h(
      "section",
      { "aria-labelledby": "recount" },
      h("h2", { id: "recount" }, "From the start"),
      recount && isUnderWay ? underWay(recount) : stands(names, recount),
      may("edit") &&
        h(
          "div",
          { class: "actions", role: "group", "aria-label": "From the start" },
          isUnderWay
            ? h("button", { type: "button", id: "stop-recount", onclick: () => this.#stop(flag, done) }, "Stop …")
            : names.length > 0 &&
                h(
                  "button",
                  { type: "button", id: "recount-run", onclick: () => this.#begin(flag, done) },
                  "Count them from the start …",
                ),
        ),
    );
  }

  /** @param {Told} flag @param {() => void} done */
  #begin({ key, version }, done) {
    askForChange(
      { says: "Count again", key, version, done, send: ({ reason }) => send("POST", this.path, { reason }) },
      h(
        "p",
        null,
        "It is counted again from its start, by what is archived, and goes on as it is until that has caught up. What was " +
          "chosen after the start is exploratory then, and decides nothing, unless a draft had listed it.",
      ),
    );
  }

  /** @param {Told} flag @param {() => void} done */
  #stop({ key, version }, done) {
    askForChange(
      { says: "Stop", key, version, done, send: ({ reason }) => remove(this.path, { reason }) },
      h("p", null, "It goes on as it was."),
    );
  }
}

/** @param {RecountTold} recount */
const underWay = ({ done, size, seconds_left: left, waiting }) =>
  h(
    "p",
    { role: "status" },
    `It is counted again from its start: ${size > 0 ? share(Math.min(1, done / size), 0) : "nothing"} of what is archived`,
    waiting ? `; it waits ${waiting}.` : left === null ? "." : `, about ${duration(1_000 * left)} to go.`,
  );

/** @param {string[]} names @param {RecountTold | null} recount */
const stands = (names, recount) => [
  names.length > 0 && h("p", null, `${names.join(", ")}: only of units that entered later, or not at all.`),
  recount?.why && h("p", { class: "quiet" }, `It was not counted again: ${recount.why}.`),
];
