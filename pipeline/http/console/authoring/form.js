// Form: the fields of a document by their shapes, each with what the server says is wrong with it beside it.

/** @import { Child } from "../dom.js" */
/** @import { Edited } from "./edited.js" */
/** @import { Known } from "./known.js" */
/** @import { Choice, Either, Group, List, Names, Shape } from "./shapes.js" */
/** @import { Path } from "./values.js" */

import { h, useRef } from "../dom.js";
import { explained } from "./explained.js";
import { JsonField } from "./jsonfield.js";
import { Rows } from "./rows.js";
import { isGroup, numberOf, pathText, same, typedOf } from "./values.js";
import { faultText, hintOf, label, one } from "./wording.js";

/**
 * @typedef {{ edited: Edited, known: Known, parts: Parts }} Form What every field of it needs.
 * @typedef {{ form: Form, path: Path, shape: Shape, name: string, title: string, group?: string, legend?: Child }} Place
 * @typedef {Record<string, (place: Place) => Child>} Parts Fields that are more than their shape, by group and name.
 */

/** The fields of a group, all of them or those named.
 * @param {{ form: Form, path: Path, shape: Group, names?: string[] }} props */
export function Fields({ form, path, shape, names = Object.keys(shape.fields) }) {
  return h(
    "div",
    { class: "fields" },
    names.map((name) => {
      const field = shape.fields[name];
      if (!field) return null;
      const group = shape.title;
      const place = { form, path: [...path, name], shape: field, name, title: label(group, name), group };
      return h(form.parts[`${group}.${name}`] ?? Field, { key: name, ...place });
    }),
  );
}

/** One field, whatever it holds.
 * @param {Place} place */
export function Field(place) {
  const { shape, form, path } = place;
  switch (shape.is) {
    case "group":
      return h(GroupField, { ...place, shape });
    case "either":
      return h(EitherField, { ...place, shape });
    case "list":
      return shape.of.is === "group" ? h(RowsField, { ...place, shape }) : h(ListField, { ...place, shape });
    case "names":
      return h(NamesField, { ...place, shape, names: Object.keys(form.edited.at(path) ?? {}) });
    case "choice":
      return h(ChoiceField, { ...place, shape });
    case "switch":
      return h(SwitchField, place);
    case "json":
      return h(JsonField, place);
    default:
      return h(TextField, place);
  }
}

/** A control under its label, with a hint and its faults.
 * @param {Place & { hint?: Child, control: (attributes: Record<string, unknown>) => Child }} props */
export function Framed({ form, path, shape, name, title, group = "", hint = hintOf(shape.hint, name), control }) {
  const id = idOf(path);
  const chosen = shape.is === "choice" ? (form.edited.at(path) ?? shape.unsaid) : undefined;
  const means = explained(group, name, chosen);
  const faults = form.edited.faultsAt(path);
  const described = [(means || hint) && `${id}-hint`, faults.length > 0 && `${id}-fault`].filter(Boolean).join(" ");
  return h(
    "div",
    { class: "field", "data-path": pathText(path) },
    h("label", { for: id }, title),
    control({
      id,
      "aria-describedby": described || null,
      "aria-invalid": faults.length ? "true" : null,
      "aria-required": shape.isRequired ? "true" : null,
      onblur: () => touch(form, path),
    }),
    (means || hint) && h("small", { id: `${id}-hint` }, means, means && hint && ": ", hint),
    h(Faults, { id: `${id}-fault`, told: faults, hint }),
  );
}

/** @param {{ id: string, told: { error: string }[], hint?: Child }} props */
export const Faults = ({ id, told, hint }) =>
  told.length ? h("small", { id, class: "fault" }, told.map(({ error }) => faultText(error, hint)).join("\n")) : null;

/** @param {Path} path */
export const idOf = (path) => `field-${pathText(path)}`;

/** @param {Form} form @param {Path} path */
function touch({ edited }, path) {
  edited.touch(path);
  edited.redraw();
}

/** What is typed stays as it is typed while it means what stands.
 * @param {unknown} value @param {(value: any) => string} write @param {(text: string) => unknown} read
 * @returns {[string, (text: string) => unknown]} */
export function useTyped(value, write, read) {
  const typed = useRef(/** @type {string | null} */ (null));
  const isCurrent = typed.current !== null && same(read(typed.current), value);
  return [
    isCurrent ? (typed.current ?? "") : write(value),
    (text) => {
      typed.current = text;
      return read(text);
    },
  ];
}

