// Shapes: what each field of a document holds, read from the JSON Schema that the server tells.

/**
 * @typedef {{
 *   $ref?: string, allOf?: Schema[], anyOf?: Schema[], type?: string | string[], enum?: string[], items?: Schema,
 *   properties?: Record<string, Schema>, required?: string[], additionalProperties?: Schema | boolean,
 *   title?: string, description?: string, default?: unknown, maxLength?: number, maxItems?: number,
 *   $defs?: Record<string, Schema>,
 * }} Schema
 * @typedef {{ hint?: string, unsaid?: unknown, isRequired?: boolean }} Told What is said of every shape.
 * @typedef {Told & { is: "text" | "prose" | "number" | "switch" | "json" }} Plain
 * @typedef {Told & { is: "choice", choices: string[] }} Choice
 * @typedef {Told & { is: "list", of: Shape }} List
 * @typedef {Told & { is: "names", of: Shape }} Names Values by names.
 * @typedef {Told & { is: "group", title: string, fields: Record<string, Shape> }} Group
 * @typedef {Told & { is: "either", plain: Shape, group: Group }} Either
 * @typedef {Plain | Choice | List | Names | Group | Either} Shape
 */

const PROSE = new Set([
  "description",
  "problem",
  "solution",
  "prediction",
  "template",
  "background",
  "decision",
  "learning",
]);

/** The shape of a whole document.
 * @param {Schema} schema @returns {Group} */
export const shapeOf = (schema) => /** @type {Group} */ (read(schema, schema.$defs ?? {}, ""));

/** @param {Schema} schema @param {Record<string, Schema>} parts @param {string} name @returns {Shape} */
function read(schema, parts, name) {
  const { description: hint, default: unsaid } = schema;
  const shape = bare(schema, parts, name);
  return { ...shape, hint: hint ?? shape.hint, unsaid: unsaid === null ? undefined : (unsaid ?? shape.unsaid) };
}

/** @param {Schema} schema @param {Record<string, Schema>} parts @param {string} name @returns {Shape} */
function bare(schema, parts, name) {
  const { $ref, allOf, anyOf, type, properties, items, additionalProperties: others } = schema;
  if ($ref) return read(parts[$ref.replace("#/$defs/", "")] ?? {}, parts, name);
  if (allOf?.[0]) return read(allOf[0], parts, name);
  if (anyOf) return oneOf(anyOf.filter((each) => each.type !== "null").map((each) => read(each, parts, name)));
  if (schema.enum) return { is: "choice", choices: schema.enum };
  if (properties) return group(schema, parts);
  if (items) return { is: "list", of: read(items, parts, name) };
  if (typeof others === "object" && Object.keys(others).length) return { is: "names", of: read(others, parts, name) };
  const types = [type].flat();
  if (types.includes("boolean")) return { is: "switch" };
  if (types.includes("string")) return { is: PROSE.has(name) ? "prose" : "text" };
  return { is: types.includes("number") || types.includes("integer") ? "number" : "json" };
}

/** @param {Shape[]} shapes @returns {Shape} */
function oneOf(shapes) {
  const found = /** @type {Group | undefined} */ (shapes.find(({ is }) => is === "group"));
  const plain = shapes.find(({ is }) => is !== "group") ?? shapes[0] ?? { is: "json" };
  return found && plain !== found ? { is: "either", plain, group: found } : plain;
}

/** @param {Schema} schema @param {Record<string, Schema>} parts @returns {Group} */
function group({ title = "", properties = {}, required = [] }, parts) {
  const fields = Object.entries(properties).map(([name, each]) => [
    name,
    { ...read(each, parts, name), isRequired: required.includes(name) },
  ]);
  return { is: "group", title, fields: Object.fromEntries(fields) };
}
