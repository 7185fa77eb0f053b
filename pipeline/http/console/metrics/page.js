// A metric: what it says, who uses it, whether its events come, what units come to, and what it can show.

/** @import { ArrivingTold, EventSeen, MetricNumbers, SamplePlan, SmallestEffect } from "#api" */
/** @import { Page, Surroundings } from "../main.js" */
/** @import { Standing } from "../authoring/documents.js" */

import { get, now, Refusal, send } from "../api.js";
import { readDocument } from "../authoring/documents.js";
import { DocumentLinks } from "../authoring/links.js";
import { Yaml } from "../authoring/yaml.js";
import { fact, h, table } from "../dom.js";
import { count, duration, mean, moment, share } from "../parts/numbers.js";
import { Distribution } from "./distribution.js";
import { UsedBy } from "./used.js";
import { inWords, isShare } from "./wording.js";

/** @implements {Page} */
export class MetricPage {
  title = "Metric – Peekproof";
  /** @type {Standing | undefined} */
  #document;
  /** @type {ArrivingTold | null} */
  #arriving = null;
  /** @type {MetricNumbers | null} */
  #numbers = null;
  /** @type {SmallestEffect[]} */
  #effects = [];
  #refused = "";
  #unit = "user_id";
  #asked = 0; // times; an answer to an earlier question than the last comes too late

  /** @param {string} key @param {Pick<Surroundings, "redraw">} surroundings */
  constructor(key, { redraw }) {
    this.key = key;
    this.redraw = redraw;
  }

  async refresh() {
    [this.#document, this.#arriving] = await Promise.all([readDocument("metric", this.key), get("arriving")]);
    this.title = `${this.#document.definition.name ?? this.key} – Peekproof`;
    if (!this.#asked) void this.#ask(); // the archive is read once, and not again with every refresh
  }

  /** The numbers of the last week, and what they let a flag of two equal arms show. */
  async #ask() {
    this.#asked += 1;
    const turn = this.#asked;
    this.#numbers = null;
    this.#effects = [];
    this.#refused = "";
    this.redraw();
    try {
      const query = new URLSearchParams({ unit: this.#unit });
      /** @type {MetricNumbers} */
      const numbers = await get(`metrics/${encodeURIComponent(this.key)}/baseline?${query}`);
      if (turn !== this.#asked) return;
      this.#numbers = numbers;
      this.redraw();
      const effects = await smallest(this.key, numbers);
      if (turn === this.#asked) this.#effects = effects;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (turn === this.#asked) this.#refused = error.message;
    }
    this.redraw();
  }

  view() {
    if (!this.#document) return [];
    const { definition, yaml, used_by: usedBy } = this.#document;
    return [
      h(
        "div",
        { class: "head" },
        h("h1", null, definition.name ?? this.key),
        h(DocumentLinks, { kind: "metric", of: this.key }),
      ),
      h("p", { class: "quiet" }, `${this.key} · of ${definition.owner}`),
      definition.description && h("p", null, definition.description),
      h("p", { class: "reason" }, inWords(definition)),
      h("details", null, h("summary", null, "As YAML"), h(Yaml, { text: yaml })),
      h(UsedBy, { usedBy }),
      this.#events(definition),
      this.#shown(definition),
    ];
  }

  /** @param {any} definition */
  #events(definition) {
    const names = eventsOf(definition);
    if (!names.length || !this.#arriving) return null;
    const { events, never_came: never } = this.#arriving;
    return h(
      "section",
      { "aria-labelledby": "events" },
      h("h2", { id: "events" }, "Its events"),
      table(
        "Events of the metric",
        ["event", "last hour", "last day", "last one"],
        names.map((name) => {
          const seen = events.find((each) => each.name === name);
          const near = never.find(({ event }) => event === name)?.near ?? [];
          return h(
            "tr",
            { key: name },
            h("th", { scope: "row" }, h("code", null, name)),
            h("td", null, count(seen?.hour ?? 0)),
            h("td", null, count(seen ? lastDay(seen) : 0)),
            h(
              "td",
              null,
              seen ? `${duration(now() - seen.last)} ago` : "none came",
              near.length > 0 && h("small", null, `near names that do come: ${near.join(", ")}`),
            ),
          );
        }),
      ),
    );
  }

  /** @param {any} definition */
  #shown(definition) {
    const found = this.#numbers;
    const asShare = isShare(definition);
    return h(
      "section",
      { "aria-labelledby": "numbers" },
      h("h2", { id: "numbers" }, "What units come to"),
      h(
        "p",
        { class: "quiet" },
        "Of the last 7 days, from the archive: as if each unit were exposed with its first event, of whatever name. ",
        h(
          "label",
          null,
          "By ",
          h(
            "select",
            {
              value: this.#unit,
              onchange: ({ target }) => {
                this.#unit = target.value;
                void this.#ask();
              },
            },
            ["user_id", "device_id"].map((each) => h("option", { value: each }, each)),
          ),
        ),
      ),
      this.#refused && h("p", { class: "refusal", role: "alert" }, this.#refused),
      !found && !this.#refused && h("p", { class: "quiet", role: "status" }, "Reading the archive …"),
      found && [
        h(
          "dl",
          { class: "facts" },
          fact("mean", mean(found.mean, asShare)),
          fact("standard deviation", mean(found.deviation, false)),
          fact("units a day", found.daily === null ? "not known yet" : count(Math.round(found.daily))),
          found.until > found.since && fact("they entered", `${moment(found.since)} to ${moment(found.until)}`),
        ),
        found.notes.map((note) => h("p", { class: "noted", key: note }, moment.within(note))),
        h(Distribution, { label: "Units' numbers", edges: found.edges, histogram: found.distribution }),
        effects(this.#effects),
      ],
    );
  }
}

/** @param {SmallestEffect[]} found */
const effects = (found) =>
  found.length > 0 && [
    h("h3", null, "The smallest effect that it can show"),
    h(
      "p",
      { class: "quiet" },
      "With all of these units in two equal variants, seen with a chance of 80%, relative to the mean.",
    ),
    table(
      "Smallest effect by weeks",
      ["weeks", "units", "watched all the time", "read once"],
      found.map(({ weeks, units, sequential, fixed }) =>
        h(
          "tr",
          { key: `${weeks}` },
          h("th", { scope: "row" }, `${weeks}`),
          h("td", null, count(units)),
          h("td", null, share(sequential)),
          h("td", null, share(fixed)),
        ),
      ),
    ),
  ];

/** @param {string} key @param {MetricNumbers} numbers @returns {Promise<SmallestEffect[]>} */
async function smallest(key, { mean: value, deviation, daily, unit }) {
  if (!value || !deviation || !daily || daily < 1) return [];
  const definition = {
    key: "any",
    owner: "-",
    unit,
    variants: [{ key: "control" }, { key: "treatment" }],
    metrics: [{ metric: key, role: "primary" }],
  };
  const asked = { definition, baselines: { [key]: { mean: value, deviation } }, daily };
  const answer = await send("POST", "sample-size", asked);
  return /** @type {SamplePlan} */ (await answer.json()).weeks;
}

/** @param {EventSeen} seen */
const lastDay = ({ hours }) => hours.slice(-24).reduce((sum, each) => sum + each, 0);

/** @param {any} definition @returns {string[]} */
const eventsOf = ({ event, start, steps }) =>
  [...new Set([event, start?.event, ...(steps ?? []).map((/** @type {any} */ step) => step.event)])].filter(Boolean);
