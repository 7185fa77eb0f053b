// Known: what stands already and may be named in a document.

/** @import { Child } from "../dom.js" */
/** @import { ArrivingTold, DocumentItem } from "#api" */
/** @import { Edited } from "./edited.js" */

import { get } from "../api.js";
import { h } from "../dom.js";
import { count } from "../parts/numbers.js";
import { readDocuments } from "./documents.js";

const MOST_BOXES = 24; // more are typed, with suggestions

/** @type {Record<string, string>} Which kind of document a field names. */
const KINDS = {
  metric: "metric",
  numerator: "metric",
  denominator: "metric",
  cohorts: "cohort",
  group: "group",
  deployments: "deployment",
};
const USER = [
  "user_id",
  "device_id",
  "country",
  "region",
  "city",
  "language",
  "platform",
  "version",
  "os",
  "device_brand",
  "device_model",
  "library",
  "cohort",
];
/** Fields of which it is known what may be meant. */
const SUGGESTED = new Set([...Object.keys(KINDS), "owner", "unit", "property", "event", "timezone", "control"]);
const ZONES = ["UTC", ...Intl.supportedValuesOf("timeZone")];
const PROPERTIES = [...USER, "user_properties.", "groups."];

export class Known {
  /** @type {DocumentItem[]} */
  #items = [];
  /** @type {ArrivingTold | null} */
  #arriving = null; // of the events that come; null: it is not known

  /** @param {Edited} edited */
  constructor(edited) {
    this.edited = edited;
  }

  async refresh() {
    [this.#items, this.#arriving] = await Promise.all([readDocuments(), get("arriving").catch(() => null)]);
  }

  /** @param {string} kind */
  of(kind) {
    return this.#items.filter((each) => each.kind === kind);
  }

  /** What came of a metric's events of late, in a sentence.
   * @param {string} metric */
  heardOf(metric) {
    if (!this.#arriving) return null;
    const events = this.#arriving.events.filter(({ metrics }) => metrics.includes(metric));
    const came = events.map(({ name, hour }) => `‘${name}’ came ${count(hour)} times in the last hour`);
    const never = this.#arriving.never_came.filter((each) => each.metric === metric);
    const missed = never.map(
      ({ event, near }) => `‘${event}’ has not come${near.length ? `; ${near.join(", ")} did` : ""}`,
    );
    return [...came, ...missed].join("; ") || null;
  }

  /** All that may stand in a field, where it is known and not too much for boxes.
   * @param {string} name */
  choicesOf(name) {
    const choices = this.#choices(name);
    return choices && choices.length <= MOST_BOXES ? choices : null;
  }

  /** @param {string} name */
  #choices(name) {
    const kind = KINDS[name];
    if (kind) return this.of(kind).map(({ key }) => key);
    if (name === "safe") return this.#guardrails();
    return null;
  }

  /** Of them a plan may wait for those with a margin. */
  #guardrails() {
    /** @type {{ metric: string, role?: string, margin?: unknown }[]} */
    const goals = this.edited.at(["metrics"]) ?? [];
    return goals.filter(({ role, margin }) => role === "guardrail" && margin !== undefined).map(({ metric }) => metric);
  }

  /** The id of the suggestions for a field.
   * @param {string} name */
  listOf(name) {
    return SUGGESTED.has(name) ? `known-${name}` : null;
  }

  /** @returns {Record<string, string[]>} */
  get #suggested() {
    const unique = (/** @type {string[]} */ values) => [...new Set(values)].sort();
    const keys = Object.entries(KINDS).map(([name, kind]) => [name, this.of(kind).map(({ key }) => key)]);
    return {
      ...Object.fromEntries(keys),
      owner: unique(this.#items.flatMap(({ owner }) => owner ?? [])),
      unit: ["user_id", "device_id", "groups.", "user_properties."],
      property: PROPERTIES,
      event: (this.#arriving?.events ?? []).map(({ name }) => name),
      timezone: ZONES,
      control: (this.edited.at(["variants"]) ?? []).map((/** @type {{ key?: string }} */ { key }) => key ?? ""),
    };
  }

  /** The suggestions, once for all fields.
   * @returns {Child} */
  view() {
    return Object.entries(this.#suggested).map(([name, values]) =>
      h(
        "datalist",
        { id: `known-${name}` },
        values.filter(Boolean).map((value) => h("option", { key: value, value })),
      ),
    );
  }
}
