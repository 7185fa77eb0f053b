// Verdict: what a person should do, how far the planned sample has come, and what became of the hypothesis.

/** @import { Look } from "#api" */
/** @import { Definition, Told } from "../flag/definition.js" */

import { fact, h } from "../dom.js";
import { analysisOf } from "../flag/definition.js";
import { term } from "../parts/meanings.js";
import { count } from "../parts/numbers.js";
import { vocabulary } from "../parts/vocabulary.js";
import { decisionOn, mark } from "../parts/words.js";
import { shown } from "./comparisons.js";
import { isBroken } from "./health.js";

/** @param {Told} flag @param {Look | undefined} look */
export function verdict(flag, look) {
  const decision = decisionOn(flag, look);
  const why = flag.status === "draft" ? "Nobody meets it yet." : flag.awaited;
  return h(
    "section",
    { class: `decision ${decision.tone}`, "aria-label": "Verdict" },
    h(
      "p",
      { class: "decided" },
      mark(decision),
      look && [" ", term(`verdict-${analysisOf(look.analysis).method}`, "what it rests on")],
    ),
    h("p", { class: "reason" }, look ? look.verdict.reason : why),
    look && progress(flag, look),
  );
}

/** How far the planned sample has come, of the comparison that decides.
 * @param {Told} flag @param {Look} look */
function progress(flag, look) {
  const primary = flag.definition.metrics.find((goal) => goal.role === "primary");
  const [cell] = shown(
    look.cells.filter((each) => each.metric === primary?.metric && each.segment === vocabulary.everyone),
    "settled",
  );
  if (!cell?.planned_units || cell.method === "bayesian") return null;
  const units = cell.n + cell.control_n;
  const planned = count(cell.planned_units);
  return h(
    "p",
    { class: "quiet" },
    h("progress", {
      max: cell.planned_units,
      value: Math.min(units, cell.planned_units),
      "aria-label": "Of the planned sample",
    }),
    ` ${count(units)} ${cell.reading} units; `,
    vocabulary.methods[cell.method].is_fixed
      ? `the test is read at ${planned}`
      : ["the test is ", term("tuned", `tuned to ${planned}`)],
  );
}

/** @param {Definition} definition @param {Look | undefined} look */
export function hypothesis({ hypothesis: said, description }, look) {
  if (!said && !description) return null;
  const state = look && !isBroken(look.health) && look.verdict.prediction;
  return h(
    "section",
    { "aria-labelledby": "hypothesis" },
    h("h2", { id: "hypothesis" }, "Hypothesis"),
    description && h("p", null, description),
    said &&
      h(
        "dl",
        { class: "prose" },
        fact("Problem", said.problem),
        fact("Solution", said.solution),
        fact(term("Verdict.prediction", "Prediction"), [
          said.prediction,
          state && [" ", mark(vocabulary.predictions[state])],
        ]),
      ),
  );
}
