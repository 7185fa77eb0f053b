// Rows: parts of a document in an order: one is added, removed, and put before another.

/** @import { Child } from "../dom.js" */
/** @import { Form } from "./form.js" */
/** @import { Path } from "./values.js" */

import { h, useLayoutEffect, useRef } from "../dom.js";
import { Faults, idOf } from "./form.js";
import { pathText } from "./values.js";

const FOCUSABLE = "input, select, textarea, summary";

/** @param {{ form: Form, path: Path, title: Child, one: string, legend?: Child, row: (index: number) => Child,
 *   first?: unknown, add?: Child }} props `first`: what a new row holds; `add` stands in the place of its button. */
export function Rows({ form, path, title, one, legend, row, first = {}, add }) {
  const value = form.edited.at(path);
  /** @type {unknown[]} */
  const rows = Array.isArray(value) ? value : [];
  const frame = useRef(/** @type {HTMLElement | null} */ (null));
  const wanted = useRef(/** @type {{ index: number, count: number } | null} */ (null));
  useLayoutEffect(() => {
    if (wanted.current?.count !== rows.length) return;
    const list = frame.current?.querySelector("ol");
    const focused = list?.children[Math.min(wanted.current.index, rows.length - 1)] ?? frame.current;
    /** @type {HTMLElement | null | undefined} */ (
      focused?.querySelector(rows.length ? FOCUSABLE : "button, input")
    )?.focus();
    wanted.current = null;
  });
  /** @param {unknown[]} changed @param {number} index The row that is looked at then. */
  const change = (changed, index) => {
    wanted.current = { index, count: changed.length };
    form.edited.write(path, changed.length ? changed : undefined);
  };
  return h(
    "fieldset",
    { class: "rows-form", ref: frame, "data-path": pathText(path) },
    h("legend", null, title),
    legend,
    h(Faults, {
      id: `${idOf(path)}-fault`,
      told: form.edited.faultsAt(
        path,
        rows.map((_, index) => index),
      ),
    }),
    h(
      "ol",
      null,
      rows.map((_, index) => h(Row, { key: String(index), one, index, rows, change }, row(index))),
    ),
    add ??
      h(
        "button",
        { type: "button", onclick: () => change([...rows, first], rows.length) },
        `Add a ${one.toLowerCase()}`,
      ),
  );
}

/** @param {{ one: string, index: number, rows: unknown[], change: (rows: unknown[], index: number) => void,
 *   children?: Child }} props */
function Row({ one, index, rows, change, children }) {
  const name = `${one} ${index + 1}`;
  return h(
    "li",
    null,
    h(
      "fieldset",
      null,
      h("legend", null, name),
      children,
      h(
        "div",
        { class: "actions" },
        index > 0 &&
          h(
            "button",
            { type: "button", "aria-label": `Move ${name} up`, onclick: () => change(swapped(rows, index), index - 1) },
            "Move up",
          ),
        h(
          "button",
          { type: "button", "aria-label": `Remove ${name}`, onclick: () => change(rows.toSpliced(index, 1), index) },
          `Remove ${one.toLowerCase()}`,
        ),
      ),
    ),
  );
}

/** @param {unknown[]} rows @param {number} index */
const swapped = (rows, index) => rows.with(index - 1, rows[index]).with(index, rows[index - 1]);
