// Links: what leads from a document to its form, to a copy of it, and to its YAML.

import { h } from "../dom.js";
import { may, who } from "../session/may.js";
import { CopyYaml, yamlOf } from "./yaml.js";

const ADMINISTERED = ["deployment", "notification"];

/** Whether whoever is signed in may make and edit such documents.
 * @param {string} what */
export const mayMake = (what) => may(ADMINISTERED.includes(what) ? "administer" : "edit");

/** Nothing for who came by a link, which shows no documents.
 * @param {{ kind: string, what?: string, of: string }} props `what` is made anew: an experiment is a flag. */
export const DocumentLinks = ({ kind, what = kind, of }) =>
  !who()?.experiment &&
  h(
    "div",
    { class: "actions", role: "group", "aria-label": "The document" },
    mayMake(kind) && h("a", { class: "button", href: `#/edit/${kind}/${encodeURIComponent(of)}` }, "Edit"),
    mayMake(kind) && h("a", { class: "button", href: `#/new/${what}?from=${encodeURIComponent(of)}` }, "Duplicate"),
    h(CopyYaml, { read: () => yamlOf(kind, of) }),
  );

/** What makes new ones.
 * @param {{ whats: string[] }} props */
export const NewLinks = ({ whats }) =>
  may("edit") &&
  h(
    "div",
    { class: "actions", role: "group", "aria-label": "New documents" },
    whats.filter(mayMake).map((what) => h("a", { key: what, class: "button", href: `#/new/${what}` }, `New ${what}`)),
    h("a", { class: "button", href: "#/import" }, "Import YAML"),
  );
