// Explained: what the fields of documents and their choices mean, where labels and hints don't tell.

import { outright } from "./wording.js";

/** @type {Record<string, string>} By the group that they stand in. */
const FIELDS = {
  "Metric.property": "the number among the event's properties",
  "Metric.window": "how long after its entry a unit's events count",
  "Metric.scale": "how exactly its numbers are kept",
  "Metric.log": "a unit counts for ln(1 + x), so few large ones weigh less",
  "Metric.cuped": "what a unit did before its entry explains a part, which makes intervals narrower",
  "Cuped.lookback": "how long before its entry",
  "Cuped.with": "other metrics whose past explains a part too",
  "Variant.users": "they always get it, and are never counted",
  "Variant.devices": "they always get it, and are never counted",
  "Variant.cohorts": "their members always get it, and are never counted",
  "Flag.deployments": "where none is chosen it is served to all",
  "Flag.identity": "another id that events carry, such as user_id where devices are the unit",
  "Flag.start": "only told once it has passed: a person starts, or a plan",
  "Flag.end": "only told once it has passed: a person ends, or a plan",
  "Flag.breakdowns": "split the results by what a unit was at its entry",
  "Membership.slots": "of a mutual exclusion, not of a holdout",
  "Group.slots": "shares of the units: of a holdout the one that it keeps out",
  "Group.exempt": "whom a holdout never keeps out",
  "Goal.exact": "by its conversions alone; guardrails that are conversions have it anyway, live",
  "Analysis.alpha": "the chance of a false discovery",
  "Analysis.guardrail_alpha": "the chance of a false alarm of each guardrail",
  "Analysis.correction": "how several comparisons share alpha",
  "Analysis.cuped": "of metrics that have it: take out what units did before their entry",
  "Analysis.strata": "a breakdown: compare units within its segments, and take out what these explain",
  "Analysis.planned_units": "of a treatment and control together; unsaid, the baseline and the minimum effect tell",
  "Analysis.patience": "how long data may fail to come until looks say so",
  "Plan.on_harm": "where a guardrail is harmed, or the primary metric is worse",
  "Plan.on_broken_split": "where arms have not the shares of units that were promised",
  "ForeignSource.preset": "a product whose records these are: it fills in what is taken of them",
  "ForeignSource.format": "a record's own content-type comes first",
  "ForeignSource.delay":
    "where records have their producers' times (CreateTime): how much later they may come; results wait as long",
  "ForeignSource.each": "where a record is several events: the path of the list",
  "ForeignSource.parse": "the paths of such texts, into which others lead on",
  "ForeignSource.where": "all of them must hold; what they leave out is counted",
  "FieldMap.time": "without one the record's own counts",
  "FieldMap.insert_id": "by which repeats are recognised",
};

/** @type {Record<string, Record<string, string>>} */
const CHOICES = {
  "Deployment.type": {
    client: "browsers and apps, whose key anybody may see: it is shown no rules",
    server: "its key reads rules and cohorts, so keep it secret",
  },
  "Metric.type": {
    conversion: "whether a unit sent an event",
    count: "how often it did",
    sum: "the total of a property",
    mean: "the average of a property",
    ratio: "the total of one metric by that of another",
    funnel: "whether it took all steps in order",
    retention: "whether it came back",
    distinct: "how many different values, or days",
    percentile: "what so many percent of all values reach at most",
  },
  "ForeignSource.as": { event: "what a unit did", exposure: "that a unit met a variant" },
  "Metric.of": { events: "of the values of all events", units: "of units' totals" },
  "Metric.counting": { uniques: "whether it took all steps", totals: "how many times over" },
  "Group.type": {
    holdout: "keeps a share of the units out of all its flags",
    "mutual-exclusion": "flags in different slots never share a unit",
  },
  "Goal.role": {
    primary: "the verdict rests on it",
    secondary: "it is shown, and decides nothing",
    guardrail: "harm to it stops the experiment",
  },
  "Goal.direction": { increase: "more is better", decrease: "less is better" },
  "Analysis.method": {
    sequential: "act whenever you look",
    "t-test": "read once, when the planned units are in",
    bayesian: "the chance to beat control, with no guarantee when watched",
  },
  "Analysis.sided": { two: "gains and losses", one: "gains only" },
};

/** What a field means; of a choice what is chosen, or what may be.
 * @param {string} group @param {string} name @param {unknown} [chosen] */
export function explained(group, name, chosen) {
  const place = `${outright(group)}.${name}`;
  const choices = CHOICES[place];
  if (!choices) return FIELDS[place] ?? null;
  if (typeof chosen === "string") return choices[chosen] ?? null;
  return Object.entries(choices)
    .map((each) => each.join(": "))
    .join("; ");
}
