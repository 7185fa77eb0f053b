// Fields: what a person fills in of a document, each with what the server says is wrong with it beside it.

/** @import { Fault } from "./api.js" */
/** @import { Attributes, Child } from "./dom.js" */

import { h } from "./dom.js";

/** @typedef {{ element: HTMLElement, value(): string }} Field */

/** A line of text, a number, a date: `path` is where its value stands in the document.
 * @param {string} path @param {Child} label @param {string | number | null | undefined} value
 * @param {Attributes} attributes @returns {Field} */
export function field(path, label, value, attributes = {}) {
  const input = h("input", { "data-path": path, autocomplete: "off", value: value ?? "", ...attributes });
  return { element: labelled(label, input), value: () => input.value.trim() };
}

/** @param {Child} label @param {HTMLElement} input */
const labelled = (label, input) => h("div", { class: "field" }, h("label", null, label, input));

const SHOWN_BY_PICKER = /^\d{4}-\d\d-\d\d(T\d\d:\d\d)?$/; // what says its own offset, it cannot show

/** A date and time. What stands is kept as it is written while it is the same moment.
 * @param {string} path @param {Child} label @param {string | null | undefined} value @returns {Field} */
export function dateField(path, label, value) {
  if (value && !SHOWN_BY_PICKER.test(value)) return field(path, label, value);
  const shown = value && !value.includes("T") ? `${value}T00:00` : value;
  const made = field(path, label, shown, { type: "datetime-local" });
  return { ...made, value: () => (made.value() === shown ? (value ?? "") : made.value()) };
}

/** One of several.
 * @template {string} Choice
 * @param {string} path @param {Child} label @param {Record<Choice, string>} choices @param {Choice} chosen */
export function choiceField(path, label, choices, chosen) {
  const select = h(
    "select",
    { "data-path": path },
    Object.entries(choices).map(([value, says]) =>
      h("option", { value, selected: value === chosen }, /** @type {string} */ (says)),
    ),
  );
  return { element: labelled(label, select), value: () => /** @type {Choice} */ (select.value) };
}

/** Any of several.
 * @template {string} Choice
 * @param {string} path @param {Child} label @param {readonly Choice[]} choices @param {readonly Choice[]} chosen */
export function choicesField(path, label, choices, chosen) {
  const boxes = choices.map((value) => h("input", { type: "checkbox", value, checked: chosen.includes(value) }));
  return {
    element: h(
      "fieldset",
      { "data-path": path, class: "choices" },
      h("legend", null, label),
      boxes.map((box) => h("label", null, box, box.value)),
    ),
    values: () => /** @type {Choice[]} */ (boxes.filter((box) => box.checked).map((box) => box.value)),
  };
}

/** Tell each fault beside the field that it is nearest to; gives those that have none.
 * @param {Element} form @param {Fault[]} faults */
export function blame(form, faults) {
  for (const told of form.querySelectorAll(".fault")) told.remove();
  for (const was of form.querySelectorAll("[aria-describedby^=fault-]")) {
    was.removeAttribute("aria-invalid");
    was.removeAttribute("aria-describedby");
  }
  const fields = /** @type {HTMLElement[]} */ ([...form.querySelectorAll("[data-path]")]);
  const others = faults.filter((fault, index) => !blameOne(fields, fault, `fault-${index}`));
  const first = form.querySelector(".fault")?.closest(".field, [data-path]");
  first?.querySelector(/** @type {"input"} */ ("input, select"))?.focus();
  return others;
}

/** @param {HTMLElement[]} fields @param {Fault} fault @param {string} id */
function blameOne(fields, { path, error }, id) {
  const near = fields.filter((each) => isWithin(path, each.dataset.path ?? ""));
  const nearest = near.sort((one, other) => (other.dataset.path ?? "").length - (one.dataset.path ?? "").length)[0];
  if (!nearest) return false;
  const told = h("small", { id, class: "fault" }, error);
  const place = nearest.closest(".field") ?? nearest.querySelector("legend");
  if (place?.matches("legend")) place.after(told);
  else (place ?? nearest).append(told);
  if (nearest.matches("input, select")) nearest.setAttribute("aria-invalid", "true");
  nearest.setAttribute("aria-describedby", `${nearest.getAttribute("aria-describedby") ?? ""} ${id}`.trim());
  return true;
}

/** @param {string} path @param {string} field */
const isWithin = (path, field) => path === field || (path.startsWith(field) && /^[.[]/.test(path.slice(field.length)));
