// Words: signs (never colour alone) and words for what the server decides.

/** @import { Cell, Listed, Mark } from "#api" */

import { h } from "./dom.js";
import { share } from "./numbers.js";
import { vocabulary } from "./vocabulary.js";

/** What stands in the place of a decision: nobody has looked yet.
 * @param {Pick<Listed, "status">} flag @returns {Mark} */
export const waiting = ({ status }) => ({
  sign: "·",
  says: status === "draft" ? "Not started" : "No look yet",
  tone: "idle",
});

/** The decision on a flag, or what stands in its place.
 * @param {Pick<Listed, "status">} flag @param {{ verdict: { decision: keyof typeof vocabulary.decisions } } | null | undefined} look */
export const decisionOn = (flag, look) => (look ? vocabulary.decisions[look.verdict.decision] : waiting(flag));

/** A cell's status in words: of a metric that is unusable, which share of its events is lost, and an example.
 * @param {Cell} cell */
export const standing = ({ status, unusable_share: lost, example }) =>
  [
    vocabulary.statuses[status].says,
    lost !== undefined && share(lost),
    example !== undefined && `such as ${example || "one without the property"}`,
  ]
    .filter(Boolean)
    .join(", ");

/** A cell as it is told: by its status alone where the look says nothing of it; running values are of earlier looks.
 * @param {Cell} cell @returns {Cell} */
export const told = (cell) => ({
  ...cell,
  ...Object.fromEntries(vocabulary.statuses[cell.status].unsaid.map((name) => [name, null])),
});

/** A decision or judgement as a person reads it: sign and word.
 * @param {Mark} mark */
export const mark = ({ sign, says, tone }) =>
  h("span", { class: `mark ${tone}` }, h("span", { class: "sign", "aria-hidden": "true" }, sign), says);

/** What should be noticed.
 * @param {string} says @returns {Mark} */
export const warning = (says) => ({ sign: "!", says, tone: "warn" });
