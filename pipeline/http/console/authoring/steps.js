// Steps: the parts of a document in the order in which a person thinks of them.

/** @import { Edited } from "./edited.js" */
/** @import { Group } from "./shapes.js" */

import { vocabulary } from "../parts/vocabulary.js";

/** @typedef {{ name: string, title: string, says?: string, fields: string[] }} Step */

/** @type {Step} */
const PLAN = {
  name: "plan",
  title: "Plan",
  says: "Without a plan people take every step. With one it is rolled out by itself; its steps take the place of the rollout, and its dates that of start and end.",
  fields: ["plan"],
};

/** @type {Step[]} */
const EXPERIMENT = [
  {
    name: "hypothesis",
    title: "What and why",
    says: "What is wrong, what should mend it, and by how much: the prediction becomes the minimum effect of the primary metric.",
    fields: ["key", "name", "owner", "tags", "description", "hypothesis"],
  },
  {
    name: "metrics",
    title: "Metrics and guardrails",
    says: "One primary metric decides; guardrails must not get worse.",
    fields: ["metrics", "exposure_event", "identity"],
  },
  { name: "variants", title: "Variants", fields: ["variants", "control"] },
  {
    name: "audience",
    title: "Who sees it",
    says: "The first segment that matches a unit decides; the rollout is of all others.",
    fields: ["unit", "segments", "rollout", "prerequisites", "groups", "sticky", "deployments"],
  },
  { name: "analysis", title: "Analysis", fields: ["analysis", "breakdowns", "start", "end"] },
  PLAN,
];

const OF_EXPERIMENTS = ["hypothesis", "metrics", "exposure_event", "identity", "analysis", "breakdowns"];

/** @type {Step[]} */
const FLAG = [
  { name: "what", title: "What", fields: ["key", "name", "owner", "tags", "description"] },
  { name: "variants", title: "Variants", fields: ["variants", "control"] },
  {
    name: "audience",
    title: "Who sees it",
    says: "The first segment that matches a unit decides; the rollout is of all others.",
    fields: ["unit", "segments", "rollout", "prerequisites", "groups", "sticky", "deployments", "start", "end"],
  },
  PLAN,
];

/** @type {Step[]} */
const SOURCE = [
  {
    name: "topic",
    title: "Which topic",
    says: "A topic of this cluster that others write to. It is read as it is; nothing is written to it.",
    fields: [
      "topic",
      "as",
      "format",
      "preset",
      "from",
      "delay",
      "paused",
      "key",
      "name",
      "owner",
      "tags",
      "description",
    ],
  },
  {
    name: "map",
    title: "What is taken of it",
    says: "Which of its records are meant, and where in them our fields stand. Try it with what the topic holds.",
    fields: ["where", "each", "parse", "map"],
  },
];

/** The last one, of every kind.
 * @type {Step} */
export const REVIEW = { name: "review", title: "Review", fields: [] };

/** @param {Edited} edited @param {Group} shape @param {boolean} isExperiment @returns {Step[]} */
export function stepsOf(edited, shape, isExperiment) {
  const all = Object.keys(shape.fields);
  if (edited.kind === "source") return [...SOURCE, REVIEW];
  if (edited.kind !== "flag") {
    const fields = edited.kind === "metric" ? ofMetric(edited, all) : all;
    return [{ name: "fields", title: "Definition", fields }, REVIEW];
  }
  const said = OF_EXPERIMENTS.filter((name) => edited.at([name]) !== undefined);
  const steps = isExperiment || said.length ? EXPERIMENT : FLAG;
  const told = steps.flatMap(({ fields }) => fields);
  const others = all.filter((name) => !told.includes(name) && (steps === EXPERIMENT || !OF_EXPERIMENTS.includes(name)));
  const [first, ...rest] = steps;
  return first ? [{ ...first, fields: [...first.fields, ...others] }, ...rest, REVIEW] : [REVIEW];
}

/** The fields that its type reads, and those that it says though it reads none.
 * @param {Edited} edited @param {string[]} all */
function ofMetric({ definition }, all) {
  const ofTypes = vocabulary.metric_fields;
  const ofSome = new Set(Object.values(ofTypes).flat());
  const ofThis = ofTypes[definition.type] ?? [];
  const common = all.filter((name) => !ofSome.has(name));
  const said = all.filter((name) => ofSome.has(name) && !ofThis.includes(name) && definition[name] !== undefined);
  const until = common.indexOf("type") + 1;
  return [...common.slice(0, until), ...ofThis, ...said, ...common.slice(until)];
}
