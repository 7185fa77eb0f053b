// Allocation: who gets what. Variants with their share of the units that get one, and who always gets them.

/** @import { FlagArriving, Look, SegmentArriving } from "#api" */
/** @import { Definition, Told } from "./definition.js" */
/** @import { Child } from "../dom.js" */

import { h } from "../dom.js";
import { term, titled } from "../parts/meanings.js";
import { meter } from "../parts/meter.js";
import { count, share } from "../parts/numbers.js";

/**
 * @typedef {Definition["variants"][number]} Variant
 * @typedef {{ name: string, of: (variant: Variant) => number, came?: SegmentArriving }} Part Of the units of a segment, of
 *   those of none, or of all, how many get a variant; and what came of a segment.
 */

const LEAST_SHOWN = 0.0005; // of those who get no variant

/** @param {Told} flag @param {Look | null | undefined} look @param {FlagArriving | null} arriving What came of it within the
 *   last hour, as far as it is known. */
export function whoGetsWhat(flag, look, arriving) {
  const { variants } = flag.definition;
  const units = look && new Map(look.health.arms.map((arm) => [arm.variant, arm.units]));
  const parts = partsOf(flag, arriving);
  const off = parts.map(({ of }) => 1 - variants.reduce((sum, each) => sum + of(each), 0));
  const heads = [
    h("th", { scope: "col" }, "variant"),
    parts.map(({ name }) => h("th", { scope: "col", class: "number" }, name)),
    arriving && h("th", { scope: "col", class: "number" }, term("measured", "measured")),
    h("th", { scope: "col", class: "number" }, term("weight", "weight")),
    units && h("th", { scope: "col", class: "number" }, titled("ArmHealth.units")),
    h("th", { scope: "col" }, "payload"),
    h("th", { scope: "col" }, "always, and not counted"),
  ];
  const rows = [
    variants.map((each) => row(each, parts, arriving, units && (units.get(each.key) ?? 0))),
    off.some((each) => each > LEAST_SHOWN) && rowOfOff(off, Number(Boolean(arriving)) + 1 + Number(Boolean(units))),
  ];
  return h(
    "section",
    { "aria-labelledby": "variants" },
    h("h2", { id: "variants" }, "Who gets what"),
    h("p", null, sentence(flag), arriving && ` ${count(arriving.exposures)} exposures came in the last hour.`),
    arriving && parts.some(({ came }) => came) && h("p", { class: "quiet" }, saying(arriving)),
    h(
      "div",
      { class: "wide", tabindex: 0, role: "group", "aria-label": "Variants" },
      h("table", { class: "variants" }, h("thead", null, h("tr", null, heads)), h("tbody", null, rows)),
    ),
  );
}

/** @param {Told} flag @param {FlagArriving | null} arriving @returns {Part[]} */
function partsOf({ status, rolled_out, definition: { variants, rollout, segments } }, arriving) {
  if (rolled_out) return [{ name: "now", of: ({ key }) => (key === rolled_out ? 1 : 0) }];
  if (status !== "running") return [{ name: "now", of: () => 0 }];
  const part = (
    /** @type {string} */ name,
    /** @type {number} */ percentage,
    /** @type {Record<string, number>} */ own,
  ) => {
    const isOwn = Object.keys(own).length > 0;
    const weightOf = (/** @type {Variant} */ { key, weight }) => (isOwn ? (own[key] ?? 0) : weight);
    const all = variants.reduce((sum, each) => sum + weightOf(each), 0);
    return { name, of: (/** @type {Variant} */ each) => ((weightOf(each) / all) * percentage) / 100 };
  };
  if (!segments.length) return [part("now", rollout, {})];
  const came = Object.values(arriving?.segments ?? {});
  const parts = segments.map(({ name, rollout, weights }) => part(name, rollout, weights));
  return [...parts, part("others", rollout, {})].map((each, index) => ({ ...each, came: came[index] }));
}

/** @param {Variant} variant @param {Part[]} parts @param {FlagArriving | null} arriving @param {number | null | undefined} units */
const row = (variant, parts, arriving, units) =>
  h(
    "tr",
    { id: `variant-${variant.key}` },
    h(
      "th",
      { scope: "row" },
      h("span", { class: "named" }, variant.key, variant.name && h("span", null, variant.name)),
    ),
    parts.map(({ of, came }) => portion(of(variant), came?.exposures ? (came.shares[variant.key] ?? 0) : null)),
    arriving && h("td", { class: "number" }, share(arriving.exposures ? (arriving.shares[variant.key] ?? 0) : null)),
    h("td", { class: "number" }, count(variant.weight)),
    typeof units === "number" && h("td", { class: "number" }, count(units)),
    h("td", null, variant.payload === null ? "–" : h("code", null, JSON.stringify(variant.payload))),
    h("td", null, always(variant)),
  );

/** @param {number[]} off By part. @param {number} others How many numbers are told of variants alone. */
const rowOfOff = (off, others) =>
  h(
    "tr",
    null,
    h("th", { scope: "row" }, "off"),
    off.map((each) => portion(each)),
    Array.from({ length: others }, () => h("td", { class: "number" }, "–")),
    h("td", null, "–"),
    h("td", null, "–"),
  );

/** @param {number} of @param {number | null} [measured] Of the exposures that say the segment. */
const portion = (of, measured = null) =>
  h(
    "td",
    { class: "number" },
    meter(of),
    share(of),
    measured !== null && h("small", null, ` ${share(measured)} measured`),
  );

/** What the shares that were measured of segments are made of.
 * @param {FlagArriving} arriving @returns {Child[]} */
function saying({ segments, unsaid }) {
  const told = Object.values(segments).reduce((sum, { exposures }) => sum + exposures, 0);
  return [
    `Measured of a segment are shares of the ${count(told)} exposures of the last hour that say theirs: `,
    h("code", null, "metadata.segmentName"),
    ` of the answer, sent back with the exposure${unsaid ? `; ${count(unsaid)} say none` : ""}.`,
  ];
}

/** @param {Told} flag @returns {Child} */
function sentence({ gets, rolled_out, problem, status, definition: { rollout, segments } }) {
  if (gets) {
    const why = rolled_out || problem ? "" : `: it is ${status === "draft" ? "a draft" : status}`;
    return `${gets.slice(0, 1).toUpperCase()}${gets.slice(1)}${why}.`;
  }
  return [
    term("rollout", "Rollout"),
    segments.length ? ` of each segment, and ${rollout}% of all others, as shown here.` : ` ${rollout}% of all units.`,
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
