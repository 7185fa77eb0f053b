// Change: what a person asks for, with a reason, and with a second look where the server says that it costs something.

/** @import { Child } from "../dom.js" */

import { Refusal } from "../api.js";
import { h, useState } from "../dom.js";
import { openDialog } from "./dialog.js";
import { vocabulary } from "./vocabulary.js";

/**
 * @typedef {{ reason: string, base: number, yes?: true }} Said What every change says.
 * @typedef {{
 *   says: string,
 *   key: string,
 *   version: number,
 *   send(said: Said, form: HTMLFormElement): Promise<unknown>,
 *   done(): void,
 * }} Asked What its button says, of which flag and on which version it rests; `send` makes it of what the form holds,
 *   `done` reads what stands then.
 * @typedef {{ message: string, consequences: string[] }} Refused
 */

/** Ask for it in a dialog.
 * @param {Asked} asked @param {Child[]} content */
export const askForChange = (asked, ...content) =>
  openDialog(`${asked.says}: ${asked.key}`, (close) => h(ChangeForm, { asked, close, content }));

/** @param {{ asked: Asked, close: () => void, content: Child }} props */
function ChangeForm({ asked, close, content }) {
  const { says, version, send, done } = asked;
  const [refused, setRefused] = useState(/** @type {Refused | null} */ (null));
  const [isUnderWay, setUnderWay] = useState(false);
  const accepts = refused !== null && refused.consequences.length > 0; // what follows from it

  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    const filled = /** @type {HTMLFormElement} */ (event.currentTarget);
    const reason = String(new FormData(filled).get("reason")).trim();
    setUnderWay(true);
    try {
      await send({ reason, base: version, ...(accepts && { yes: true }) }, filled);
      close();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      setRefused({ message: error.message, consequences: accepts ? [] : error.consequences });
    } finally {
      done();
      setUnderWay(false);
    }
  }

  return h(
    "form",
    { onsubmit: submit, oninput: () => accepts && setRefused(null) }, // what follows is of what was said before
    content,
    h(
      "label",
      null,
      "Reason, for the history ",
      h("input", { name: "reason", required: true, maxlength: vocabulary.longest_reason, autocomplete: "off" }),
    ),
    h("div", { class: "refusal", role: "alert" }, refused && told(refused)),
    h(
      "div",
      { class: "actions" },
      h("button", { type: "button", onclick: close }, "Cancel"),
      h("button", { type: "submit", class: "main", disabled: isUnderWay }, accepts ? `${says} nevertheless` : says),
    ),
  );
}

/** @param {Refused} refused */
const told = ({ message, consequences }) => (consequences.length > 0 ? follows(consequences) : h("p", null, message));

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
