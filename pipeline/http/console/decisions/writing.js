// Writing: a text in Markdown, and how it will look.

/** @import { Rendered } from "#api" */

import { send } from "../api.js";
import { h, useEffect, useState } from "../dom.js";
import { prose } from "./prose.js";

const PAUSE_MS = 300; // in typing, before it is shown

/** A field with its preview; `label` is its name, and `written` is told whatever stands in it.
 * @param {{ id: string, label: string, text: string, rows: number, longest: number, written: (text: string) => void }} props */
export const Writing = ({ id, label, text, rows, longest, written }) =>
  h(
    "div",
    { class: "writing" },
    h(
      "label",
      null,
      label,
      h("textarea", {
        id,
        rows,
        maxlength: longest,
        value: text,
        oninput: (event) => written(event.target.value),
      }),
    ),
    h(Preview, { label, text }),
  );

/** How the text of the field that is so labelled will look.
 * @param {{ label: string, text: string }} props */
export function Preview({ label, text }) {
  const [html, setHtml] = useState("");
  useEffect(() => {
    if (!text.trim()) return setHtml("");
    let isTyped = true;
    /** @param {Rendered} rendered */
    const show = ({ html }) => isTyped && setHtml(html);
    const pause = setTimeout(() => {
      const answer = send("POST", "markdown", { markdown: text }).then((each) => each.json());
      answer.then(show, () => {}); // its look can wait
    }, PAUSE_MS);
    return () => {
      isTyped = false;
      clearTimeout(pause);
    };
  }, [text]);
  return html && h("div", { class: "preview", role: "group", "aria-label": `${label}, as it will look` }, prose(html));
}
