// A unit: what every flag yields for it and why, what was recorded of it, and what it contributes.

/** @import { PersonRecords, UnitAnswer, UnitAnswers, UnitRecord, UnitRecords } from "#api" */
/** @import { Child } from "../dom.js" */
/** @import { Page, Surroundings } from "../main.js" */
/** @import { Route } from "../parts/route.js" */

import { Refusal, send } from "../api.js";
import { isGroup, readExactly } from "../authoring/values.js";
import { fact, h, table } from "../dom.js";
import { asOf, count, moment } from "../parts/numbers.js";
import { addressOf } from "../parts/route.js";

const IDS = /** @type {const} */ (["user_id", "device_id"]);
const EXAMPLE = '{"country": "AT", "user_properties": {"plan": "pro"}, "groups": {"org": "acme"}}';
const OF_BODY = new Set(["user_properties", "groups", "group_properties", "deployment", "days"]);

const FATES = { counts: "counts", waiting: "waits for a join", unjoined: "counts for nobody", late: "came late" };

/** @implements {Page} */
export class UnitPage {
  title = "A unit – Peekproof";
  /** @type {UnitAnswers | null} */
  #answers = null;
  /** @type {UnitRecords | null} */
  #records = null;
  #refused = "";
  #isReading = false;
  #asked = 0; // times; an answer to an earlier question than the last comes too late

  /** @param {Route} route @param {Pick<Surroundings, "redraw" | "say">} surroundings */
  constructor({ query }, { redraw, say }) {
    this.asked = { user_id: query.get("user_id") ?? "", device_id: query.get("device_id") ?? "" };
    this.properties = query.get("properties") ?? "";
    this.redraw = redraw;
    this.say = say;
    this.isNew = true;
  }

  /** What opens the same look-up. */
  get address() {
    const said = Object.entries({ ...this.asked, properties: this.properties }).filter(([, value]) => value);
    return addressOf({ at: "unit", of: [], query: new URLSearchParams(said) });
  }

  async refresh() {
    if (this.isNew && (this.asked.user_id || this.asked.device_id || this.properties)) void this.#look();
    this.isNew = false;
  }

