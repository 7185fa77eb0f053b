// Conflict: somebody else has published what is edited here. Who, when, what changed, and which of both goes on.

/** @import { Edited } from "./edited.js" */
/** @import { Path } from "./values.js" */

import { h, table, useState } from "../dom.js";
import { moment } from "../parts/numbers.js";
import { at, isGroup, pathText, put, same, typedOf } from "./values.js";

/** @param {{ edited: Edited }} props */
export function Conflict({ edited }) {
  const { newer, standing } = edited;
  const [chosen, choose] = useState(/** @type {Record<string, boolean>} */ ({})); // by place: whether theirs
  if (!newer || !standing) return null;
  const changed = differing(standing.definition, newer.definition);
  const isTheirs = (/** @type {Path} */ path) =>
    chosen[pathText(path)] ?? same(at(standing.definition, path), edited.at(path));
  const goOn = () => {
    const mine = changed.filter((path) => !isTheirs(path));
    const own = differing(standing.definition, edited.definition).filter(
      (path) => !changed.some((each) => same(each, path)),
    );
    edited.goOn([...mine, ...own].reduce((made, path) => put(made, path, edited.at(path)), newer.definition));
  };
  return h(
    "section",
    { class: "conflict", "aria-labelledby": "conflict" },
    h(
      "div",
      { role: "alert" },
      h("h2", { id: "conflict" }, `${newer.author} has published version ${newer.version} meanwhile`),
      h(
        "p",
        null,
        `${moment(newer.time)}: `,
        h("q", null, newer.reason),
        " You have edited version ",
        standing.version,
        "; nothing of what you typed is lost.",
      ),
    ),
    changed.length > 0
      ? table(
          "What changed meanwhile",
          ["field", `version ${standing.version}`, `version ${newer.version}`, "yours", "goes on"],
          changed.map((path) =>
            h(
              "tr",
              { key: pathText(path) },
              h("th", { scope: "row" }, h("code", null, pathText(path))),
              [standing.definition, newer.definition, edited.definition].map((each) =>
                h("td", null, shown(at(each, path))),
              ),
              h(
                "td",
                null,
                choiceOf(path, isTheirs(path), (theirs) => choose({ ...chosen, [pathText(path)]: theirs })),
              ),
            ),
          ),
        )
      : h("p", { class: "quiet" }, "Its definition is the same."),
    h(
      "div",
      { class: "actions" },
      h("button", { type: "button", class: "main", onclick: goOn }, `Go on upon version ${newer.version}`),
    ),
  );
}

/** @param {Path} path @param {boolean} isTheirs @param {(theirs: boolean) => void} take */
const choiceOf = (path, isTheirs, take) =>
  h(
    "select",
    { "aria-label": `${pathText(path)}: which goes on`, onchange: ({ target }) => take(target.value === "theirs") },
    h("option", { value: "theirs", selected: isTheirs }, "theirs"),
    h("option", { value: "yours", selected: !isTheirs }, "yours"),
  );

/** @param {unknown} value */
const shown = (value) =>
  value === undefined ? "–" : typeof value === "object" ? JSON.stringify(value) : typedOf(value);

/** Where two definitions differ, as deep as groups of fields go; lists are one value.
 * @param {unknown} one @param {unknown} other @param {Path} path @returns {Path[]} */
export function differing(one, other, path = []) {
  if (same(one, other)) return [];
  if (!isGroup(one) || !isGroup(other)) return [path];
  const names = [...new Set([...Object.keys(one), ...Object.keys(other)])];
  return names.flatMap((name) => differing(one[name], other[name], [...path, name]));
}
