// Ids: a cohort's, pasted or read from a file in this browser.

/** @import { Place } from "./form.js" */

import { h, useState } from "../dom.js";
import { count } from "../parts/numbers.js";
import { Faults, LinesField } from "./form.js";
import { pathText } from "./values.js";

const MOST_TYPED = 2_000; // more are no text to type in

/** @param {Place} place */
export function IdsField(place) {
  const { form, path } = place;
  const [told, tell] = useState("");
  /** @type {string[]} */
  const ids = form.edited.at(path) ?? [];
  /** @param {HTMLInputElement} input */
  const read = async (input) => {
    const [file] = input.files ?? [];
    if (!file) return;
    try {
      const found = idsOf(await file.text(), file.name, form.edited.at(["unit"]) ?? "user_id");
      const all = [...new Set(found)];
      form.edited.set(path, all.length ? all : undefined);
      tell(`${counted(found, all.length, ` of ${file.name}`)}.`);
    } catch (error) {
      tell(`${file.name}: ${/** @type {Error} */ (error).message}`);
    }
    input.value = "";
  };
  return h(
    "div",
    { class: "ids" },
    h(
      "div",
      { class: "field" },
      h("label", { for: "ids-file" }, "A file of ids: text, CSV, TSV or JSON"),
      h("input", {
        id: "ids-file",
        type: "file",
        accept: ".txt,.csv,.tsv,.json,text/plain",
        onchange: ({ target }) => read(target),
      }),
      h("small", { role: "status" }, told || `${counted(ids, new Set(ids).size)}; a file takes their place`),
    ),
    ids.length > MOST_TYPED
      ? h("div", { "data-path": pathText(path) }, h(Faults, { id: "ids-fault", told: form.edited.faultsAt(path) }))
      : h(LinesField, place),
  );
}

/** @param {string[]} ids @param {number} once How many there are, each once. @param {string} [of] */
const counted = (ids, once, of = "") =>
  `${count(once)} ids${of}${ids.length > once ? `, each once; ${count(ids.length - once)} stood there again` : ""}`;

/** The ids that a file holds: a JSON array, a table with a column that is called as the unit or `id`, or one per line.
 * @param {string} text @param {string} name @param {string} unit */
export function idsOf(text, name, unit) {
  const plain = text.replace(/^\uFEFF/, "");
  const ids = name.endsWith(".json")
    ? ofJson(plain)
    : /\.[ct]sv$/.test(name)
      ? ofTable(plain, name.endsWith(".tsv") ? "\t" : ",", unit)
      : plain.split(/\r?\n/);
  return ids.map((each) => each.trim()).filter(Boolean);
}

/** @param {string} text @returns {string[]} */
function ofJson(text) {
  const ids = JSON.parse(text);
  if (!Array.isArray(ids) || ids.some((each) => typeof each !== "string"))
    throw new Error("write a JSON array of texts, the ids");
  return ids;
}

/** @param {string} text @param {string} separator @param {string} unit */
function ofTable(text, separator, unit) {
  const [heads = [], ...rows] = records(text, separator);
  const column = [unit, "id"].map((each) => heads.map((head) => head.trim()).indexOf(each)).find((each) => each >= 0);
  if (column === undefined) throw new Error(`no column is called '${unit}' or 'id'; there are: ${heads.join(", ")}`);
  return rows.map((row) => row[column] ?? "");
}

/** A table's rows, in which a quoted value may hold separators, quotes and line feeds.
 * @param {string} text @param {string} separator @returns {string[][]} */
function records(text, separator) {
  /** @type {string[][]} */
  const rows = [[]];
  const part = new RegExp(`("(?:[^"]|"")*"|[^${separator}\\r\\n]*)(${separator}|\\r?\\n|$)`, "gy");
  for (const [whole, value = "", end = ""] of text.matchAll(part)) {
    if (!whole && part.lastIndex >= text.length) break;
    rows.at(-1)?.push(value.startsWith('"') ? value.slice(1, -1).replaceAll('""', '"') : value);
    if (end.endsWith("\n")) rows.push([]);
  }
  return rows.filter((row) => row.length);
}
