// Dom: elements as values, and the page brought to what they say without touching what stays the same.

/**
 * @typedef {Node | string | number | false | null | undefined} Leaf
 * @typedef {Leaf | Child[]} Child
 * @typedef {{
 *   onclick?: () => unknown,
 *   onchange?: (event: { target: HTMLInputElement }) => unknown,
 *   oninput?: (event: { target: HTMLInputElement }) => unknown,
 *   ontoggle?: (event: { target: HTMLDetailsElement }) => unknown,
 *   onsubmit?: (event: SubmitEvent) => unknown,
 * }} Handlers What a select's handlers are told is taken for an input: its `value` is read.
 * @typedef {Handlers & Record<string, unknown>} Attributes
 */

const SVG = "http://www.w3.org/2000/svg";
const HANDLERS = /** @type {const} */ (["onclick", "onchange", "oninput", "ontoggle", "onsubmit"]);

/** An element: `h("a", { href, class, onclick }, ...children)`.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag @param {Attributes | null} [attributes] @param {Child[]} children */
export const h = (tag, attributes, ...children) => build(document.createElement(tag), attributes, children);

/** The same for SVG.
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag @param {Attributes | null} [attributes] @param {Child[]} children */
export const svg = (tag, attributes, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

/** @template {Element} Built @param {Built} element @param {Attributes | null | undefined} attributes @param {Child[]} children */
function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) Object.assign(element, { [name]: value });
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of leaves(children)) {
    if (child !== null && child !== undefined && child !== false) {
      element.append(child instanceof Node ? child : String(child));
    }
  }
  return element;
}

/** @param {Child[]} children @returns {Leaf[]} */
const leaves = (children) => children.flatMap((child) => (Array.isArray(child) ? leaves(child) : [child]));

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

/**
 * Make `standing`'s children what `wanted`'s are. Elements that match (by their id or label, else by their place) keep
 * their identity, and with it focus, what a person typed or unfolded, and their scroll position; what has `data-kept`
 * (a chart) is left as it is.
 * @param {Element} standing @param {Element} wanted
 */
export function morph(standing, wanted) {
  const news = [...wanted.childNodes];
  const named = new Map([...standing.childNodes].map((old) => [nameOf(old), old]));
  const kept = new Set(news.map(nameOf));
  news.forEach((node, index) => {
    const name = nameOf(node);
    const known = name && named.get(name);
    let old = standing.childNodes[index];
    if (known && old !== known) {
      standing.insertBefore(known, old ?? null);
      old = known;
    }
    if (!old) standing.append(node);
    else if (alike(old, node)) adapt(old, node);
    else if (nameOf(old) && kept.has(nameOf(old))) old.before(node);
    else old.replaceWith(node);
  });
  while (standing.childNodes.length > news.length) standing.lastChild?.remove();
}

/** @param {Node} node */
const nameOf = (node) => (node instanceof Element ? node.id || node.getAttribute("aria-labelledby") || "" : "");

/** @param {Node} one @param {Node} other */
const alike = (one, other) => one.nodeName === other.nodeName && nameOf(one) === nameOf(other);

const PERSONS = new Set(["open"]); // what a person sets on the page, not we

/** @param {ChildNode} old @param {ChildNode} node */
function adapt(old, node) {
  if (!(old instanceof Element && node instanceof Element)) {
    if (old.nodeValue !== node.nodeValue) old.nodeValue = node.nodeValue;
    return;
  }
  if (node.hasAttribute("data-kept")) return;
  for (const { name } of [...old.attributes]) {
    if (!node.hasAttribute(name) && !PERSONS.has(name)) old.removeAttribute(name);
  }
  for (const { name, value } of node.attributes) {
    if (old.getAttribute(name) !== value && !PERSONS.has(name)) old.setAttribute(name, value);
  }
  if (old instanceof HTMLElement && node instanceof HTMLElement) handle(old, node);
  if (old instanceof HTMLInputElement && node instanceof HTMLInputElement && old !== document.activeElement) {
    old.value = node.value;
    old.checked = node.checked;
  }
  morph(old, node);
  if (old instanceof HTMLSelectElement && node instanceof HTMLSelectElement && old !== document.activeElement) {
    old.value = node.value;
  }
}

/** @param {HTMLElement} old @param {HTMLElement} node */
function handle(old, node) {
  for (const name of HANDLERS) {
    if (old[name] !== node[name]) Object.assign(old, { [name]: node[name] });
  }
}
