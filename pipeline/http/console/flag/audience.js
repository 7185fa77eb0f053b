// Audience: segments, prerequisites, groups. Who is asked, in the order in which it is asked.

/** @import { Condition } from "#api" */
/** @import { Definition } from "./definition.js" */
/** @import { Child } from "../dom.js" */

import { fact, h } from "../dom.js";

/** @param {Definition} definition */
export function audience({ segments, prerequisites, groups, sticky, unit, deployments }) {
  /** @type {([string, Child] | false)[]} */
  const facts = [
    ["unit", h("code", null, unit)],
    ...Object.entries(prerequisites).map(([flag, variants]) => needed(flag, variants)),
    ...groups.map(({ group, slots = [] }) => grouped(group, slots)),
    sticky && ["sticky", "a unit keeps the variant that it had before"],
    deployments.length > 0 && ["deployments", deployments.join(", ")],
  ];
  return h(
    "section",
    { "aria-labelledby": "audience" },
    h("h2", { id: "audience" }, "Audience"),
    h(
      "dl",
      { class: "facts" },
      facts.map((each) => each && fact(...each)),
    ),
    segments.length > 0 && h("ol", { class: "segments" }, segments.map(segment)),
  );
}

/** @param {string} flag @param {string[]} variants @returns {[string, Child]} */
const needed = (flag, variants) => [
  "prerequisite",
  [h("a", { href: `#/flags/${encodeURIComponent(flag)}` }, flag), ` is ${variants.join(" or ")}`],
];

/** @param {string} group @param {number[]} slots @returns {[string, Child]} */
const grouped = (group, slots) => ["group", `${group}${slots.length ? `, slot ${slots.join(", ")}` : ""}`];

/** @param {Definition["segments"][number]} segment */
function segment({ name, conditions, rollout, weights }) {
  const split = Object.entries(weights).map(([variant, weight]) => `${variant} ${weight}`);
  return h(
    "li",
    null,
    h("b", null, name),
    ` ${rollout}%`,
    split.length > 0 && `, weights ${split.join(", ")}`,
    h("ul", null, conditions.map(condition)),
  );
}

/** @param {Condition} condition */
const condition = ({ property, op, values }) =>
  h(
    "li",
    null,
    h("code", null, property),
    ` ${op} `,
    values.map((each, index) => [index > 0 && ", ", h("q", null, each)]),
  );
