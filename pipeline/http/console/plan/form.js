// Plan form: how a flag is to be rolled out by itself, as a person fills it in.

/** @import { Hours, Plan, PlanEdit, PlanStep, Then } from "#api" */
/** @import { Kind } from "../flag/actions.js" */
/** @import { Told, Whole } from "../flag/definition.js" */

import { send } from "../api.js";
import { h, useEffect, useRef, useState } from "../dom.js";
import { planOf, thenOf } from "../flag/definition.js";
import { askForChange } from "../parts/change.js";
import { ChoiceField, ChoicesField, DateField, FaultsOf, Field, FieldSet, read, readChoices } from "../parts/fields.js";
import { ownZone } from "../parts/zones.js";

/** @typedef {NonNullable<Hours["days"]>} Days */

/** What is done on harm, and where the split is broken. @type {Record<Whole<Plan>["on_harm"], string>} */
export const ON_ALARM = { tell: "tell of it", pause: "pause the plan", "roll back": "roll back" };
/** What is done after the end. @type {Record<Whole<Then>["on_win"], string>} */
export const ON_WIN = { tell: "tell of it", "roll out": "roll out the winner", complete: "complete the run" };
/** @type {Record<Whole<Then>["on_nothing"], string>} */
export const ON_NOTHING = { tell: "tell of it", "roll back": "roll back", complete: "complete the run" };

/** @type {Days} */
const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const WHOLE_DAY = "00:00-24:00";

/** Ask how a flag is to be rolled out; `done` reads what stands then.
 * @param {Kind} kind @param {Told} flag @param {() => void} done */
export function askForPlan(kind, flag, done) {
  askForChange(
    {
      says: flag.state.definition.plan ? "Change the plan" : "Make the plan",
      key: flag.key,
      version: flag.version,
      done,
      send: (said, form) => {
        /** @type {PlanEdit} */
        const edit = { ...said, plan: planIn(form, flag) };
        return send("PUT", `${kind}/${encodeURIComponent(flag.key)}/plan`, edit);
      },
    },
    flag.status === "running" &&
      h("p", null, "A change pauses the plan at the step that gives what is in force; resume it then."),
    h(PlanForm, { flag }),
  );
}

/** @param {{ flag: Told }} props */
function PlanForm({ flag }) {
  const { plan: standing, metrics } = flag.state.definition;
  const plan = planOf(standing ?? { steps: [firstStep(flag)], timezone: ownZone() });
  const isExperiment = Boolean(metrics?.length);
  return h(
    "div",
    { class: "plan-form", "data-path": "plan" },
    h(FaultsOf, { path: "plan" }),
    h(
      "div",
      { class: "fields" },
      h(DateField, { path: "plan.start", label: "Start (none: by command)", value: plan.start }),
      h(DateField, { path: "plan.end", label: "End", value: plan.end }),
      h(Field, { path: "plan.timezone", label: "Time zone", value: plan.timezone, list: "timezones" }),
    ),
    h(
      "datalist",
      { id: "timezones" },
      ["UTC", ...Intl.supportedValuesOf("timeZone")].map((value) => h("option", { value })),
    ),
    h("p", { class: "quiet" }, "A step is over once all that it says has come; with the last one the plan ends."),
    h(Steps, { flag, standing: plan.steps }),
    isExperiment &&
      h(
        "div",
        { class: "fields" },
        h(ChoiceField, { path: "plan.on_harm", label: "On harm", choices: ON_ALARM, chosen: plan.on_harm }),
        h(ChoiceField, {
          path: "plan.on_broken_split",
          label: "On a broken split",
          choices: ON_ALARM,
          chosen: plan.on_broken_split,
        }),
      ),
    after(thenOf(plan), isExperiment),
    h(
      FieldSet,
      { path: "plan.hours", label: "Hours" },
      h(ChoicesField, {
        path: "plan.hours.days",
        label: "Steps on these days alone",
        choices: DAYS,
        chosen: plan.hours?.days ?? [],
      }),
      h(Field, {
        path: "plan.hours.between",
        label: "and between",
        value: plan.hours?.between,
        placeholder: WHOLE_DAY,
      }),
    ),
  );
}

/** @param {Whole<Then>} then @param {boolean} isExperiment */
const after = ({ on_win, on_nothing }, isExperiment) =>
  h(
    FieldSet,
    { path: "plan.then", label: "After the end" },
    isExperiment &&
      h(ChoiceField, { path: "plan.then.on_win", label: "Where one has won", choices: ON_WIN, chosen: on_win }),
    h(ChoiceField, {
      path: "plan.then.on_nothing",
      label: isExperiment ? "Where none has won" : "Then",
      choices: ON_NOTHING,
      chosen: on_nothing,
    }),
  );

