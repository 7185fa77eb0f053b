// Dialog: a question that a person answers before anything else.

/** @import { Child } from "./dom.js" */

import { h } from "./dom.js";

/** A form under its title, in front of the page until it is closed.
 * @param {string} title @param {() => unknown} submit @param {Child[]} content */
export function openDialog(title, submit, ...content) {
  const dialog = h(
    "dialog",
    { "aria-labelledby": "dialog-title" },
    h(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          submit();
        },
      },
      h("h2", { id: "dialog-title" }, title),
      content,
    ),
  );
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
  dialog.querySelector(/** @type {"input"} */ ("select, input"))?.focus();
  return dialog;
}
