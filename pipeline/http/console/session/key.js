// Key: what a person enters to be let in.

import { key } from "../api.js";
import { h } from "../dom.js";
import { openDialog } from "../parts/dialog.js";

/** Ask for a key and keep it in this tab; whether one was given.
 * @returns {Promise<boolean>} */
export function askForKey() {
  return new Promise((resolve) => {
    let isGiven = false;
    openDialog(
      "Key",
      (close) =>
        form(close, (given) => {
          key.set(given);
          isGiven = true;
          close();
        }),
      () => resolve(isGiven),
    );
  });
}

/** @param {() => void} close @param {(given: string) => void} give */
const form = (close, give) =>
  h(
    "form",
    {
      onsubmit: (event) => {
        event.preventDefault();
        give(String(new FormData(/** @type {HTMLFormElement} */ (event.currentTarget)).get("key")).trim());
      },
    },
    h(
      "p",
      null,
      "A key of the role viewer reads, experimenter and admin act too. ",
      h("code", null, "peekproof key create"),
      " makes one. It is kept in this tab alone.",
    ),
    h(
      "label",
      null,
      "Key ",
      h("input", { type: "password", name: "key", autocomplete: "off", defaultValue: key.get() ?? "" }),
    ),
    h(
      "div",
      { class: "actions" },
      h("button", { type: "button", onclick: close }, "Cancel"),
      h("button", { type: "submit", class: "main" }, "Use it"),
    ),
  );
