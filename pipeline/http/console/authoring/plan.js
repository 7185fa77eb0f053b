// Plan: the fields that say how a flag is to be rolled out by itself.

/** @import { Edited } from "./edited.js" */
/** @import { Place } from "./form.js" */

import { h } from "../dom.js";
import { ownZone } from "../parts/zones.js";
import { Field, Framed, TextField } from "./form.js";

const CAUTIOUS = 1; // %, of a first step where nothing is in force
const ALL = 100;
const PICKED = /^\d{4}-\d\d-\d\dT\d\d:\d\d$/; // what says its own offset, a picker cannot show

/** A plan, with the way to one and back. The plan of what runs is removed on its page alone, where percentages stay.
 * @param {Place} place */
export function PlanField(place) {
  const { edited } = place.form;
  const plan = edited.at(place.path);
  const isInForce = isRunning(edited) && edited.standing?.definition.plan !== undefined;
  return [
    !isInForce &&
      h(
        "div",
        { class: "actions" },
        h(
          "button",
          { type: "button", onclick: () => edited.replace(plan === undefined ? planned(edited) : unplanned(edited)) },
          plan === undefined ? "Make a plan" : "Remove the plan",
        ),
      ),
    plan !== undefined && h(Field, place),
  ];
}

/** @param {Edited} edited */
const isRunning = ({ standing }) => standing?.status === "running";

/** With a plan in the place of its rollout and dates, whose first step gives what they gave.
 * @param {Edited} edited */
function planned(edited) {
  const { rollout, start, end, ...others } = edited.definition;
  const isNothing = rollout === undefined && !isRunning(edited);
  const step = isNothing ? { rollout: CAUTIOUS } : { rollout: rollout ?? ALL, segments: ofSegments(others) };
  return { ...others, plan: said({ start, steps: [said(step)], end, timezone: ownZone() }) };
}

/** @param {{ segments?: { name?: string, rollout?: unknown }[] }} definition */
const ofSegments = ({ segments }) =>
  segments && Object.fromEntries(segments.map(({ name, rollout }) => [name, rollout ?? ALL]));

/** With the plan's dates, and its first step's rollout, as its own.
 * @param {Edited} edited */
function unplanned(edited) {
  const { plan, ...others } = edited.definition;
  return { ...others, ...said({ rollout: plan.steps?.[0]?.rollout, start: plan.start, end: plan.end }) };
}

/** @param {Record<string, unknown>} all */
const said = (all) => Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));

/** What only looks tell is no field of a flag without metrics.
 * @param {Place} place */
export const OfLooksField = (place) =>
  (isSaid(place) || place.form.edited.at(["metrics"])?.length > 0) && h(Field, place);

/** The first step begins with the plan.
 * @param {Place} place */
export const StepDateField = (place) => (isSaid(place) || place.path.at(-2) !== 0) && h(DateField, place);

/** @param {Place} place */
const isSaid = ({ form, path }) => form.edited.at(path) !== undefined;

/** A date and time.
 * @param {Place} place */
export function DateField(place) {
  const { form, path } = place;
  const value = form.edited.at(path);
  if (value !== undefined && !PICKED.test(value)) return h(TextField, place);
  return h(Framed, {
    ...place,
    hint: null,
    control: (attributes) =>
      h("input", {
        ...attributes,
        type: "datetime-local",
        value: value ?? "",
        oninput: ({ target }) => form.edited.set(path, target.value || undefined),
      }),
  });
}
