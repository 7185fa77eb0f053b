// Used by: which documents name this one.

/** @import { DocumentShown } from "#api" */

import { h } from "../dom.js";

const PLACES = { flag: "flags", metric: "metrics", cohort: "cohorts", brief: "briefs" };

/** @param {{ usedBy: DocumentShown["used_by"] }} props */
export const UsedBy = ({ usedBy }) =>
  h(
    "section",
    { "aria-labelledby": "used-by" },
    h("h2", { id: "used-by" }, "Used by"),
    usedBy.length
      ? h(
          "ul",
          null,
          usedBy.map(({ kind, key, name }) =>
            h(
              "li",
              { key: `${kind}/${key}` },
              kind in PLACES
                ? h(
                    "a",
                    { href: `#/${PLACES[/** @type {keyof typeof PLACES} */ (kind)]}/${encodeURIComponent(key)}` },
                    name ?? key,
                  )
                : (name ?? key),
              h("span", { class: "quiet" }, ` ${kind} ${key}`),
            ),
          ),
        )
      : h("p", { class: "quiet" }, "Nothing names it."),
  );
