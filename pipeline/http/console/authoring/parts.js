// Parts: fields of documents that are more than their shape.

/** @import { Form, Parts, Place } from "./form.js" */
/** @import { Names } from "./shapes.js" */

import { Preview } from "../decisions/writing.js";
import { h, useEffect, useState } from "../dom.js";
import { SegmentsField } from "./counts.js";
import { readDocument } from "./documents.js";
import { BoxesField, Choices, Faults, Framed, idOf, NamesField, TextField } from "./form.js";
import { GoalsField } from "./goals.js";
import { IdsField } from "./ids.js";
import { DateField, OfLooksField, PlanField, StepDateField } from "./plan.js";
import { SOURCE_PARTS } from "./source.js";
import { pathText } from "./values.js";

/** The key of what stands is no field of it any more.
 * @param {Place} place */
function KeyField(place) {
  const { form, path } = place;
  if (!form.edited.key) return h(TextField, place);
  return h(Framed, {
    ...place,
    hint: null,
    control: (attributes) => h("input", { ...attributes, readonly: true, value: form.edited.at(path) ?? "" }),
  });
}

/** @param {Place} place */
const PropertyField = (place) =>
  h(TextField, { ...place, shape: { ...place.shape, hint: "country, platform, …, user_properties.NAME" } });

/** Of all units; of those that no segment matches, where there is one.
 * @param {Place} place */
function RolloutField(place) {
  const others = Boolean(place.form.edited.at(["segments"])?.length);
  return h(TextField, {
    ...place,
    title: others ? "Rollout of all others, %" : "Rollout, %",
    hint: others
      ? "of the units that no segment matches: all of them, where nothing is said; 0 leaves them out"
      : "of all units: all of them, where nothing is said",
  });
}

/** In the place of the variants' own.
 * @param {Place} place */
function WeightsField(place) {
  const { form, path } = place;
  const isOfOne = form.edited.at(["metrics"]) === undefined || form.edited.at(path) !== undefined; // experiments have none
  return isOfOne && h(NamesField, { ...named(place), names: keysOf(form, "variants", "key") });
}

/** By the segments that are typed.
 * @param {Place} place */
const SegmentsOfStep = (place) => h(NamesField, { ...named(place), names: keysOf(place.form, "segments", "name") });

/** @param {Place} place */
const named = (place) => ({ ...place, shape: /** @type {Names} */ (place.shape) });

/** @param {Form} form @param {string} list @param {string} name @returns {string[]} */
const keysOf = ({ edited }, list, name) => {
  const rows = edited.at([list]);
  return Array.isArray(rows) ? rows.map((each) => each?.[name]).filter((each) => typeof each === "string") : [];
};

/** @param {Place} place */
function ControlField(place) {
  const { form, path } = place;
  return h(Framed, {
    ...place,
    hint: null,
    control: (attributes) =>
      h(Choices, {
        attributes,
        choices: keysOf(form, "variants", "key").map((key) => [key, key]),
        unsaid: "the variant ‘control’, else the first",
        value: form.edited.at(path),
        take: (value) => form.edited.set(path, value || undefined),
      }),
  });
}

/** Flags of which a unit must have one of some variants.
 * @param {Place} place */
function PrerequisitesField({ form, path, title }) {
  /** @type {Record<string, string[]>} */
  const value = form.edited.at(path) ?? {};
  const flags = Object.keys(value);
  const others = form.known
    .of("flag")
    .map(({ key }) => key)
    .filter((key) => !flags.includes(key) && key !== form.edited.at(["key"]));
  return h(
    "fieldset",
    { "data-path": pathText(path) },
    h("legend", null, title),
    h(Faults, { id: `${idOf(path)}-fault`, told: form.edited.faultsAt(path, flags) }),
    flags.map((flag) => h(VariantsOf, { key: flag, form, path: [...path, flag], flag })),
    !others.length && !flags.length && h("p", { class: "quiet" }, "There is no other flag yet."),
    others.length > 0 &&
      h(
        "div",
        { class: "field" },
        h("label", { for: "prerequisite" }, "Only who has a variant of"),
        h(
          "select",
          {
            id: "prerequisite",
            value: "",
            onchange: ({ target }) => target.value && form.edited.write([...path, target.value], []),
          },
          h("option", { value: "" }, "choose a flag …"),
          others.map((key) => h("option", { key, value: key }, key)),
        ),
      ),
  );
}

/** @param {{ form: Form, path: import("./values.js").Path, flag: string }} props */
function VariantsOf({ form, path, flag }) {
  const [variants, know] = useState(/** @type {string[]} */ ([]));
  useEffect(() => {
    readDocument("flag", flag).then(
      ({ definition }) => know([...definition.variants.map((/** @type {{ key: string }} */ { key }) => key), "off"]),
      () => {}, // the fault of the field says it
    );
  }, [flag]);
  return h(
    "div",
    { class: "prerequisite" },
    h(BoxesField, { form, path, shape: { is: "json" }, name: flag, title: `${flag}: one of`, choices: variants }),
    h(
      "button",
      { type: "button", "aria-label": `Remove ${flag}`, onclick: () => form.edited.set(path, undefined) },
      "Remove",
    ),
  );
}

/** Where its author has the ids, which a browser reads from a file of its own.
 * @returns {null} */
const NoField = () => null;

/** A text, and how it will look.
 * @param {Place} place */
function MarkdownField(place) {
  const { form, path, title } = place;
  return h(
    "div",
    { class: "writing" },
    h(TextField, { ...place, rows: 7 }),
    h(Preview, { label: title, text: form.edited.at(path) ?? "" }),
  );
}

/** @type {Parts} */
export const PARTS = {
  "Flag.key": KeyField,
  "Metric.key": KeyField,
  "Group.key": KeyField,
  "Cohort.key": KeyField,
  "Deployment.key": KeyField,
  "NotificationRule.key": KeyField,
  "Template.key": KeyField,
  "Brief.key": KeyField,
  "ForeignSource.key": KeyField,
  "Flag.metrics": GoalsField,
  "Flag.segments": SegmentsField,
  "Flag.rollout": RolloutField,
  "Flag.control": ControlField,
  "Flag.prerequisites": PrerequisitesField,
  "Segment.weights": WeightsField,
  "Flag.plan": PlanField,
  "Plan.start": DateField,
  "Plan.end": DateField,
  "Plan.on_harm": OfLooksField,
  "Plan.on_broken_split": OfLooksField,
  "PlanStep.segments": SegmentsOfStep,
  "PlanStep.at": StepDateField,
  "PlanStep.until": OfLooksField,
  "Then.on_win": OfLooksField,
  "Condition.property": PropertyField,
  "Breakdown.property": PropertyField,
  "Cohort.file": NoField,
  "Cohort.ids": IdsField,
  "Brief.background": MarkdownField,
  "Brief.decision": MarkdownField,
  "Brief.learning": MarkdownField,
  ...SOURCE_PARTS,
};
