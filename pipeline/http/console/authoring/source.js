// Source: the fields of a topic of somebody else's: where in its records ours stand.

/** @import { PresetTold } from "#api" */
/** @import { Parts, Place } from "./form.js" */
/** @import { Group, List } from "./shapes.js" */

import { h } from "../dom.js";
import { vocabulary } from "../parts/vocabulary.js";
import { Choices, Faults, Fields, Framed, idOf, RowsField, TextField, TypedLines, useTyped } from "./form.js";
import { PATHS } from "./trying.js";
import { isGroup, typedOf } from "./values.js";

const OF_BOTH = ["user_id", "device_id", "time", "insert_id"];
/** @type {Record<string, string[]>} What is asked of first, by what a record makes. */
const FIRST = {
  event: ["event_type", ...OF_BOTH, "event_properties"],
  exposure: ["flag_key", "variant", ...OF_BOTH, "experiment_key", "metadata"],
};
const NEVER = {
  event: ["flag_key", "variant", "experiment_key", "metadata"],
  exposure: ["event_type", "event_properties"],
};

const OR = " or ";
// A constant has the rest of the text; what stands in quotes is of one name.
const ONE_AND_OTHERS = /^(=.*|(?:'(?:[^']|'')*(?:'|$)|[^'])*?)(?: or (.*))?$/s;
const UNITS = ["ms", "s", "us", "ns", "iso8601"];

/** Paths of which the first counts that is there; a constant is the last.
 * @param {string} text */
function alternatives(text) {
  const said = [];
  for (let rest = text; rest; ) {
    const [, one = "", others = ""] = ONE_AND_OTHERS.exec(rest.trimStart()) ?? [];
    if (one.trim()) said.push(one.trim());
    rest = others;
  }
  return said.length > 1 ? said : said[0];
}

/** @param {unknown} value */
const joined = (value) => [value].flat().map(typedOf).map(unsplit).join(OR);

/** A path of which no name can be taken for several paths.
 * @param {string} path */
const unsplit = (path) =>
  alternatives(path) === path
    ? path
    : path.replace(/'(?:[^']|'')*'|[^.']+/g, (name) =>
        name.includes(OR) && !name.startsWith("'") ? `'${name}'` : name,
      );

/** What the preset fills in where nothing is said.
 * @param {Place["form"]} form @returns {PresetTold | undefined} */
const presetOf = ({ edited }) => /** @type {Record<string, PresetTold>} */ (vocabulary.presets)[edited.at(["preset"])];

/** One line of paths; `say` takes what they are, `filled` are the preset's.
 * @param {Place & { value: unknown, filled: unknown, say: (value: unknown) => void }} line */
function PathsLine({ value, filled, say, ...place }) {
  const [shown, take] = useTyped(value, joined, alternatives);
  return h(Framed, {
    ...place,
    hint: null,
    control: (attributes) =>
      h("input", {
        ...attributes,
        value: shown,
        oninput: ({ target }) => say(take(target.value)),
        autocomplete: "off",
        list: PATHS,
        placeholder: joined(filled) || null,
      }),
  });
}

/** @param {Place} place */
function PathsField(place) {
  const { form, path, name } = place;
  return h(PathsLine, {
    ...place,
    value: form.edited.at(path),
    filled: presetOf(form)?.map[name],
    say: (value) => form.edited.set(path, value),
  });
}

const NAMED = /^(.+?): +(.+)$/;

/** Names with a path each, a line for each; or paths of objects with all of them.
 * @param {string} text */
function named(text) {
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
  const pairs = lines.map((line) => NAMED.exec(line));
  if (!lines.length) return undefined;
  if (!pairs[0]) return lines.length > 1 ? lines : lines[0];
  return Object.fromEntries(
    pairs.map((pair, index) => [pair?.[1] ?? lines[index], alternatives(pair?.[2] ?? "") ?? ""]),
  );
}

/** @param {unknown} value */
const listed = (value) =>
  isGroup(value)
    ? Object.entries(value)
        .map(([name, each]) => `${name}: ${joined(each)}`)
        .join("\n")
    : [value].flat().map(typedOf).join("\n");

/** @param {Place} place */
const NamedPathsField = (place) =>
  h(TypedLines, {
    ...place,
    hint: "NAME: PATH, one per line; or the path of an object with all of them",
    placeholder: listed(presetOf(place.form)?.map[place.name]),
    write: listed,
    read: named,
  });

