// Trying: what a source makes of the newest records of its topic, side by side with what came.

/** @import { TriedRecord, TriedSource } from "#api" */
/** @import { Edited } from "./edited.js" */

import { Refusal, send } from "../api.js";
import { message } from "../arriving/sample.js";
import { h, table, useState } from "../dom.js";
import { moment } from "../parts/numbers.js";
import { mark } from "../parts/words.js";
import { isGroup, readable, readExactly } from "./values.js";

export const PATHS = "paths-that-came"; // the id of the suggestions for paths
const RECORDS = 10;
const MOST_PATHS = 200;

/** @type {Record<TriedRecord["outcome"], import("#api").Mark>} */
const OUTCOMES = {
  made: { sign: "✓", says: "made", tone: "good" },
  late: { sign: "◷", says: "late", tone: "warn" },
  "left out": { sign: "–", says: "left out", tone: "idle" },
  dead: { sign: "✗", says: "dead letter", tone: "bad" },
};

/** @typedef {{ of: string, tried?: TriedSource, refusal?: string }} Asked `of`: what was tried. */

/** @param {{ edited: Edited }} props */
export function Trying({ edited }) {
  const [asked, answer] = useState(/** @type {Asked | null} */ (null));
  const [isBusy, wait] = useState(false);
  const [definition] = readable(edited.definition);
  const of = JSON.stringify(definition);
  const ask = async () => {
    wait(true);
    try {
      const told = await send("POST", "sources/try", { definition, records: RECORDS });
      answer({ of, tried: await told.json() });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      answer({ of, refusal: error.message });
    }
    wait(false);
  };
  const tried = asked?.tried;
  return h(
    "section",
    { "aria-labelledby": "trying", class: "trying" },
    h("h2", { id: "trying" }, "What comes of it"),
    h(
      "div",
      { class: "actions" },
      h(
        "button",
        { type: "button", disabled: isBusy, onclick: ask },
        isBusy ? "Trying …" : `Try it with the newest ${RECORDS} records`,
      ),
      h("span", { class: "quiet" }, "Nothing is counted, and nothing is published."),
    ),
    h(
      "div",
      { role: "status" },
      asked && asked.of !== of && h("p", { class: "quiet" }, "It has changed since it was tried."),
      asked?.refusal && h("p", { class: "fault" }, asked.refusal),
      tried && [
        h("p", null, outcomes(tried.counts)),
        tried.notes.map((note) => h("p", { key: note, class: "fault" }, note)),
      ],
    ),
    tried &&
      tried.records.length > 0 &&
      table("What was tried", ["what came", "what was made of it"], tried.records.map(row)),
    h(
      "datalist",
      { id: PATHS },
      pathsOf(tried?.records ?? []).map((value) => h("option", { key: value, value })),
    ),
  );
}

/** @param {TriedSource["counts"]} counts */
const outcomes = (counts) =>
  Object.entries(OUTCOMES)
    .filter(([outcome]) => counts[outcome])
    .map(([outcome, { says }]) => `${counts[outcome]} ${says}`)
    .join(", ") || "Nothing came of it.";

/** @param {TriedRecord} record */
const row = ({ place, time, came, outcome, made, reason, detail }) =>
  h(
    "tr",
    { key: place },
    h(
      "td",
      null,
      h("small", null, h("code", null, place), ` ${moment(time)}`),
      came === null ? h("p", { class: "quiet" }, "no value") : message(came),
    ),
    h(
      "td",
      null,
      mark(OUTCOMES[outcome]),
      made !== null && message(JSON.stringify(made)),
      (reason || detail) &&
        h("p", null, reason && h("strong", null, `${reason}: `), detail?.replace(/^left out: /, "")),
    ),
  );

/** The paths of what came, as documents write them.
 * @param {TriedRecord[]} records */
function pathsOf(records) {
  /** @type {Set<string>} */
  const found = new Set();
  /** @param {unknown} value @param {string} path */
  const walk = (value, path) => {
    if (path) found.add(path);
    if (found.size >= MOST_PATHS) return;
    if (isGroup(value)) {
      for (const [name, each] of Object.entries(value)) walk(each, [path, step(name)].filter(Boolean).join("."));
    } else if (Array.isArray(value) && value.length) walk(value[0], [path, "0"].filter(Boolean).join("."));
  };
  for (const { came } of records) {
    try {
      walk(readExactly(came ?? ""), "");
    } catch {
      // it is no JSON
    }
  }
  return [...found].sort();
}

/** @param {string} name */
const step = (name) => (/^\d*$|[.']|^[$=]| or /.test(name) ? `'${name.replaceAll("'", "''")}'` : name);
