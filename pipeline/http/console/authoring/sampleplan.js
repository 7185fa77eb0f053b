// Sample plan: what is usual of the primary metric, how many days it takes, and what four weeks can show.

/** @import { MetricNumbers, SamplePlan, SampleSize } from "#api" */
/** @import { Form } from "./form.js" */

import { get, Refusal, send } from "../api.js";
import { h, table, useEffect, useState } from "../dom.js";
import { isShare } from "../metrics/wording.js";
import { count, mean, moment, share } from "../parts/numbers.js";
import { readDocument } from "./documents.js";

const WEEKS = 4;
const DIGITS = 4; // of a baseline that is taken over

/** @typedef {{ numbers: MetricNumbers, isConversion: boolean }} Usual */

/** @param {{ form: Form }} props */
export function SamplePlanned({ form }) {
  const { edited } = form;
  /** @type {{ metric: string, role?: string, minimum_effect?: unknown }[]} */
  const goals = edited.at(["metrics"]) ?? [];
  const primary = goals.find(({ role }) => role === "primary");
  const usual = useUsual(primary?.metric, edited.at(["unit"]) ?? "user_id");
  const found = usePlan(form, usual && !(usual instanceof Refusal) ? usual : null);
  if (!primary) return h("p", { class: "quiet" }, "With a primary metric it is told here how long it takes.");
  return h(
    "section",
    { "aria-labelledby": "sample", class: "sample-plan" },
    h("h2", { id: "sample" }, "How long it takes"),
    usual === null && h("p", { class: "quiet" }, "Reading the archive of the last 7 days …"),
    usual instanceof Refusal && h("p", { class: "fault" }, usual.message),
    usual && !(usual instanceof Refusal) && h(Baseline, { form, usual }),
    primary.minimum_effect === undefined &&
      h("p", { class: "quiet" }, "A minimum effect of the primary metric says what is to be seen."),
    found instanceof Refusal && h("p", { class: "fault" }, found.message),
    found &&
      !(found instanceof Refusal) &&
      h(Durations, { found, hasMany: (edited.at(["variants"]) ?? []).length > 2 }),
  );
}

/** @param {string | undefined} metric @param {string} unit @returns {Usual | Refusal | null} null: it is being read. */
function useUsual(metric, unit) {
  const [usual, know] = useState(/** @type {Usual | Refusal | null} */ (null));
  useEffect(() => {
    let isHere = true;
    know(null);
    if (metric) {
      readUsual(metric, unit).then(
        (told) => isHere && know(told),
        (error) => isHere && know(error),
      );
    }
    return () => {
      isHere = false;
    };
  }, [metric, unit]);
  return usual;
}

/** @param {string} metric @param {string} unit @returns {Promise<Usual>} */
async function readUsual(metric, unit) {
  const [numbers, { definition }] = await Promise.all([
    get(`metrics/${encodeURIComponent(metric)}/baseline?${new URLSearchParams({ unit })}`),
    readDocument("metric", metric),
  ]);
  return { numbers, isConversion: isShare(definition) };
}

/** The plan of what is typed, as often as it is checked and sound.
 * @param {Form} form @param {Usual | null} usual @returns {SamplePlan | Refusal | null} */
function usePlan({ edited }, usual) {
  const [found, find] = useState(/** @type {SamplePlan | Refusal | null} */ (null));
  const { checked } = edited;
  useEffect(() => {
    let isHere = true;
    if (!usual || !checked?.definition) return find(null);
    const { metric, daily, mean: usualMean } = usual.numbers;
    const isSaid = edited.at(["analysis", "baseline"]) !== undefined;
    const baselines = !isSaid && usualMean ? { baselines: { [metric]: baselineOf(usual) } } : {};
    send("POST", "sample-size", { definition: checked.definition, ...baselines, ...(daily && { daily }) })
      .then((answer) => answer.json())
      .then(
        (told) => isHere && find(told),
        (error) => isHere && find(error instanceof Refusal ? error : null),
      );
    return () => {
      isHere = false;
    };
  }, [checked, usual]);
  return found;
}

/** @param {Usual} usual */
function baselineOf({ numbers, isConversion }) {
  const digits = (/** @type {number | null} */ number) => Number((number ?? 0).toPrecision(DIGITS));
  return {
    mean: digits(numbers.mean),
    ...(!isConversion && numbers.deviation && { deviation: digits(numbers.deviation) }),
  };
}

/** @param {{ form: Form, usual: Usual }} props */
function Baseline({ form, usual }) {
  const { numbers, isConversion } = usual;
  const { units, daily, mean: found, deviation, unit, notes } = numbers;
  const baseline = baselineOf(usual);
  const isTaken = JSON.stringify(form.edited.at(["analysis", "baseline"])) === JSON.stringify(baseline);
  return h(
    "div",
    null,
    units
      ? h(
          "p",
          null,
          `In the last 7 days ${count(units)} units (${unit}) came`,
          daily === null ? "; " : `, ${count(Math.round(daily))} a day; `,
          `‘${numbers.metric}’: ${mean(found, isConversion)} a unit`,
          !isConversion && deviation !== null && `, with a standard deviation of ${mean(deviation, false)}`,
          ".",
        )
      : h("p", null, "The archive holds no units of the last 7 days: say the baseline below, and guess the days."),
    units > 0 && notes.map((note) => h("p", { class: "quiet" }, moment.within(note))),
    found !== null &&
      found !== 0 &&
      h(
        "button",
        { type: "button", disabled: isTaken, onclick: () => form.edited.set(["analysis", "baseline"], baseline) },
        isTaken ? "It is the baseline" : "Take it as the baseline",
      ),
  );
}

/** @param {{ found: SamplePlan, hasMany: boolean }} props */
function Durations({ found: { comparisons, weeks, unplanned }, hasMany }) {
  const inFour = weeks.filter((each) => each.weeks === WEEKS);
  const of = (/** @type {{ metric: string, treatment: string }} */ { metric, treatment }) =>
    hasMany ? `${metric}, ${treatment}` : metric;
  return [
    comparisons.length > 0 &&
      table(
        "How long it takes",
        ["metric", "to be seen", "planned units", "watched all the time", "read once"],
        comparisons.map((each) =>
          h(
            "tr",
            { key: `${each.metric}/${each.treatment}` },
            h("th", { scope: "row" }, of(each), h("small", null, each.role)),
            h("td", null, share(each.effect)),
            h("td", null, count(each.planned_units), recommended(each)),
            h("td", null, needed(each.sequential)),
            h("td", null, needed(each.fixed)),
          ),
        ),
      ),
    inFour.length > 0 &&
      h(
        "p",
        null,
        `The smallest effects that ${WEEKS} weeks can show: `,
        inFour.map((each) => `${of(each)} ${each.sequential === null ? "none" : share(each.sequential)}`).join("; "),
        ", watched all the time.",
      ),
    unplanned.length > 0 &&
      h("p", { class: "quiet" }, `Without an effect and a baseline nothing is told of ${unplanned.join(", ")}.`),
  ];
}

/** @param {SampleSize} size */
const recommended = ({ planned_units, recommended_units }) =>
  planned_units !== recommended_units && h("small", null, `best ${count(recommended_units)}`);

/** @param {SampleSize["fixed"]} needed */
const needed = ({ total, days }) => [
  `${count(total)} units`,
  h("small", null, days === null ? "days are not known" : `about ${count(Math.ceil(days))} days`),
];
