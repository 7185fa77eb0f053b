// Reason: why something is published, for the history.

import { h } from "../dom.js";
import { vocabulary } from "../parts/vocabulary.js";

/** @param {{ reason: string, say: (reason: string) => void }} props */
export const Reason = ({ reason, say }) =>
  h(
    "div",
    { class: "field" },
    h("label", { for: "reason" }, "Reason, for the history"),
    h("input", {
      id: "reason",
      required: true,
      maxlength: vocabulary.longest_reason,
      autocomplete: "off",
      value: reason,
      oninput: ({ target }) => say(target.value),
    }),
  );
