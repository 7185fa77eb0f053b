// Brief: an experiment from its hypothesis to what was learned, on two pages of paper.

/** @import { BriefShown, Look, Passage } from "#api" */
/** @import { Told } from "../flag/definition.js" */
/** @import { Page } from "../main.js" */

import { getDocument } from "../api.js";
import { fact, h } from "../dom.js";
import { analysisOf, toldOf } from "../flag/definition.js";
import { stateWords } from "../flag/page.js";
import { asOf, count, moment, share } from "../parts/numbers.js";
import { vocabulary } from "../parts/vocabulary.js";
import { decidedAs, mark } from "../parts/words.js";
import { may } from "../session/may.js";
import { Comments } from "./comments.js";
import { evidence, signed } from "./decided.js";
import { prose } from "./prose.js";
import { result } from "./result.js";

/** @implements {Page} */
export class BriefPage {
  /** @type {BriefShown | null} */
  #brief = null;

  /** @param {string} key */
  constructor(key) {
    this.key = key;
  }

  get title() {
    return `Brief of ${this.key} – Peekproof`;
  }

  async refresh() {
    this.#brief = await getDocument(`briefs/${encodeURIComponent(this.key)}`);
  }

  view() {
    const brief = this.#brief;
    if (!brief) return [];
    const flag = toldOf(brief.experiment);
    const key = encodeURIComponent(this.key);
    const href = brief.version ? `#/edit/brief/${key}` : `#/new/brief?experiment=${key}`;
    return [
      h(
        "div",
        { class: "head" },
        h("h1", null, flag.name ?? this.key),
        h(
          "div",
          { class: "actions" },
          may("edit") && h("a", { class: "button", id: "write", href }, brief.version ? "Edit" : "Write"),
          h("button", { type: "button", id: "print", onclick: () => print() }, "Print"),
        ),
      ),
      standing(brief, flag),
      h("article", { class: "brief" }, sections(brief, flag)),
      h(Comments, { kind: "experiments", of: this.key, seen: null }),
    ];
  }
}

/** @param {BriefShown} brief @param {Told} flag */
const standing = ({ owner, tags, version, author, time }, flag) =>
  h(
    "p",
    { class: "quiet" },
    h("a", { href: `#/experiments/${encodeURIComponent(flag.key)}` }, h("code", null, flag.key)),
    ` · ${stateWords(flag)} · owner ${owner}`,
    tags.length > 0 && ` · ${tags.join(", ")}`,
    version ? ` · written by ${author}, ${moment.day(time)}` : " · nobody has written it yet",
  );

/** @param {BriefShown} brief @param {Told} flag */
const sections = ({ background, decision, learning, look }, flag) => [
  passage("Background", background),
  flag.definition.hypothesis && section("Hypothesis", hypothesis(flag)),
  section("Plan", plan(flag, look)),
  section("Result", look ? outcome(flag, look) : h("p", { class: "quiet" }, flag.awaited ?? "There is no look.")),
  section("Decision", [decisions(flag), decision.html && prose(decision.html)]),
  passage("Learning", learning),
];

/** @param {string} title @param {import("../dom.js").Child} content */
const section = (title, content) =>
  h("section", { "aria-labelledby": `brief-${title}` }, h("h2", { id: `brief-${title}` }, title), content);

/** @param {string} title @param {Passage} passage */
const passage = (title, { html }) => html && section(title, prose(html));

/** @param {Told} flag */
const hypothesis = ({ definition: { hypothesis: said, description } }) => [
  description && h("p", null, description),
  said &&
    h(
      "dl",
      { class: "prose" },
      fact("Problem", said.problem),
      fact("Solution", said.solution),
      fact("Prediction", said.prediction),
    ),
];

/** @param {Told} flag @param {Look | null} look */
function plan({ definition, started, completed, rollout, run }, look) {
  const { method, planned_units } = analysisOf(definition.analysis);
  const primary = definition.metrics.find((goal) => goal.role === "primary")?.metric;
  const units =
    look?.cells.find((cell) => cell.metric === primary && cell.planned_units)?.planned_units ?? planned_units;
  const effects = definition.metrics.filter((goal) => goal.minimum_effect || goal.margin);
  return h(
    "dl",
    { class: "facts" },
    fact("who", [
      `${rollout}% by ${definition.unit}`,
      definition.segments.map(({ name, rollout: of }) => h("small", null, `${name}: ${of}%`)),
    ]),
    fact("variants", definition.variants.map(({ key, weight }) => `${key} (${weight})`).join(", ")),
    fact("test", method),
    fact("planned sample", units ? `${count(units)} units` : "by baseline and prediction"),
    effects.map((goal) =>
      fact(
        goal.metric,
        goal.role === "guardrail" ? `margin ${share(goal.margin)}` : `predicts ${share(goal.minimum_effect)} or more`,
      ),
    ),
    run && fact(run, `${moment.day(started)} to ${completed ? moment.day(completed) : "now"}`),
  );
}

/** @param {Told} flag @param {Look} look */
const outcome = (flag, look) => [
  h(
    "p",
    null,
    look.verdict.reason,
    " ",
    h(
      "a",
      { href: `#/experiments/${[flag.key, look.run, look.look].map(encodeURIComponent).join("/")}` },
      `Look ${look.look} of ${look.run}`,
    ),
    `${look.final ? ", the final one" : ""}, as of ${asOf(look.time, moment)}, ${count(
      look.health.arms.reduce((sum, arm) => sum + arm.units, 0),
    )} units.`,
    look.verdict.prediction && [" Prediction: ", mark(vocabulary.predictions[look.verdict.prediction])],
  ),
  result(flag, look),
];

/** @param {Told} flag */
const decisions = (flag) =>
  flag.decisions.length
    ? h(
        "ul",
        { class: "decisions" },
        flag.decisions
          .toReversed()
          .map((each) =>
            h(
              "li",
              null,
              mark(decidedAs(each)),
              " ",
              signed(each),
              each.reason && [": ", h("q", null, each.reason)],
              h("p", { class: "quiet" }, evidence(flag.key, each)),
            ),
          ),
      )
    : h("p", { class: "quiet" }, "Nothing has been decided yet.");
