// Fields: what a person fills in of a document, each with what the server says is wrong with it beside it. `path` is
// where a field's value stands in the document; what a form holds is read by these paths.

/** @import { Fault } from "../api.js" */
/** @import { Attributes, Child } from "../dom.js" */

import { createContext, h, useContext } from "../dom.js";

/** @typedef {{ fields: Map<string, string[]>, others: Fault[] }} Assigned Faults by their field, and those without. */

/** What is wrong, by the path of the field beside which it is told. */
export const Faults = createContext(/** @type {Map<string, string[]>} */ (new Map()));

/** A line of text, a number, a date.
 * @param {{ path: string, label: Child, value?: string | number | null } & Attributes} props */
export function Field({ path, label, value, ...attributes }) {
  return h(
    "div",
    { class: "field" },
    h(
      "label",
      null,
      label,
      h("input", { "data-path": path, autocomplete: "off", defaultValue: value ?? "", ...blamed(path), ...attributes }),
    ),
    h(FaultsOf, { path }),
  );
}

const SHOWN_BY_PICKER = /^\d{4}-\d\d-\d\d(T\d\d:\d\d)?$/; // what says its own offset, it cannot show

/** A date and time. What stands is kept as it is written while it is the same moment.
 * @param {{ path: string, label: Child, value?: string | null } & Attributes} props */
export function DateField({ path, label, value, ...attributes }) {
  if (value && !SHOWN_BY_PICKER.test(value)) return h(Field, { path, label, value, ...attributes });
  const shown = value && !value.includes("T") ? `${value}T00:00` : value;
  const type = "datetime-local";
  return h(Field, { path, label, value: shown, type, "data-shown": shown, "data-written": value, ...attributes });
}

/** One of several.
 * @param {{ path: string, label: Child, choices: Record<string, string>, chosen: string }} props */
export function ChoiceField({ path, label, choices, chosen }) {
  return h(
    "div",
    { class: "field" },
    h(
      "label",
      null,
      label,
      h(
        "select",
        { "data-path": path, ...blamed(path) },
        Object.entries(choices).map(([value, says]) => h("option", { value, selected: value === chosen }, says)),
      ),
    ),
    h(FaultsOf, { path }),
  );
}

/** Any of several.
 * @param {{ path: string, label: Child, choices: readonly string[], chosen: readonly string[] }} props */
export const ChoicesField = ({ path, label, choices, chosen }) =>
  h(
    FieldSet,
    { path, label, kind: "choices" },
    choices.map((value) =>
      h("label", null, h("input", { type: "checkbox", value, defaultChecked: chosen.includes(value) }), value),
    ),
  );

/** Fields that belong together.
 * @param {{ path: string, label: Child, kind?: string, children?: Child }} props */
export const FieldSet = ({ path, label, kind = "fields", children }) =>
  h(
    "fieldset",
    { "data-path": path, class: kind, ...blamed(path) },
    h("legend", null, label),
    h(FaultsOf, { path }),
    children,
  );

/** What is wrong at a path, said there.
 * @param {{ path: string }} props */
export function FaultsOf({ path }) {
  const faults = useContext(Faults).get(path);
  return faults ? h("small", { id: idOf(path), class: "fault" }, faults.join("\n")) : null;
}

/** How a field is marked where it is to blame. */
function blamed(/** @type {string} */ path) {
  return useContext(Faults).has(path) ? { "aria-invalid": "true", "aria-describedby": idOf(path) } : {};
}

/** @param {string} path */
const idOf = (path) => `fault-${path}`;

/** The element of a form in which a value stands.
 * @param {Element} form @param {string} path */
const at = (form, path) =>
  /** @type {HTMLInputElement | null} */ (form.querySelector(`[data-path="${CSS.escape(path)}"]`));

/** What a person filled in; nothing where there is no such field.
 * @param {Element} form @param {string} path */
export function read(form, path) {
  const field = at(form, path);
  const value = field?.value.trim() ?? "";
  return field?.dataset.written && value === field.dataset.shown ? field.dataset.written : value;
}

/** Which of several a person chose.
 * @param {Element} form @param {string} path */
export const readChoices = (form, path) =>
  [...(at(form, path)?.querySelectorAll(/** @type {"input"} */ ("input:checked")) ?? [])].map(({ value }) => value);

/** Each fault to the field that it is nearest to.
 * @param {Element} form @param {Fault[]} faults @returns {Assigned} */
export function assign(form, faults) {
  const paths = [...form.querySelectorAll("[data-path]")].map((each) => each.getAttribute("data-path") ?? "");
  const fields = new Map();
  const others = faults.filter(({ path, error }) => {
    const [nearest] = paths.filter((each) => isWithin(path, each)).sort((one, other) => other.length - one.length);
    if (nearest !== undefined) fields.set(nearest, [...(fields.get(nearest) ?? []), error]);
    return nearest === undefined;
  });
  return { fields, others };
}

/** @param {string} path @param {string} field */
const isWithin = (path, field) => path === field || (path.startsWith(field) && /^[.[]/.test(path.slice(field.length)));

/** Go to the first field that is to blame.
 * @param {Element | null} form */
export function focusFault(form) {
  const place = form?.querySelector(".fault")?.closest(".field, [data-path]");
  place?.querySelector(/** @type {"input"} */ ("input, select, textarea"))?.focus();
}
