// Wording: what the fields of documents are called on the page.

/** @type {Record<string, string>} By the group that they stand in. */
const LABELS = {
  "Flag.unit": "Unit: what is randomised",
  "Flag.rollout": "Rollout of all others, %",
  "Flag.exposure_event": "An event that stands in for exposures",
  "Flag.identity": "Identity: who is behind several units",
  "Flag.sticky": "Sticky: who has a variant keeps it",
  "Segment.rollout": "Rollout, %",
  "PlanStep.rollout": "Rollout, %",
  "PlanStep.at": "Not before",
  "PlanStep.for": "For at least",
  "Plan.start": "Start (none: by command)",
  "Plan.timezone": "Time zone",
  "Plan.then": "After the end",
  "Then.on_win": "Where one has won",
  "Then.on_nothing": "Where none has won",
  "GroupSlot.percentage": "Share of the units, %",
  "Condition.op": "Operator",
  "Until.units": "Until so many units",
  "Until.safe": "Until proved safe",
  "Goal.minimum_effect": "Minimum effect, as a share",
  "Goal.margin": "Margin: acceptable loss, as a share",
  "Goal.exact": "The exact test of rare conversions",
  "Analysis.cuped": "CUPED",
  "Cuped.with": "With the past of other metrics",
  "Analysis.planned_units": "Planned units",
  "Metric.cuped": "CUPED",
  "Metric.nth": "Which period after the start",
  "Brief.background": "Background: why it was asked",
  "Brief.decision": "Decision: what was decided, and why",
  "Brief.learning": "Learning: what the next one should know",
  "ForeignSource.as": "What its records make",
  "ForeignSource.from": "From when on it is read",
  "ForeignSource.delay": "Delay of its records",
  "ForeignSource.paused": "Paused: it is not read",
  "ForeignSource.each": "Each element of a list",
  "ForeignSource.parse": "Texts that hold JSON",
  "ForeignSource.where": "Which records are meant",
  "SourceCondition.property": "Path",
  "SourceCondition.op": "Operator",
  "NotificationRule.when": "When",
  "NotificationRule.to": "To",
};

/** @type {Record<string, string>} */
const ONE = {
  variants: "Variant",
  segments: "Segment",
  conditions: "Condition",
  where: "Condition",
  metrics: "Metric",
  groups: "Group",
  slots: "Slot",
  steps: "Step",
  breakdowns: "Breakdown",
  when: "Trigger",
  to: "Place",
  secrets: "Secret",
};

/** The group whose part stands in a template.
 * @param {string} group */
export const outright = (group) => group.replace(/Part$/, "");

/** @param {string} group @param {string} name */
export const label = (group, name) => LABELS[`${outright(group)}.${name}`] ?? words(name);

/** What one of them is called.
 * @param {string} name */
export const one = (name) => ONE[name] ?? words(name);

/** @param {string} name */
const words = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");

const OBVIOUS = new Set([
  "a text of 1 to 1024 characters",
  "a text of at most 1024 characters",
  "true or false",
  "a sentence or more",
  "a number from 0 to 100 with at most two decimal places",
]);
const OF_KEYS = /^1 to 100 letters/; // said where one is made up, not where one is named
const OF_ANY_SIZE = /from (\d+) to 1000000000000$/;
const LONGEST_HINT = 110;

/** What a field may hold, where it is worth a line.
 * @param {string | undefined} hint @param {string} name */
export const hintOf = (hint, name) =>
  hint && hint.length <= LONGEST_HINT && !OBVIOUS.has(hint) && (name === "key" || !OF_KEYS.test(hint))
    ? hint.replace(OF_ANY_SIZE, "of at least $1")
    : null;

/** What is wrong, without what stands beside it: its choices, or its hint.
 * @param {string} error @param {unknown} hint */
export function faultText(error, hint) {
  const [, rule = ""] = /^is missing; it must be (.*)/s.exec(error) ?? [];
  if (rule.startsWith("one of ")) return "is missing; choose one";
  return rule && (rule === hint || OBVIOUS.has(rule)) ? "is missing" : error;
}