/** A text or a number.
 * @param {Place & { hint?: Child, suggestions?: string, rows?: number }} place */
export function TextField(place) {
  const { form, path, shape, name } = place;
  const isNumber = shape.is === "number";
  const read = (/** @type {string} */ text) => (text === "" ? undefined : isNumber ? numberOf(text) : text);
  const [shown, take] = useTyped(form.edited.at(path), typedOf, read);
  const oninput = (/** @type {{ target: HTMLInputElement }} */ { target }) => form.edited.set(path, take(target.value));
  return h(Framed, {
    ...place,
    control: (attributes) =>
      shape.is === "prose"
        ? h("textarea", { ...attributes, rows: place.rows ?? 3, value: shown, oninput })
        : h("input", {
            ...attributes,
            value: shown,
            oninput,
            autocomplete: "off",
            inputmode: isNumber ? "decimal" : null,
            list: place.suggestions ?? form.known.listOf(name),
            placeholder: typedOf(shape.unsaid) || null,
          }),
  });
}

/** One of several; or none, where it need not be said.
 * @param {Place & { shape: Choice }} place */
function ChoiceField(place) {
  const { form, path, shape } = place;
  return h(Framed, {
    ...place,
    control: (attributes) =>
      h(Choices, {
        attributes,
        choices: shape.choices.map((value) => [value, value]),
        unsaid: shape.unsaid === undefined ? "choose …" : `${shape.unsaid} (by default)`,
        value: form.edited.at(path),
        take: (value) => form.edited.set(path, value || undefined),
      }),
  });
}

/** @param {{ attributes: Record<string, unknown>, choices: string[][], unsaid: string, value: unknown,
 *   take: (value: string) => void }} props */
export function Choices({ attributes, choices, unsaid, value, take }) {
  const isKnown = value === undefined || choices.some(([each]) => each === value);
  const all = isKnown ? choices : [...choices, [typedOf(value), typedOf(value)]];
  return h(
    "select",
    { ...attributes, onchange: ({ target }) => take(target.value) },
    h("option", { value: "", selected: value === undefined }, unsaid),
    all.map(([each, says]) => h("option", { key: each, value: each, selected: each === value }, says)),
  );
}

/** @param {Place} place */
function SwitchField(place) {
  const { form, path, shape, name, title, group = "" } = place;
  const value = form.edited.at(path);
  if (shape.unsaid === undefined && !shape.isRequired) {
    return h(Framed, {
      ...place,
      control: (attributes) =>
        h(Choices, {
          attributes,
          choices: [
            ["true", "yes"],
            ["false", "no"],
          ],
          unsaid: "by default",
          value: value === undefined ? undefined : String(value),
          take: (said) => form.edited.set(path, said === "" ? undefined : said === "true"),
        }),
    });
  }
  return h(
    "div",
    { class: "field", "data-path": pathText(path) },
    h(
      "label",
      { class: "switch" },
      h("input", {
        id: idOf(path),
        type: "checkbox",
        checked: value ?? shape.unsaid ?? false,
        onchange: ({ target }) => form.edited.set(path, target.checked === shape.unsaid ? undefined : target.checked),
      }),
      title,
    ),
    h(Means, { group, name }),
    h(Faults, { id: `${idOf(path)}-fault`, told: form.edited.faultsAt(path) }),
  );
}

/** @param {{ group?: string, name: string }} props */
function Means({ group = "", name }) {
  const means = explained(group, name);
  return means && h("small", null, means);
}

/** Values that are no groups: boxes where it is known which there may be, else one per line.
 * @param {Place & { shape: List }} place */
function ListField(place) {
  const { form, name, shape } = place;
  const choices = shape.of.is === "choice" ? shape.of.choices : form.known.choicesOf(name);
  return choices ? h(BoxesField, { ...place, choices }) : h(LinesField, place);
}

