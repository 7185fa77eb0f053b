// Values: a document's definition as plain values, its numbers exactly as they are written, and one part of it changed.

/** @typedef {readonly (string | number)[]} Path */
/** @typedef {{ rawJSON: string }} Raw A number that JavaScript's have no place for, by its digits. */

const json = /** @type {{ rawJSON?: (text: string) => Raw, isRawJSON?: (value: unknown) => value is Raw }} */ (JSON);

/** What was typed where JSON belongs and is none yet; drafts keep it. */
const UNREAD = "\u0000unread";

/** @param {string} text */
export const unread = (text) => ({ [UNREAD]: text });

/** @param {unknown} value */
export const textOfUnread = (value) =>
  isGroup(value) && UNREAD in value ? /** @type {string} */ (value[UNREAD]) : undefined;

/** JSON, each number of which is written again as it was read: 1.0 stays 1.0, and 2^60 is no other number.
 * @param {string} text @returns {any} */
export const readExactly = (text) => JSON.parse(text, asWritten);

/** @param {string} _ @param {unknown} value @param {{ source?: string }} context */
const asWritten = (_, value, { source = "" } = {}) =>
  typeof value === "number" && String(value) !== source && json.rawJSON ? json.rawJSON(source) : value;

/** @param {unknown} value @returns {value is Raw} */
const isRaw = (value) => json.isRawJSON?.(value) ?? false;

/** @param {unknown} value @returns {value is Record<string, unknown>} */
export const isGroup = (value) => typeof value === "object" && value !== null && !Array.isArray(value) && !isRaw(value);

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

/** What was typed for a number: a number where it is one, else the text, of which the server says what it should be.
 * @param {string} text */
export const numberOf = (text) => {
  const plain = text
    .trim()
    .replace(/^\+/, "")
    .replace(/^(-?)\./, "$10.");
  return NUMBER.test(plain) ? readExactly(plain) : text.trim();
};

/** A text or a number as it is typed.
 * @param {unknown} value */
export const typedOf = (value) =>
  value === undefined || value === null
    ? ""
    : isRaw(value)
      ? value.rawJSON
      : typeof value === "object"
        ? JSON.stringify(value)
        : String(value);

/** @param {unknown} one @param {unknown} other */
export const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** The path as the server writes it: `variants[0].key`.
 * @param {Path} path */
export const pathText = (path) =>
  path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${part}`))
    .join("")
    .replace(/^\./, "");

/** The path that is so written.
 * @param {string} text @returns {Path} */
export const pathOf = (text) =>
  [...text.matchAll(/\[(\d+)\]|[^.[]+/g)].map(([name, index]) => (index === undefined ? name : Number(index)));

/** @param {unknown} whole @param {Path} path @returns {any} */
export const at = (whole, path) =>
  path.reduce(
    (part, name) => (isGroup(part) || Array.isArray(part) ? /** @type {any} */ (part)[name] : undefined),
    whole,
  );

/** The whole with another value at the path, or with none (`undefined`); all else is untouched, and in its order.
 * @param {any} whole @param {Path} path @param {unknown} value @returns {any} */
export function put(whole, path, value) {
  const [name, ...rest] = path;
  if (name === undefined) return value;
  if (typeof name === "number") {
    const list = Array.isArray(whole) ? whole : [];
    if (!rest.length && value === undefined) return list.toSpliced(name, 1);
    return name < list.length ? list.with(name, put(list[name], rest, value)) : [...list, put(undefined, rest, value)];
  }
  const group = isGroup(whole) ? whole : {};
  const changed = put(group[name], rest, value);
  if (changed !== undefined) return { ...group, [name]: changed };
  const { [name]: _, ...others } = group;
  return others;
}

/** @typedef {{ path: string, error: string }} Fault */

/** What is typed and is no JSON yet, as faults, and the value without it.
 * @param {any} value @param {Path} [path] @returns {[any, Fault[]]} */
export function readable(value, path = []) {
  const text = textOfUnread(value);
  if (text !== undefined) return [null, [{ path: pathText(path), error: faultOfJson(text) }]];
  if (Array.isArray(value)) {
    const parts = value.map((each, index) => readable(each, [...path, index]));
    return [parts.map(([each]) => each), parts.flatMap(([, faults]) => faults)];
  }
  if (!isGroup(value)) return [value, []];
  const parts = Object.entries(value).map(
    ([name, each]) => /** @type {const} */ ([name, readable(each, [...path, name])]),
  );
  return [Object.fromEntries(parts.map(([name, [each]]) => [name, each])), parts.flatMap(([, [, faults]]) => faults)];
}

/** Where a text is no JSON, and why.
 * @param {string} text */
export function faultOfJson(text) {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    const said = /** @type {Error} */ (error).message;
    const place = Number(/position (\d+)/.exec(said)?.[1] ?? text.length);
    const before = text.slice(0, place).split("\n");
    const what = said
      .replace(/ in JSON at position.*| \(line.*|, ".*/s, "")
      .replace(/^Unexpected end of JSON input$/, "it ends too early");
    return `this is no JSON: line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}: ${what}`;
  }
}
