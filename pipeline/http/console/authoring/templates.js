// Templates: documents from which experiments and flags begin.

/** @import { Known } from "./known.js" */

import { h } from "../dom.js";

/** @param {{ what: string, known: Known }} props */
export function Templates({ what, known }) {
  const templates = known.of("template");
  if (!templates.length) return null;
  return h(
    "div",
    { class: "field" },
    h("label", { for: "template" }, "Begin from a template"),
    h(
      "select",
      {
        id: "template",
        onchange: ({ target }) => {
          location.hash = `#/new/${what}${target.value && `?template=${encodeURIComponent(target.value)}`}`;
        },
      },
      h("option", { value: "" }, "none"),
      templates.map(({ key, name }) =>
        h(
          "option",
          { key, value: key, selected: location.hash.endsWith(`template=${encodeURIComponent(key)}`) },
          name ?? key,
        ),
      ),
    ),
  );
}
