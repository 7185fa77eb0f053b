// Change: what a person asks for, with a reason, and with a second look where the server says that it costs something.

/** @import { Child } from "../dom.js" */
/** @import { Assigned } from "./fields.js" */

import { Refusal } from "../api.js";
import { h, useEffect, useRef, useState } from "../dom.js";
import { openDialog } from "./dialog.js";
import { assign, Faults, focusFault } from "./fields.js";
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
 * @typedef {{ message: string, consequences: string[], faults: Assigned }} Refused
 */

/** Ask for it in a dialog. Faults are told beside the fields of `content` that they are of.
 * @param {Asked} asked @param {Child[]} content */
export const askForChange = (asked, ...content) =>
  openDialog(`${asked.says}: ${asked.key}`, (close) => h(ChangeForm, { asked, close, content }));

/** @param {{ asked: Asked, close: () => void, content: Child }} props */
function ChangeForm({ asked, close, content }) {
  const { says, version, send, done } = asked;
  const form = useRef(/** @type {HTMLFormElement | null} */ (null));
  const [refused, setRefused] = useState(/** @type {Refused | null} */ (null));
  const [isUnderWay, setUnderWay] = useState(false);
  const accepts = refused !== null && refused.consequences.length > 0; // what follows from it
  useEffect(() => focusFault(form.current), [refused]);

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
      setRefused(refusedOf(error, filled, accepts));
    } finally {
      done();
      setUnderWay(false);
    }
  }

  return h(
    "form",
    { ref: form, onsubmit: submit, oninput: () => accepts && setRefused(null) }, // what follows is of what was said before
    h(Faults.Provider, { value: refused?.faults.fields ?? NONE }, content),
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

/** @type {Map<string, string[]>} */
const NONE = new Map();

/** @param {Refusal} refusal @param {HTMLFormElement} form @param {boolean} accepted Whether what follows was known.
 * @returns {Refused} */
const refusedOf = ({ message, consequences, faults }, form, accepted) => ({
  message,
  consequences: accepted ? [] : consequences,
  faults: assign(form, faults),
});

/** @param {Refused} refused */
function told({ message, consequences, faults: { fields, others } }) {
  if (consequences.length > 0) return follows(consequences);
  if (!fields.size && !others.length) return h("p", null, message);
  return others.map(({ error }) => h("p", null, error));
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