  async #look() {
    this.#asked += 1;
    const turn = this.#asked;
    this.#answers = this.#records = null;
    this.#refused = "";
    this.#isReading = true;
    this.redraw();
    try {
      const body = this.#body();
      /** @type {UnitAnswers} */
      const answers = await ask("units", body, "flags", "payload");
      if (turn !== this.#asked) return;
      this.#answers = answers;
      this.redraw();
      /** @type {UnitRecords} */
      const records = await ask("units/records", body, "records", "message");
      if (turn !== this.#asked) return;
      this.#records = records;
      this.say(`Records found: ${records.records.length}.`);
    } catch (error) {
      if (!(error instanceof Refusal || error instanceof SyntaxError)) throw error;
      if (turn !== this.#asked) return;
      this.#refused = error instanceof Refusal ? error.message : `The properties are no JSON: ${error.message}`;
    }
    this.#isReading = false;
    this.redraw();
  }

  #body() {
    const said = this.properties.trim() ? readExactly(this.properties) : {};
    if (!isGroup(said)) throw new Refusal(400, { error: `The properties are no object; write ${EXAMPLE}` });
    const ids = Object.fromEntries(Object.entries(this.asked).filter(([, value]) => value));
    const fields = Object.fromEntries(Object.entries(said).filter(([name]) => !OF_BODY.has(name)));
    return { ...Object.fromEntries(Object.entries(said).filter(([name]) => OF_BODY.has(name))), ...ids, fields };
  }

  view() {
    return [
      h("h1", null, "Look up a unit"),
      h("p", { class: "quiet" }, "What every flag yields for it now, and what was recorded of it. Nothing is tracked."),
      h(
        "form",
        {
          class: "look-up",
          onsubmit: (event) => {
            event.preventDefault();
            void this.#look();
          },
        },
        IDS.map((name) =>
          h(
            "div",
            { class: "field", key: name },
            h(
              "label",
              null,
              name,
              h("input", {
                value: this.asked[name],
                autocomplete: "off",
                oninput: ({ target }) => {
                  this.asked[name] = target.value;
                },
              }),
            ),
          ),
        ),
        h(
          "div",
          { class: "field" },
          h(
            "label",
            null,
            "Properties, groups and other fields, as JSON",
            h("textarea", {
              rows: 3,
              placeholder: EXAMPLE,
              value: this.properties,
              oninput: ({ target }) => {
                this.properties = target.value;
              },
            }),
          ),
          h("small", { class: "quiet" }, "Segments match by them: without any, a unit is among all others."),
        ),
        h("div", { class: "actions" }, h("button", { type: "submit", class: "main" }, "Look up")),
      ),
      this.#refused && h("p", { class: "refusal", role: "alert" }, this.#refused),
      this.#answers && flags(this.#answers),
      this.#isReading &&
        this.#answers &&
        h("p", { class: "quiet", role: "status" }, "Reading what was recorded, from the archive …"),
      this.#records && [contributions(this.#records), people(this.#records), timeline(this.#records)],
    ];
  }
}

/** An answer, in which what people or producers wrote keeps its digits: in each of a list, the part so named.
 * @param {string} path @param {object} body @param {string} list @param {string} name */
async function ask(path, body, list, name) {
  const text = await (await send("POST", path, body)).text();
  const told = JSON.parse(text);
  const exact = readExactly(text)[list];
  const each = (/** @type {object} */ one, /** @type {number} */ at) => ({ ...one, [name]: exact[at][name] });
  return { ...told, [list]: told[list].map(each) };
}

/** @param {UnitAnswers} answers */
const flags = ({ time, cohorts, flags: found }) =>
  h(
    "section",
    { "aria-labelledby": "flags" },
    h("h2", { id: "flags" }, "Flags"),
    h("p", { class: "quiet" }, `At ${moment(time)}. Cohorts: ${cohorts.join(", ") || "none"}.`),
    table(
      "What each flag yields",
      ["flag", "variant", "why", "bucket", "groups and prerequisites"],
      found.map((each) => h("tr", { key: each.key }, flag(each))),
    ),
  );

/** @param {UnitAnswer} answer @returns {Child[]} */
const flag = (answer) => [
  h(
    "th",
    { scope: "row" },
    h(
      "a",
      { href: `#/${answer.is_experiment ? "experiments" : "flags"}/${encodeURIComponent(answer.key)}` },
      answer.name ?? answer.key,
    ),
    answer.name && h("small", null, answer.key),
    h("small", null, [`version ${answer.version ?? "–"}`, answer.run].filter(Boolean).join(", ")),
  ),
  h(
    "td",
    null,
    h("b", null, answer.variant),
    answer.payload !== null && h("small", null, h("code", null, JSON.stringify(answer.payload))),
  ),
  h(
    "td",
    null,
    answer.reason,
    answer.segment && h("small", null, `segment ‘${answer.segment}’`),
    answer.is_sticky &&
      h("small", null, answer.given ? `sticky: it was given ${answer.given}` : "sticky: nothing was given yet"),
    answer.problem && h("small", { class: "warn" }, answer.problem),
  ),
  h(
    "td",
    null,
    answer.hashed
      ? [`${answer.hashed.percent} of 0–99`, h("small", null, `share ${count(answer.hashed.share)}; by ${answer.unit}`)]
      : h("span", { class: "quiet" }, `not split, or no ${answer.unit}`),
  ),
  h(
    "td",
    null,
    answer.groups.map(({ group, slot, is_in: isIn }) =>
      h(
        "div",
        { key: group },
        `${group}: ${slot ?? "no answer"}`,
        !isIn && h("small", { class: "warn" }, "keeps it out"),
      ),
    ),
    answer.prerequisites.map(({ flag: parent, variant, needs, is_met: isMet }) =>
      h(
        "div",
        { key: parent },
        `${parent}: ${variant ?? "no answer"}`,
        !isMet && h("small", { class: "warn" }, `needs ${needs.join(" or ")}`),
      ),
    ),
  ),
];

/** @param {UnitRecords} found */
const contributions = ({ contributions: runs }) =>
  h(
    "section",
    { "aria-labelledby": "contributions" },
    h("h2", { id: "contributions" }, "What it contributes"),
    runs.length
      ? runs.map(
          ({ experiment, run, unit, variant, entry, is_jumper: isJumper, is_reassigned: isReassigned, metrics }) =>
            h(
              "div",
              { key: `${experiment}/${run}/${unit}`, class: "contribution" },
              h(
                "p",
                null,
                h("a", { href: `#/experiments/${encodeURIComponent(experiment)}/${run}` }, `${experiment}/${run}`),
                `: ${unit} is in ${variant} since ${moment(entry)}. `,
                isJumper && h("span", { class: "mark warn" }, "It met two variants, and counts nowhere."),
                isReassigned && h("span", { class: "quiet" }, "It met another variant later, and stays in its first."),
              ),
              h(
                "dl",
                { class: "facts" },
                metrics.map(({ metric, numbers, steps }) =>
                  fact(
                    metric,
                    [
                      numbers.map((each) => each.toLocaleString("en")).join(" / ") || "not counted",
                      steps !== null && `${steps} steps`,
                    ]
                      .filter(Boolean)
                      .join(", "),
                  ),
                ),
              ),
            ),
        )
      : h("p", { class: "quiet" }, "It has entered no run that is open, or was of late."),
  );

/** @param {UnitRecords} found */
const people = ({ people: found }) =>
  found.length > 0 &&
  h(
    "section",
    { "aria-labelledby": "people" },
    h("h2", { id: "people" }, "People behind units"),
    found.map((each) => h("div", { key: `${each.identity}/${each.unit_type}/${each.identity_type}` }, person(each))),
  );

/** @param {PersonRecords} found @returns {Child[]} */
const person = ({ unit_type: unitType, identity_type: identityType, identity, unit, joined, events }) => [
  h(
    "p",
    null,
    identity === null
      ? `For ${unitType} ${unit} count these events that name a ${identityType} alone:`
      : joined === null
        ? `${identityType} ${identity} was seen with no ${unitType} yet.`
        : `${identityType} ${identity} was seen with ${unitType} ${unit} first, at ${moment(joined)}.`,
    !events.length && (identity === null ? " none." : ` No event that is measured names no ${unitType}.`),
  ),
  events.length > 0 &&
    h(
      "ol",
      { class: "unit-records" },
      events.map(({ name, time, fate, why }, at) =>
        h(
          "li",
          { key: at },
          h("time", null, moment.bare(time)),
          h(
            "div",
            null,
            h("b", null, name),
            ` ${FATES[fate]}`,
            why && h("small", { class: "quiet" }, moment.within(why)),
          ),
        ),
      ),
    ),
];

/** @param {UnitRecords} found */
const timeline = ({ as_of: time, since, records, notes }) =>
  h(
    "section",
    { "aria-labelledby": "records" },
    h("h2", { id: "records" }, "Records"),
    h(
      "p",
      { class: "quiet" },
      `From the archive, which lags by up to its interval: from ${moment(since)}, as of ${asOf(time, moment)}.`,
    ),
    notes.map((note) => h("p", { class: "noted", key: note }, moment.within(note))),
    records.length
      ? h("ol", { class: "unit-records" }, records.map(record))
      : h("p", { class: "quiet" }, "Nothing of it is archived there."),
  );

/** @param {UnitRecord} found */
const record = ({ topic, name, variant, run, time, place, message }) =>
  h(
    "li",
    { key: place },
    h("time", null, moment.bare(time)),
    h(
      "div",
      null,
      topic === "exposures" ? "met " : "sent ",
      h("b", null, name ?? "?"),
      topic === "exposures" && ` as ${variant ?? "(it asked)"}${run ? `, ${run}` : ""}`,
      h(
        "details",
        null,
        h("summary", null, place),
        message === null
          ? h("p", { class: "quiet" }, "It is too large to be shown here.")
          : h("pre", { tabindex: 0 }, h("code", null, JSON.stringify(message, null, 1))),
      ),
    ),
  );
