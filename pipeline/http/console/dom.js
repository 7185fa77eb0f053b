// Dom: what a page shows, as values that Preact brings to the screen without touching what stays the same.

/** @import { ComponentChildren, VNode } from "preact" */

import { createElement } from "./vendor/preact-11.2.0.mjs";

export { createContext, render } from "./vendor/preact-11.2.0.mjs";
export { useContext, useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact-hooks-11.2.0.mjs";

/**
 * @typedef {VNode<any> | string | number | false | null | undefined} Leaf
 * @typedef {Leaf | Child[]} Child
 * @typedef {{
 *   onclick?: (event: MouseEvent) => unknown,
 *   onchange?: (event: { target: HTMLInputElement }) => unknown,
 *   oninput?: (event: { target: HTMLInputElement }) => unknown,
 *   ontoggle?: (event: { target: HTMLDetailsElement }) => unknown,
 *   onsubmit?: (event: SubmitEvent) => unknown,
 * }} Handlers What a select's handlers are told is taken for an input: its `value` is read.
 * @typedef {Handlers & Record<string, unknown>} Attributes
 */

/** An element, `h("a", { href, class, onclick }, ...children)`, or a component: `h(Component, props, ...children)`.
 *
 * One with an `id` is the same element wherever it stands among its siblings. A field that a person fills in takes
 * `defaultValue` or `defaultChecked`; with `value` or `checked` it shows what is said, whatever was typed.
 * @type {{
 *   <Tag extends keyof HTMLElementTagNameMap>(tag: Tag, attributes?: Attributes | null, ...children: Child[]): VNode,
 *   <Props>(component: (props: Props) => ComponentChildren, props: Props & { key?: string }, ...children: Child[]): VNode,
 * }} */
export const h = (/** @type {any} */ of, /** @type {any} */ attributes, /** @type {Child[]} */ ...children) =>
  createElement(of, keyed(attributes), ...children);

/** The same for SVG.
 * @param {keyof SVGElementTagNameMap} tag @param {Attributes | null} [attributes] @param {Child[]} children @returns {VNode} */
export const svg = (tag, attributes, ...children) =>
  createElement(/** @type {any} */ (tag), keyed(attributes), ...children);

/** @param {Record<string, unknown> | null} [attributes] */
const keyed = (attributes) => (attributes?.id ? { key: attributes.id, ...attributes } : (attributes ?? null));

/** A table of plain heads, which scrolls within its frame where it is too wide; `kind` is the class of the heads.
 * @param {string} label @param {string[]} heads @param {Child} rows @param {{ kind?: string | null, frame?: string }} options */
export const table = (label, heads, rows, { kind = null, frame = "wide" } = {}) =>
  h(
    "div",
    { class: frame, tabindex: 0, role: "group", "aria-label": label },
    h(
      "table",
      null,
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          heads.map((each) => h("th", { scope: "col", class: kind }, each)),
        ),
      ),
      h("tbody", null, rows),
    ),
  );

/** A name and its value in a list of facts.
 * @param {Child} name @param {Child} value @param {string | null} kind The class. */
export const fact = (name, value, kind = null) => h("div", { class: kind }, h("dt", null, name), h("dd", null, value));
