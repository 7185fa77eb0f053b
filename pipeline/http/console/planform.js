// Plan form: how a flag is to be rolled out by itself, as a person fills it in.

/** @import { Hours, Plan, PlanEdit, PlanStep, Then } from "#api" */
/** @import { Kind } from "./actions.js" */
/** @import { Told, Whole } from "./definition.js" */
/** @import { Field } from "./fields.js" */

import { send } from "./api.js";
import { Change } from "./change.js";
import { planOf, thenOf } from "./definition.js";
import { h } from "./dom.js";
import { blame, choiceField, choicesField, dateField, field } from "./fields.js";
import { ownZone } from "./zones.js";

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
  const form = new PlanForm(flag);
  const change = new Change({
    says: flag.state.definition.plan ? "Change the plan" : "Make the plan",
    key: flag.key,
    version: flag.version,
    done,
    blame: (faults) => blame(form.element, faults),
    send: (said) => {
      /** @type {PlanEdit} */
      const edit = { ...said, plan: form.read() };
      return send("PUT", `${kind}/${encodeURIComponent(flag.key)}/plan`, edit);
    },
  });
  form.element.addEventListener("input", () => change.reset());
  change.ask(
    flag.status === "running" &&
      h("p", null, "A change pauses the plan at the step that gives what is in force; resume it then."),
    form.element,
  );
}

class PlanForm {
  /** @type {StepForm[]} */
  #steps;

  /** @param {Told} flag */
  constructor(flag) {
    const { plan: standing, metrics } = flag.state.definition;
    const plan = planOf(standing ?? { steps: [firstStep(flag)], timezone: ownZone() });
    const then = thenOf(plan);
    this.flag = flag;
    this.start = dateField("plan.start", "Start (none: by command)", plan.start);
    this.end = dateField("plan.end", "End", plan.end);
    this.timezone = field("plan.timezone", "Time zone", plan.timezone, { list: "timezones" });
    this.days = choicesField("plan.hours.days", "Steps on these days alone", DAYS, plan.hours?.days ?? []);
    this.between = field("plan.hours.between", "and between", plan.hours?.between, { placeholder: WHOLE_DAY });
    const isExperiment = Boolean(metrics?.length);
    this.onHarm = isExperiment ? choiceField("plan.on_harm", "On harm", ON_ALARM, plan.on_harm) : null;
    this.onSplit = isExperiment
      ? choiceField("plan.on_broken_split", "On a broken split", ON_ALARM, plan.on_broken_split)
      : null;
    this.onWin = isExperiment ? choiceField("plan.then.on_win", "Where one has won", ON_WIN, then.on_win) : null;
    this.onNothing = choiceField(
      "plan.then.on_nothing",
      isExperiment ? "Where none has won" : "Then",
      ON_NOTHING,
      then.on_nothing,
    );
    this.#steps = plan.steps.map((step) => new StepForm(flag, step, this));
    this.list = h("ol", { class: "steps", "data-path": "plan.steps" });
    this.element = this.#view();
    this.#number();
  }

  #view() {
    return h(
      "div",
      { class: "plan-form", "data-path": "plan" },
      h("div", { class: "fields" }, this.start.element, this.end.element, this.timezone.element),
      h(
        "datalist",
        { id: "timezones" },
        ["UTC", ...Intl.supportedValuesOf("timeZone")].map((value) => h("option", { value })),
      ),
      h("p", { class: "quiet" }, "A step is over once all that it says has come; with the last one the plan ends."),
      this.list,
      h("button", { type: "button", onclick: () => this.#add() }, "Add a step"),
      this.onHarm && h("div", { class: "fields" }, this.onHarm.element, this.onSplit?.element),
      h(
        "fieldset",
        { class: "fields", "data-path": "plan.then" },
        h("legend", null, "After the end"),
        this.onWin?.element,
        this.onNothing.element,
      ),
      h("div", { class: "fields", "data-path": "plan.hours" }, this.days.element, this.between.element),
    );
  }

  #add() {
    const step = new StepForm(this.flag, { rollout: 100 }, this);
    this.#steps.push(step);
    this.#number();
    step.focus();
  }

  /** @param {StepForm} step */
  remove(step) {
    this.#steps = this.#steps.filter((each) => each !== step);
    this.#number();
    this.#steps.at(-1)?.focus();
  }

