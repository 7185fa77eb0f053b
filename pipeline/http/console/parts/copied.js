// Copied: a text that a person takes elsewhere, with a button that copies it.

import { h, useEffect, useRef, useState } from "../dom.js";

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

/** A secret that was made just now and is shown this once: it takes the focus.
 * @param {{ label: string, text: string }} props */
export function Secret({ label, text }) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => place.current?.querySelector("pre")?.focus(), [text]);
  return h("div", { ref: place }, h(Copied, { label, text }));
}
