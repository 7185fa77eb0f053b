// Search: a field in which a person types what to find, and whether something is it.

/** @import { Child } from "../dom.js" */

import { h } from "../dom.js";

/** A landmark of the page, which `/` leads to. What is typed finds at once; `others` narrow it down.
 * @param {{ label: string, text: string, take: (text: string) => void, placeholder?: string }} field @param {Child[]} others */
export const search = ({ label, text, take, placeholder = "Search  /" }, ...others) =>
  h(
    "form",
    { class: "filter", role: "search", onsubmit: (event) => event.preventDefault() },
    h("input", {
      type: "search",
      id: "words",
      "aria-label": label,
      placeholder,
      autocomplete: "off",
      value: text,
      oninput: ({ target }) => take(target.value),
    }),
    others,
  );

/** Whether every word of a text is in one of these.
 * @param {string} text @param {(string | null)[]} within */
export function matches(text, within) {
  const said = within.join(" ").toLowerCase();
  return text
    .toLowerCase()
    .split(/\s+/)
    .every((word) => said.includes(word));
}