/** @param {Place & { choices: readonly string[] }} place */
export function BoxesField({ form, path, name, title, group, choices }) {
  /** @type {string[]} */
  const value = form.edited.at(path) ?? [];
  const all = [...new Set([...choices, ...(Array.isArray(value) ? value : [])])];
  /** @param {string} each @param {boolean} isChosen */
  const choose = (each, isChosen) => {
    const chosen = isChosen ? [...value, each] : value.filter((other) => other !== each);
    form.edited.set(path, chosen.length ? chosen : undefined);
  };
  return h(
    "fieldset",
    { class: "choices", "data-path": pathText(path), "aria-describedby": `${idOf(path)}-fault` },
    h("legend", null, title),
    all.length === 0 && h("span", { class: "quiet" }, "There are none yet."),
    all.map((each) =>
      h(
        "label",
        { key: each },
        h("input", {
          type: "checkbox",
          checked: value.includes(each),
          onchange: ({ target }) => choose(each, target.checked),
        }),
        each,
      ),
    ),
    h(Means, { group, name }),
    h(Faults, { id: `${idOf(path)}-fault`, told: form.edited.faultsAt(path) }),
  );
}

/** @param {Place} place */
export function LinesField(place) {
  const { shape, name } = place;
  const of = shape.is === "list" ? shape.of : shape;
  const read = (/** @type {string} */ text) => {
    const lines = text
      .split("\n")
      .map((line) => line.trim())
      .filter(Boolean);
    return lines.length ? lines.map((line) => (of.is === "number" ? numberOf(line) : line)) : undefined;
  };
  const write = (/** @type {unknown} */ value) =>
    Array.isArray(value) ? value.map(typedOf).join("\n") : typedOf(value);
  const hint = ["one per line", hintOf(of.hint, name)].filter(Boolean).join(": ");
  return h(TypedLines, { ...place, hint, write, read });
}

/** What several lines make of a value.
 * @param {Place & { hint: string, placeholder?: string, write: (value: unknown) => string, read: (text: string) => unknown }} lines */
export function TypedLines({ write, read, placeholder, ...place }) {
  const { form, path } = place;
  const [shown, take] = useTyped(form.edited.at(path), write, read);
  return h(Framed, {
    ...place,
    control: (attributes) =>
      h("textarea", {
        ...attributes,
        rows: Math.min(6, Math.max(2, shown.split("\n").length)),
        value: shown,
        placeholder: placeholder || null,
        oninput: (/** @type {{ target: HTMLInputElement }} */ { target }) => form.edited.set(path, take(target.value)),
      }),
  });
}

const OPEN = new Set(["hypothesis", "analysis", "plan"]); // what its step is about

/** A group within a group, folded while nothing is said in it.
 * @param {Place & { shape: Group }} props */
function GroupField({ form, path, shape, name, title, group }) {
  const fields = Object.keys(shape.fields);
  const told = form.edited.faultsAt(path, fields);
  const isOpen =
    shape.isRequired || OPEN.has(name) || form.edited.at(path) !== undefined || form.edited.faultsAt(path).length > 0;
  return h(
    "details",
    { class: "group", "data-path": pathText(path), open: isOpen },
    h("summary", null, title),
    h(Means, { group, name }),
    h(Faults, { id: `${idOf(path)}-fault`, told }),
    h(Fields, { form, path, shape }),
  );
}

/** A text, or the fields of a group.
 * @param {Place & { shape: Either }} place */
function EitherField(place) {
  const { form, path, shape, title } = place;
  const isText = !isGroup(form.edited.at(path));
  return h(
    "div",
    { class: "either" },
    isText && h(Field, { ...place, shape: { ...shape.plain, isRequired: shape.isRequired } }),
    h(GroupField, { ...place, shape: { ...shape.group, isRequired: !isText }, title: `${title}: where it is read` }),
  );
}

/** Groups of fields, one after the other.
 * @param {Place & { shape: List }} props */
export function RowsField({ form, path, shape, name, title, group, legend }) {
  const of = /** @type {Group} */ (shape.of);
  return h(Rows, {
    form,
    path,
    title,
    legend: legend ?? h(Means, { group, name }),
    one: one(name),
    row: (index) => h(Fields, { form, path: [...path, index], shape: of }),
  });
}

/** Values by names of which it is known which there are.
 * @param {Place & { shape: Names, names: string[] }} props */
export function NamesField({ form, path, shape, title, names }) {
  const all = [...new Set([...names, ...Object.keys(form.edited.at(path) ?? {})])];
  if (!all.length) return null;
  return h(
    "fieldset",
    { "data-path": pathText(path) },
    h("legend", null, title),
    h(Faults, { id: `${idOf(path)}-fault`, told: form.edited.faultsAt(path, all) }),
    h(
      "div",
      { class: "fields" },
      all.map((each) => h(Field, { key: each, form, path: [...path, each], shape: shape.of, name: each, title: each })),
    ),
  );
}
