// Dialog: a question that a person answers before anything else.

/** @import { Child } from "../dom.js" */

import { h, render } from "../dom.js";

/** A form under its title, in front of the page until it is closed. What it holds is drawn once: what changes there are
 * components with a state of their own.
 * @param {string} title @param {(close: () => void) => Child} content @param {() => void} closed */
export function openDialog(title, content, closed = () => {}) {
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "dialog-title");
  render([h("h2", { id: "dialog-title" }, title), content(() => dialog.close())], dialog);
  document.body.append(dialog);
  dialog.addEventListener("close", () => {
    render(null, dialog);
    dialog.remove();
    closed();
  });
  dialog.showModal();
  dialog.querySelector(/** @type {"input"} */ ("select, input, textarea"))?.focus();
}
