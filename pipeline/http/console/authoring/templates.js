// Templates: documents from which experiments and flags begin.

/** @import { Known } from "./known.js" */

import { h } from "../dom.js";
import { readDocument } from "./documents.js";

/** @param {{ known: Known, chosen: string | null }} props */
export function Templates({ known, chosen }) {
  const templates = known.of("template");
  if (!templates.length) return null;
  return h(
    "div",
    { class: "field template" },
    h("label", { for: "template" }, "Begin from a template"),
    h(
      "select",
      { id: "template", onchange: ({ target }) => target.value && begin(target.value) },
      h("option", { value: "", selected: !chosen }, "choose …"),
      templates.map(({ key, name }) => h("option", { key, value: key, selected: key === chosen }, name ?? key)),
    ),
  );
}

/** @param {string} key */
async function begin(key) {
  const { of } = (await readDocument("template", key)).definition;
  location.hash = `#/new/${of}?template=${encodeURIComponent(key)}`;
}
