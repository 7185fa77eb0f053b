// Allocation: who gets what. Variants with their share of the units that get one, and who always gets them.

/** @import { Look } from "#api" */
/** @import { Definition, Told } from "./definition.js" */
/** @import { Child } from "../dom.js" */

import { h } from "../dom.js";
import { term, titled } from "../parts/meanings.js";
import { count, share } from "../parts/numbers.js";

/** @typedef {Definition["variants"][number]} Variant */

const LEAST_SHOWN = 0.0005; // of those who get no variant

/** @param {Told} flag @param {Look | null | undefined} look */
export function whoGetsWhat(flag, look) {
  const { variants, rollout, segments } = flag.definition;
  const weights = variants.reduce((sum, { weight }) => sum + weight, 0);
  const units = look && new Map(look.health.arms.map((arm) => [arm.variant, arm.units]));
  const isOn = flag.status === "running";
  const of = (/** @type {Variant} */ { key, weight }) =>
    flag.rolled_out ? (key === flag.rolled_out ? 1 : 0) : isOn ? ((weight / weights) * rollout) / 100 : 0;
  const off = 1 - variants.reduce((sum, each) => sum + of(each), 0);
  const heads = [
    h("th", { scope: "col" }, "variant"),
    h("th", { scope: "col", class: "number" }, isOn && segments.length ? "outside segments" : "now"),
    h("th", { scope: "col", class: "number" }, term("weight", "weight")),
    units && h("th", { scope: "col", class: "number" }, titled("ArmHealth.units")),
    h("th", { scope: "col" }, "payload"),
    h("th", { scope: "col" }, "always, and not counted"),
  ];
  const rows = [
    variants.map((each) => row(each, of(each), units && (units.get(each.key) ?? 0))),
    off > LEAST_SHOWN && rowOfOff(off, Boolean(units)),
  ];
  return h(
    "section",
    { "aria-labelledby": "variants" },
    h("h2", { id: "variants" }, "Who gets what"),
    h("p", null, sentence(flag)),
    h(
      "div",
      { class: "wide", tabindex: 0, role: "group", "aria-label": "Variants" },
      h("table", { class: "variants" }, h("thead", null, h("tr", null, heads)), h("tbody", null, rows)),
    ),
  );
}

/** @param {Variant} variant @param {number} part @param {number | null | undefined} units */
const row = (variant, part, units) =>
  h(
    "tr",
    { id: `variant-${variant.key}` },
    h(
      "th",
      { scope: "row" },
      h("span", { class: "named" }, variant.key, variant.name && h("span", null, variant.name)),
    ),
    h("td", { class: "number" }, meter(part), share(part)),
    h("td", { class: "number" }, count(variant.weight)),
    typeof units === "number" && h("td", { class: "number" }, count(units)),
    h("td", null, variant.payload === null ? "–" : h("code", null, JSON.stringify(variant.payload))),
    h("td", null, always(variant)),
  );

/** @param {number} part @param {boolean} hasUnits */
const rowOfOff = (part, hasUnits) =>
  h(
    "tr",
    null,
    h("th", { scope: "row" }, "off"),
    h("td", { class: "number" }, meter(part), share(part)),
    h("td", { class: "number" }, "–"),
    hasUnits && h("td", { class: "number" }, "–"),
    h("td", null, "–"),
    h("td", null, "–"),
  );

/** @param {Told} flag @returns {Child} */
function sentence({ gets, rolled_out, problem, status, definition: { rollout, segments } }) {
  if (gets) {
    const why = rolled_out || problem ? "" : `: it is ${status === "draft" ? "a draft" : status}`;
    return `${gets.slice(0, 1).toUpperCase()}${gets.slice(1)}${why}.`;
  }
  return [
    term("rollout", "Rollout"),
    ` ${rollout}%${segments.length ? " of those whom no segment takes, as shown here" : " of all units"}.`,
  ];
}

/** A count of people, never who they are: ids are personal.
 * @param {Variant} variant */
const always = ({ users, devices, cohorts }) =>
  [
    users.length && `${users.length} user${users.length > 1 ? "s" : ""}`,
    devices.length && `${devices.length} device${devices.length > 1 ? "s" : ""}`,
    ...cohorts.map((each) => `cohort ${each}`),
  ]
    .filter(Boolean)
    .join(", ") || "–";

/** @param {number} part */
const meter = (part) => h("progress", { max: 1, value: part, "aria-hidden": "true", tabindex: -1 });
