// YAML: a document as a file holds it, to read and to take along.

import { h, useState } from "../dom.js";
import { readDocument } from "./documents.js";

/** @param {{ text: string }} props */
export const Yaml = ({ text }) =>
  h("pre", { class: "yaml", tabindex: 0, role: "group", "aria-label": "The document as YAML" }, h("code", null, text));

/** @param {{ read: () => Promise<string> | string }} props */
export function CopyYaml({ read }) {
  const [told, tell] = useState("");
  const [text, show] = useState("");
  const copy = async () => {
    try {
      const yaml = await read();
      if (navigator.clipboard) {
        await navigator.clipboard.writeText(yaml);
        tell("Copied.");
      } else {
        show(yaml);
        tell("This browser copies by itself over HTTPS alone; take it from here.");
      }
    } catch (error) {
      tell(/** @type {Error} */ (error).message);
    }
  };
  return h(
    "span",
    { class: "copy" },
    h("button", { type: "button", onclick: copy }, "Copy as YAML"),
    h("span", { role: "status", class: "quiet" }, told && ` ${told}`),
    text && h(Yaml, { text }),
  );
}

/** @param {string} kind @param {string} key */
export const yamlOf = async (kind, key) => (await readDocument(kind, key)).yaml;
