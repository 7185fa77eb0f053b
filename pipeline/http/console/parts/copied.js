// Copied: a text that a person takes elsewhere, with a button that copies it.

import { h, useState } from "../dom.js";

/** @param {{ label: string, text: string }} props */
export function Copied({ label, text }) {
  const [copied, setCopied] = useState(""); // it may show another text by now
  const copy = () =>
    navigator.clipboard?.writeText(text).then(
      () => setCopied(text),
      () => {}, // where a browser does not let us, the text can be selected
    );
  return h(
    "figure",
    { class: "copied" },
    h("figcaption", null, label),
    h("pre", { tabindex: 0, "aria-label": label }, text),
    navigator.clipboard &&
      h(
        "button",
        { type: "button", "aria-label": `Copy: ${label}`, onclick: copy },
        copied === text ? "Copied" : "Copy",
      ),
  );
}
