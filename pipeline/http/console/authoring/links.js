// Links: what leads from a document to its form, to a copy of it, and to its YAML.

import { h } from "../dom.js";
import { may } from "../session/may.js";
import { CopyYaml, yamlOf } from "./yaml.js";

/** @param {{ kind: string, what?: string, of: string }} props `what` is made anew: an experiment is a flag. */
export const DocumentLinks = ({ kind, what = kind, of }) =>
  h(
    "div",
    { class: "actions", role: "group", "aria-label": "The document" },
    may("edit") && h("a", { class: "button", href: `#/edit/${kind}/${encodeURIComponent(of)}` }, "Edit"),
    may("edit") && h("a", { class: "button", href: `#/new/${what}?from=${encodeURIComponent(of)}` }, "Duplicate"),
    h(CopyYaml, { read: () => yamlOf(kind, of) }),
  );

/** What makes new ones.
 * @param {{ whats: string[] }} props */
export const NewLinks = ({ whats }) =>
  may("edit") &&
  h(
    "div",
    { class: "actions", role: "group", "aria-label": "New documents" },
    whats.map((what) => h("a", { key: what, class: "button", href: `#/new/${what}` }, `New ${what}`)),
    h("a", { class: "button", href: "#/import" }, "Import YAML"),
  );