/** Where the time stands, and in which unit.
 * @param {Place} place */
function TimeField(place) {
  const { form, path } = place;
  const value = form.edited.at(path);
  const paths = isGroup(value) ? value.path : value;
  const unit = isGroup(value) ? value.unit : undefined;
  const preset = presetOf(form)?.map.time;
  const filled = isGroup(preset) ? preset : { path: preset, unit: undefined };
  /** @param {unknown} at @param {unknown} in_ */
  const say = (at, in_) => form.edited.set(path, at && in_ ? { path: at, unit: in_ } : at);
  return [
    h(PathsLine, { ...place, value: paths, filled: filled.path, say: (at) => say(at, unit) }),
    h(
      "div",
      { class: "field" },
      h("label", { for: `${idOf(path)}-unit` }, "Unit of the time"),
      h(Choices, {
        attributes: { id: `${idOf(path)}-unit`, disabled: !paths },
        choices: UNITS.map((each) => [each, each]),
        unsaid: (!paths && typedOf(filled.unit)) || "ms",
        value: unit,
        take: (said) => say(paths, said || undefined),
      }),
    ),
  ];
}

/** Of both kinds of messages the fields that they have; those that are seldom needed are folded.
 * @param {Place} place */
function MapField({ form, path, shape }) {
  const makes = form.edited.at(["as"]) === "exposure" ? "exposure" : "event";
  const said = Object.keys(form.edited.at(path) ?? {});
  const all = Object.keys(/** @type {Group} */ (shape).fields);
  const first = [...(FIRST[makes] ?? []), ...NEVER[makes].filter((name) => said.includes(name))];
  const others = all.filter((name) => !first.includes(name) && !NEVER[makes].includes(name));
  const ofPaths = all.map((name) => [`FieldMap.${name}`, form.parts[`FieldMap.${name}`] ?? PathsField]);
  const parts = { ...form.parts, ...Object.fromEntries(ofPaths) };
  const fields = { form: { ...form, parts }, path, shape: /** @type {Group} */ (shape) };
  return h(
    "fieldset",
    { "data-path": "map" },
    h(
      "legend",
      null,
      `The fields of ${makes === "event" ? "an event" : "an exposure"}, and where they stand in a record`,
    ),
    h(
      "p",
      { class: "quiet" },
      "Each has a path such as ",
      h("code", null, "order.customer.id"),
      ", ",
      h("code", null, "$key"),
      " or ",
      h("code", null, "$header.NAME"),
      "; several, joined by “or”, of which the first counts that is there; or = and a constant. ",
      "A name with dots, or with “or”, stands in quotes. ",
      presetOf(form) && "What is not said here is the preset’s, in grey.",
    ),
    h(Faults, { id: "map-fault", told: form.edited.faultsAt(path, all) }),
    h(Fields, { ...fields, names: first }),
    h(
      "details",
      { class: "group", open: others.some((name) => said.includes(name)) },
      h("summary", null, "Groups, properties of the user, and what else a record may tell"),
      h(Fields, { ...fields, names: others }),
    ),
  );
}

/** Conditions; the preset's, where there are none.
 * @param {Place} place */
function WhereField(place) {
  const { form, path, shape } = place;
  const filled = form.edited.at(path) ? [] : (presetOf(form)?.where ?? []);
  const legend =
    filled.length > 0 &&
    h(
      "p",
      { class: "quiet" },
      "The preset’s: ",
      filled.map(({ property, op, values }, at) => [
        at > 0 && ", and ",
        h("code", null, `${property} ${op} ${values.join(", ")}`),
      ]),
      ". One that is added here takes their place.",
    );
  return h(RowsField, { ...place, shape: /** @type {List} */ (shape), ...(legend && { legend }) });
}

/** @param {Place} place */
const PathField = (place) => h(TextField, { ...place, shape: { ...place.shape, hint: undefined }, suggestions: PATHS });

/** @type {Parts} */
export const SOURCE_PARTS = {
  "ForeignSource.each": PathField,
  "ForeignSource.map": MapField,
  "ForeignSource.where": WhereField,
  "SourceCondition.property": PathField,
  "FieldMap.groups": NamedPathsField,
  "FieldMap.event_properties": NamedPathsField,
  "FieldMap.user_properties": NamedPathsField,
  "FieldMap.metadata": NamedPathsField,
  "FieldMap.time": TimeField,
};
