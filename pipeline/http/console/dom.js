// Dom: elements as values, and the page brought to what they say without touching what stays the same.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `h("a", { href, class, onclick }, ...children)`; children are nodes, texts, arrays, or nothing. */
export const h = (tag, attributes, ...children) => build(document.createElement(tag), attributes, children);

/** The same for SVG. */
export const svg = (tag, attributes, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

/**
 * Make `standing`'s children what `wanted`'s are. Elements that match keep their identity, and with it focus, what a
 * person typed or unfolded, and their scroll position; what has `data-kept` (a chart) is left as it is.
 */
export function morph(standing, wanted) {
  const olds = [...standing.childNodes];
  const news = [...wanted.childNodes];
  news.forEach((node, index) => {
    const old = olds[index];
    if (!old) standing.append(node);
    else if (!alike(old, node)) old.replaceWith(node);
    else if (node.nodeType === Node.ELEMENT_NODE) adapt(old, node);
    else if (old.data !== node.data) old.data = node.data;
  });
  olds.slice(news.length).forEach((old) => old.remove());
}

const alike = (one, other) =>
  one.nodeType === other.nodeType &&
  one.nodeName === other.nodeName &&
  (one.nodeType !== Node.ELEMENT_NODE || one.getAttribute("id") === other.getAttribute("id"));

const PERSONS = new Set(["open"]); // what a person sets on the page, not we

function adapt(old, node) {
  if (node.hasAttribute("data-kept")) return;
  for (const { name } of [...old.attributes]) {
    if (!node.hasAttribute(name) && !PERSONS.has(name)) old.removeAttribute(name);
  }
  for (const { name, value } of node.attributes) {
    if (old.getAttribute(name) !== value && !PERSONS.has(name)) old.setAttribute(name, value);
  }
  for (const name of ["onclick", "onchange", "oninput", "ontoggle", "onsubmit"]) {
    if (old[name] !== node[name]) old[name] = node[name];
  }
  if (old instanceof HTMLInputElement && old !== document.activeElement) {
    old.value = node.value;
    old.checked = node.checked;
  }
  morph(old, node);
  if (old instanceof HTMLSelectElement && old !== document.activeElement) old.value = node.value;
}
