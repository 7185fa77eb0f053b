// Decided: what was decided over a run, by whom and why, and what its newest look said then. It stands in the place of
// a verdict: what is decided needs no advice.

/** @import { DecisionTold, Look, Shown } from "#api" */
/** @import { Child } from "../dom.js" */

import { h } from "../dom.js";
import { moment } from "../parts/numbers.js";
import { vocabulary } from "../parts/vocabulary.js";
import { decidedAs, mark } from "../parts/words.js";

/** The decisions over a run, the last one first; null: none was made.
 * @param {Pick<Shown, "key" | "decisions" | "status">} flag @param {string | null} run @param {Look | undefined} look */
export function decided(flag, run, look) {
  const [last, ...before] = decisionsOn(flag, run);
  if (!last) return null;
  return h(
    "section",
    { class: "decision decided-on", "aria-label": "Decision" },
    h("p", { class: "decided" }, mark(decidedAs(last))),
    last.reason && h("p", { class: "reason" }, h("q", null, last.reason)),
    h("p", { class: "quiet" }, signed(last)),
    h("p", { class: "quiet" }, evidence(flag.key, last)),
    before.map((each) =>
      h(
        "p",
        { class: "quiet" },
        `Before: ${decidedAs(each).says}, `,
        signed(each),
        each.reason && [", ", h("q", null, each.reason)],
        ". ",
        evidence(flag.key, each),
      ),
    ),
    look &&
      look.look !== last.look &&
      h("p", { class: "quiet" }, `Look ${look.look}${look.final ? ", the final one" : ""}: ${look.verdict.reason}`),
  );
}

/** Those over one run that still hold, the last one first: what was restored is archived no more.
 * @param {Pick<Shown, "decisions" | "status">} flag @param {string | null} run */
export const decisionsOn = ({ decisions, status }, run) =>
  decisions.filter((each) => each.run === run && (each.step !== "archive" || status === "archived")).toReversed();

/** @param {DecisionTold} decision */
export const signed = ({ author, by_plan, time, version }) =>
  `${by_plan ? "by its plan" : `by ${author}`}, ${moment(time)}, version ${version}`;

/** What it rested on.
 * @param {string} key @param {DecisionTold} decision @returns {Child} */
export function evidence(key, { run, look, verdict, no_look }) {
  if (look === null || run === null) return `The evidence then: ${no_look ?? "none"}.`;
  const href = `#/experiments/${[key, run, look].map(encodeURIComponent).join("/")}`;
  return [
    "The evidence then: ",
    h("a", { href }, `look ${look} of ${run}`),
    verdict && [": ", `${vocabulary.decisions[verdict.decision].says}: ${verdict.reason}`],
  ];
}
