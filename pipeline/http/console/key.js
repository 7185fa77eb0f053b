// Key: what a person enters to be let in.

import { key } from "./api.js";
import { openDialog } from "./dialog.js";
import { h } from "./dom.js";

/** Ask for a key and keep it in this tab; whether one was given.
 * @returns {Promise<boolean>} */
export function askForKey() {
  return new Promise((resolve) => {
    const input = h("input", { type: "password", name: "key", autocomplete: "off", value: key.get() ?? "" });
    let isGiven = false;
    const submit = () => {
      key.set(input.value.trim());
      isGiven = true;
      dialog.close();
    };
    const dialog = openDialog(
      "Key",
      submit,
      h(
        "p",
        null,
        "A key of the role viewer reads, experimenter and admin act too. ",
        h("code", null, "peekproof key create"),
        " makes one. It is kept in this tab alone.",
      ),
      h("label", null, "Key ", input),
      h(
        "div",
        { class: "actions" },
        h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
        h("button", { type: "submit", class: "main" }, "Use it"),
      ),
    );
    dialog.addEventListener("close", () => resolve(isGiven));
  });
}
