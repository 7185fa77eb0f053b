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

/** A table of plain heads, which scrolls within its frame where it is too wide; `kind` is the class of the heads. */
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

/**
 * Make `standing`'s children what `wanted`'s are. Elements that match (by their id or label, else by their place) keep
 * their identity, and with it focus, what a person typed or unfolded, and their scroll position; what has `data-kept`
 * (a chart) is left as it is.
 */
export function morph(standing, wanted) {
  const news = [...wanted.childNodes];
  const named = new Map([...standing.childNodes].map((old) => [nameOf(old), old]));
  const kept = new Set(news.map(nameOf));
  news.forEach((node, index) => {
    const name = nameOf(node);
    let old = standing.childNodes[index];
    if (name && named.has(name) && old !== named.get(name)) {
      standing.insertBefore(named.get(name), old ?? null);
      old = named.get(name);
    }
    if (!old) standing.append(node);
    else if (alike(old, node)) adapt(old, node);
    else if (nameOf(old) && kept.has(nameOf(old))) old.before(node);
    else old.replaceWith(node);
  });
  while (standing.childNodes.length > news.length) standing.lastChild.remove();
}

const nameOf = (node) => node.id || node.getAttribute?.("aria-labelledby") || "";

const alike = (one, other) => one.nodeName === other.nodeName && nameOf(one) === nameOf(other);

const PERSONS = new Set(["open"]); // what a person sets on the page, not we

function adapt(old, node) {
  if (node.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== node.data) old.data = node.data;
    return;
  }
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
