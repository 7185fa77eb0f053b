// Words: signs (never colour alone) and words for what the server decides.

/** @import { Cell, Decided, Listed, Mark } from "#api" */

import { h } from "../dom.js";
import { share } from "./numbers.js";
import { vocabulary } from "./vocabulary.js";

/** What stands in the place of a decision: nobody has looked yet.
 * @param {Pick<Listed, "status">} flag @returns {Mark} */
export const waiting = ({ status }) => ({
  sign: "·",
  says: status === "draft" ? "Not started" : "No look yet",
  tone: "idle",
});

/** What a step is called that decided.
 * @param {Decided} decided @returns {Mark} */
export const decidedAs = ({ step, variant }) => ({ sign: "■", says: DECIDED[step](variant), tone: "idle" });

/** @type {{ [Step in Decided["step"]]: (variant: string | null) => string }} */
const DECIDED = {
  rollout: (variant) => `Rolled out: ${variant}`,
  rollback: () => "Rolled back",
  complete: () => "Completed",
  restart: () => "Restarted",
  archive: () => "Archived",
};

/** What was decided of a flag; else what its look advises, or what stands in the place of that.
 * @param {Pick<Listed, "status" | "decided">} flag
 * @param {{ final: boolean, verdict: { decision: keyof typeof vocabulary.decisions } } | null | undefined} look
 * @returns {Mark} */
export function decisionOn(flag, look) {
  if (flag.decided) return decidedAs(flag.decided);
  if (look?.final) return { sign: "■", says: "Ended", tone: "idle" }; // what is over needs no advice
  return look ? vocabulary.decisions[look.verdict.decision] : waiting(flag);
}

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

/** With a capital.
 * @param {string} text */
export const sentence = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);
