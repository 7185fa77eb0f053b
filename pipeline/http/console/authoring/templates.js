// Templates: documents from which experiments and flags begin.

/** @import { Known } from "./known.js" */

import { h } from "../dom.js";

/** @param {{ known: Known, of: string, chosen: string | null }} props `of`: of experiments, or of flags. */
export function Templates({ known, of, chosen }) {
  const templates = known.of("template").filter((each) => each.of === of);
  if (!templates.length) return null;
  return h(
    "div",
    { class: "field template" },
    h("label", { for: "template" }, "Begin from a template"),
    h(
      "select",
      { id: "template", onchange: ({ target }) => target.value && begin(of, target.value) },
      h("option", { value: "", selected: !chosen }, "choose …"),
      templates.map(({ key, name }) => h("option", { key, value: key, selected: key === chosen }, name ?? key)),
    ),
  );
}

/** @param {string} of @param {string} key */
function begin(of, key) {
  location.hash = begun(of, key);
}

/** Where what begins with a template is made.
 * @param {string} of @param {string} key */
export const begun = (of, key) => `#/new/${of}?template=${encodeURIComponent(key)}`;
