// Change: what a person asks for, with a reason, and with a second look where the server says that it costs something.

/** @import { Fault } from "./api.js" */
/** @import { Child } from "./dom.js" */

import { Refusal } from "./api.js";
import { openDialog } from "./dialog.js";
import { h } from "./dom.js";
import { vocabulary } from "./vocabulary.js";

/**
 * @typedef {{ reason: string, base: number, yes?: true }} Said What every change says.
 * @typedef {{
 *   says: string,
 *   key: string,
 *   version: number,
 *   send(said: Said): Promise<unknown>,
 *   done(): void,
 *   blame?(faults: Fault[]): Fault[],
 * }} Asked What its button says, of which flag and on which version it rests; `send` makes it, `done` reads what stands
 *   then; `blame` tells faults beside their fields, and gives those that have none.
 */

export class Change {
  #accepts = false; // what follows from it
  #told = h("div", { class: "refusal", role: "alert" });

  /** @param {Asked} asked */
  constructor(asked) {
    this.asked = asked;
    this.reason = h("input", {
      name: "reason",
      required: true,
      maxlength: vocabulary.longest_reason,
      autocomplete: "off",
      oninput: () => this.reset(),
    });
    this.button = h("button", { type: "submit", class: "main" }, asked.says);
  }

  /** @param {Child[]} content */
  ask(...content) {
    const dialog = openDialog(
      `${this.asked.says}: ${this.asked.key}`,
      () => this.#make(dialog),
      content,
      h("label", null, "Reason, for the history ", this.reason),
      this.#told,
      h(
        "div",
        { class: "actions" },
        h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
        this.button,
      ),
    );
    return dialog;
  }

  /** What follows is of what was said before. */
  reset() {
    if (this.#accepts) this.#accept(false);
  }

  /** @param {HTMLDialogElement} dialog */
  async #make(dialog) {
    const { send, done, version } = this.asked;
    this.button.disabled = true;
    try {
      await send({ reason: this.reason.value.trim(), base: version, ...(this.#accepts && { yes: true }) });
      dialog.close();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#refused(error);
    } finally {
      done();
      this.button.disabled = false;
    }
  }

  /** @param {Refusal} refusal */
  #refused({ message, consequences, faults }) {
    this.#accept(consequences.length > 0 && !this.#accepts);
    const { blame = () => faults } = this.asked;
    const others = blame(faults);
    if (this.#accepts) this.#told.append(follows(consequences));
    else if (!faults.length) this.#told.append(h("p", null, message));
    else this.#told.append(...others.map(({ error }) => h("p", null, error)));
  }

  /** @param {boolean} accepts */
  #accept(accepts) {
    this.#accepts = accepts;
    this.#told.replaceChildren();
    this.button.textContent = accepts ? `${this.asked.says} nevertheless` : this.asked.says;
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