  #number() {
    this.#steps.forEach((step, index) => {
      step.stand(index, this.#steps.length);
    });
    this.list.replaceChildren(...this.#steps.map(({ element }) => element));
  }

  /** @returns {Plan} */
  read() {
    const then = { on_win: this.onWin?.value() ?? "tell", on_nothing: this.onNothing.value() };
    const [days, between] = [this.days.values(), this.between.value()];
    return {
      ...said("start", this.start),
      steps: this.#steps.map((step) => step.read()),
      ...said("end", this.end),
      ...said("timezone", this.timezone),
      ...((days.length > 0 || between) && { hours: { days, between: between || WHOLE_DAY } }),
      on_harm: this.onHarm?.value() ?? "tell",
      on_broken_split: this.onSplit?.value() ?? "tell",
      then,
    };
  }
}

class StepForm {
  #number = h("legend");
  #remove = h("button", { type: "button" }, "Remove");

  /** @param {Told} flag @param {PlanStep} step @param {{ remove(step: StepForm): void }} form */
  constructor({ state }, { rollout, segments, at, for: lasts, until }, form) {
    const { metrics = [], segments: parts = [] } = state.definition;
    const margins = metrics.filter(({ role, margin }) => role === "guardrail" && margin).map(({ metric }) => metric);
    const percentage = { type: "number", step: "any" };
    this.rollout = field("rollout", "Rollout, %", rollout, { ...percentage, required: true });
    this.segments = parts.map(({ name }) => ({
      name,
      field: field(`segments.${name}`, `of ${name}, %`, segments?.[name], percentage),
    }));
    this.at = dateField("at", "Not before", at);
    this.lasts = field("for", "For at least", lasts, { placeholder: "30m, 24h, 7d" });
    this.units = metrics.length ? field("until.units", "Until so many units", until?.units, { type: "number" }) : null;
    this.safe = margins.length ? choicesField("until.safe", "Until proved safe", margins, until?.safe ?? []) : null;
    this.#remove.onclick = () => form.remove(this);
    this.element = h(
      "li",
      null,
      h(
        "fieldset",
        { class: "fields" },
        this.#number,
        [this.rollout, ...this.segments.map((each) => each.field), this.at, this.lasts].map(({ element }) => element),
        this.units?.element,
        this.safe?.element,
        this.#remove,
      ),
    );
    this.fields = /** @type {HTMLElement[]} */ ([...this.element.querySelectorAll("[data-path]")]).map((element) => ({
      element,
      name: element.dataset.path,
    }));
  }

  /** Take its place among all of them.
   * @param {number} index @param {number} all */
  stand(index, all) {
    const path = `plan.steps[${index}]`;
    this.#number.textContent = `Step ${index + 1}`;
    for (const { element, name } of this.fields) element.dataset.path = `${path}.${name}`;
    if (this.element.firstElementChild instanceof HTMLElement) this.element.firstElementChild.dataset.path = path;
    this.at.element.hidden = index === 0;
    this.#remove.hidden = all === 1;
    this.#remove.setAttribute("aria-label", `Remove step ${index + 1}`);
  }

  focus() {
    this.rollout.element.querySelector("input")?.focus();
  }

  /** @returns {PlanStep} */
  read() {
    const segments = this.segments.filter((each) => each.field.value());
    const until = {
      ...(this.units?.value() && { units: Number(this.units.value()) }),
      safe: this.safe?.values() ?? [],
    };
    return {
      rollout: Number(this.rollout.value()),
      ...(segments.length && {
        segments: Object.fromEntries(segments.map((each) => [each.name, Number(each.field.value())])),
      }),
      ...(!this.at.element.hidden && said("at", this.at)),
      ...said("for", this.lasts),
      ...((until.units !== undefined || until.safe.length > 0) && { until }),
    };
  }
}

/** The step that gives what is in force; of a draft, a small one.
 * @param {Told} flag @returns {PlanStep} */
function firstStep({ status, rollout, of_segments, state }) {
  if (status !== "running") return { rollout: 1 };
  const segments = (state.definition.segments ?? []).map(({ name }, index) => [name, of_segments[index] ?? rollout]);
  return { rollout, segments: Object.fromEntries(segments) };
}

/** @template {string} Name @param {Name} name @param {Field} field @returns {Partial<Record<Name, string>>} */
const said = (name, field) =>
  /** @type {Partial<Record<Name, string>>} */ (field.value() ? { [name]: field.value() } : {});
