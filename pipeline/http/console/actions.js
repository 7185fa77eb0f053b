// Actions: what a person does to a flag, with a reason, and with a second look where the server says that it costs something.

/** @import { Shown, Taking } from "#api" */

import { post, Refusal } from "./api.js";
import { openDialog } from "./dialog.js";
import { h } from "./dom.js";
import { vocabulary } from "./vocabulary.js";

/** What is said on a step's button, and what the step does, in a sentence. */
const STEPS = {
  start: { says: "Start", does: "From now on units enter: a run begins." },
  rollout: { says: "Roll out", does: "Everybody gets one variant; the run that is open ends." },
  rollback: { says: "Roll back", does: "Everybody gets ‘off’; the run that is open ends." },
  complete: { says: "Complete", does: "No unit enters any more; events count until the last window is settled." },
  restart: {
    says: "Restart",
    does: "Another run begins, with a fresh split; the one that is open ends. Results start again.",
  },
  archive: { says: "Archive", does: "It is put away, and everybody gets ‘off’, until it is restored." },
  restore: { says: "Restore", does: "It comes back from the archive as it was." },
};

/**
 * @typedef {keyof typeof STEPS} Step
 * @typedef {"experiments" | "flags"} Kind
 */

const steps = /** @type {Step[]} */ (Object.keys(STEPS));

/** Buttons of the steps that are offered now; `done` reads what stands then.
 * @param {Kind} kind @param {Shown} flag @param {() => void} done */
export const actions = (kind, flag, done) =>
  h(
    "div",
    { class: "actions", role: "group", "aria-label": "Actions" },
    steps
      .filter((step) => vocabulary.steps[step].includes(flag.status))
      .map((step) =>
        h(
          "button",
          { type: "button", id: `act-${step}`, onclick: () => new Action(kind, flag, step, done).ask() },
          `${STEPS[step].says} …`,
        ),
      ),
  );

class Action {
  #accepts = false; // what follows from it
  #told = h("div", { class: "refusal", role: "alert" });

  /** @param {Kind} kind @param {Shown} flag @param {Step} step @param {() => void} done */
  constructor(kind, flag, step, done) {
    this.flag = flag;
    this.path = `${kind}/${encodeURIComponent(flag.key)}/actions/${step}`;
    this.says = STEPS[step].says;
    this.does = STEPS[step].does;
    this.done = done;
    const reset = () => this.#accepts && this.#accept(false);
    this.choice = step === "rollout" ? select(flag, reset) : null;
    this.reason = h("input", {
      name: "reason",
      required: true,
      maxlength: vocabulary.longest_reason,
      autocomplete: "off",
      oninput: reset,
    });
    this.button = h("button", { type: "submit", class: "main" }, this.says);
  }

  ask() {
    const dialog = openDialog(
      `${this.says}: ${this.flag.key}`,
      () => this.#take(dialog),
      h("p", null, this.does),
      this.choice && h("label", null, "Variant ", this.choice),
      h("label", null, "Reason, for the history ", this.reason),
      this.#told,
      h(
        "div",
        { class: "actions" },
        h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
        this.button,
      ),
    );
  }

  /** @param {HTMLDialogElement} dialog */
  async #take(dialog) {
    this.button.disabled = true;
    /** @type {Taking} */
    const taking = {
      reason: this.reason.value.trim(),
      base: this.flag.version,
      ...(this.choice && { variant: this.choice.value }),
      ...(this.#accepts && { yes: true }),
    };
    try {
      await post(this.path, taking);
      dialog.close();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#refused(error);
    } finally {
      this.done();
      this.button.disabled = false;
    }
  }

  /** @param {Refusal} refusal */
  #refused({ message, consequences }) {
    this.#accept(consequences.length > 0 && !this.#accepts);
    this.#told.append(this.#accepts ? follows(consequences) : h("p", null, message));
  }

  /** @param {boolean} accepts */
  #accept(accepts) {
    this.#accepts = accepts;
    this.#told.replaceChildren();
    this.button.textContent = accepts ? `${this.says} nevertheless` : this.says;
  }
}

/** @param {string[]} consequences */
const follows = (consequences) =>
  h(
    "div",
    null,
    h("p", null, "This follows from it; nothing has been changed yet:"),
    h(
      "ul",
      null,
      consequences.map((each) => h("li", null, each)),
    ),
  );

/** The variants that may be rolled out.
 * @param {Shown} flag @param {() => void} oninput */
function select({ variants, rolled_out, control }, oninput) {
  const others = variants.filter((each) => each !== rolled_out);
  const chosen = others.find((each) => each !== control) ?? others[0];
  return h(
    "select",
    { name: "variant", oninput },
    others.map((each) => h("option", { value: each, selected: each === chosen }, each)),
  );
}