/** @param {{ flag: Told, standing: PlanStep[] }} props */
function Steps({ flag, standing }) {
  const [steps, setSteps] = useState(() => standing.map((step, id) => ({ id, step })));
  const list = useRef(/** @type {HTMLOListElement | null} */ (null));
  const first = useRef(steps);
  useEffect(() => {
    if (steps !== first.current) list.current?.querySelector(/** @type {"input"} */ ("li:last-child input"))?.focus();
  }, [steps]);
  const add = () => setSteps([...steps, { id: (steps.at(-1)?.id ?? 0) + 1, step: { rollout: 100 } }]);
  return [
    h(FaultsOf, { path: "plan.steps" }),
    h(
      "ol",
      { class: "steps", "data-path": "plan.steps", ref: list },
      steps.map(({ id, step }, index) =>
        h(Step, {
          key: String(id),
          flag,
          step,
          index,
          remove: steps.length > 1 ? () => setSteps(steps.filter((each) => each.id !== id)) : null,
        }),
      ),
    ),
    h("button", { type: "button", onclick: add }, "Add a step"),
  ];
}

/** @param {{ flag: Told, step: PlanStep, index: number, remove: (() => void) | null }} props */
function Step({ flag, step: { rollout, segments, at, for: lasts, until }, index, remove }) {
  const { metrics = [], segments: parts = [] } = flag.state.definition;
  const margins = guardrails(flag);
  const percentage = { type: "number", step: "any" };
  const path = stepAt(index);
  return h(
    "li",
    null,
    h(
      FieldSet,
      { path, label: `Step ${index + 1}` },
      h(Field, { path: `${path}.rollout`, label: "Rollout, %", value: rollout, ...percentage, required: true }),
      parts.map(({ name }) =>
        h(Field, {
          path: `${path}.segments.${name}`,
          label: `of ${name}, %`,
          value: segments?.[name],
          ...percentage,
        }),
      ),
      index > 0 && h(DateField, { path: `${path}.at`, label: "Not before", value: at }),
      h(Field, { path: `${path}.for`, label: "For at least", value: lasts, placeholder: "30m, 24h, 7d" }),
      metrics.length > 0 &&
        h(Field, {
          path: `${path}.until.units`,
          label: "Until so many units",
          value: until?.units,
          type: "number",
        }),
      margins.length > 0 &&
        h(ChoicesField, {
          path: `${path}.until.safe`,
          label: "Until proved safe",
          choices: margins,
          chosen: until?.safe ?? [],
        }),
      remove && h("button", { type: "button", "aria-label": `Remove step ${index + 1}`, onclick: remove }, "Remove"),
    ),
  );
}

/** @param {number} index */
const stepAt = (index) => `plan.steps[${index}]`;

/** Those of which it can be proved that they are safe.
 * @param {Told} flag */
const guardrails = ({ state }) =>
  (state.definition.metrics ?? [])
    .filter(({ role, margin }) => role === "guardrail" && margin)
    .map(({ metric }) => metric);

/** @param {HTMLFormElement} form @param {Told} flag @returns {Plan} */
function planIn(form, flag) {
  const days = /** @type {Days} */ (readChoices(form, "plan.hours.days"));
  const between = read(form, "plan.hours.between");
  const then = {
    on_win: chosen(form, "plan.then.on_win", "tell"),
    on_nothing: chosen(form, "plan.then.on_nothing", "tell"),
  };
  const steps = form.querySelectorAll(".steps > li").length;
  return {
    ...said(form, "plan", "start"),
    steps: Array.from({ length: steps }, (_, index) => stepIn(form, index, flag)),
    ...said(form, "plan", "end"),
    ...said(form, "plan", "timezone"),
    ...((days.length > 0 || between) && { hours: { days, between: between || WHOLE_DAY } }),
    on_harm: chosen(form, "plan.on_harm", "tell"),
    on_broken_split: chosen(form, "plan.on_broken_split", "tell"),
    then,
  };
}

/** @param {HTMLFormElement} form @param {number} index @param {Told} flag @returns {PlanStep} */
function stepIn(form, index, { state }) {
  const path = stepAt(index);
  const segments = (state.definition.segments ?? [])
    .map(({ name }) => [name, read(form, `${path}.segments.${name}`)])
    .filter(([, percentage]) => percentage);
  const units = read(form, `${path}.until.units`);
  const safe = readChoices(form, `${path}.until.safe`);
  return {
    rollout: Number(read(form, `${path}.rollout`)),
    ...(segments.length && {
      segments: Object.fromEntries(segments.map(([name, percentage]) => [name, Number(percentage)])),
    }),
    ...said(form, path, "at"),
    ...said(form, path, "for"),
    ...((units || safe.length > 0) && { until: { ...(units && { units: Number(units) }), safe } }),
  };
}

/** @template {string} Choice @param {HTMLFormElement} form @param {string} path @param {Choice} otherwise */
const chosen = (form, path, otherwise) => /** @type {Choice} */ (read(form, path) || otherwise);

/** The step that gives what is in force; of a draft, a small one.
 * @param {Told} flag @returns {PlanStep} */
function firstStep({ status, rollout, of_segments, state }) {
  if (status !== "running") return { rollout: 1 };
  const segments = (state.definition.segments ?? []).map(({ name }, index) => [name, of_segments[index] ?? rollout]);
  return { rollout, segments: Object.fromEntries(segments) };
}

/** @template {string} Name @param {HTMLFormElement} form @param {string} path @param {Name} name
 * @returns {Partial<Record<Name, string>>} */
function said(form, path, name) {
  const value = read(form, `${path}.${name}`);
  return /** @type {Partial<Record<Name, string>>} */ (value ? { [name]: value } : {});
}
