// Scorecard: each metric's comparison with control, by what it means to the experiment.

/** @import { Look } from "#api" */
/** @import { Definition, Told } from "../flag/definition.js" */
/** @import { Choice, Choose, Reading } from "./choice.js" */

import { fact, h } from "../dom.js";
import { term } from "../parts/meanings.js";
import { moment, share } from "../parts/numbers.js";
import { addressOf } from "../parts/route.js";
import { vocabulary } from "../parts/vocabulary.js";
import { READINGS } from "./choice.js";
import { body, shown, table } from "./comparisons.js";
import { faultOf } from "./datafaults.js";
import { Drawer } from "./drawer.js";
import { isBroken } from "./health.js";

/** @typedef {Definition["metrics"][number]} Goal */

/** @param {Told} flag @param {Look} look @param {Choice} choice @param {Choose} choose */
export const scorecard = (flag, look, choice, choose) =>
  h(
    "section",
    { "aria-labelledby": "scorecard" },
    h("div", { class: "head" }, h("h2", { id: "scorecard" }, "Scorecard"), views(choice, choose)),
    isBroken(look.health) &&
      h("p", { class: "refusal" }, "The split is broken: believe none of these numbers before its cause is found."),
    table(
      "metric",
      flag,
      choice,
      /** @type {Goal["role"][]} */ (Object.keys(vocabulary.goal_roles)).map((role) =>
        bodyOf(role, flag, look, choice, choose),
      ),
    ),
    legend(),
  );

/** @param {Goal["role"]} role @param {Told} flag @param {Look} look @param {Choice} choice @param {Choose} choose */
function bodyOf(role, flag, look, choice, choose) {
  const { sign, says } = vocabulary.goal_roles[role];
  const everybody = look.cells.filter((cell) => cell.segment === vocabulary.everyone);
  const head = [sign && h("span", { class: "sign", "aria-hidden": "true" }, sign), term(role, says)];
  const goals = flag.definition.metrics.filter((goal) => goal.role === role);
  const rows = goals.flatMap((goal) =>
    shown(
      everybody.filter((cell) => cell.metric === goal.metric),
      choice.reading,
    ).map((cell, at, cells) => ({
      cell,
      id: `cell-${cell.metric}-${cell.variant}`,
      head: [
        cell.metric,
        faulty(look, cell.metric),
        at === 0 && [
          notes(flag, goal, cell.since),
          handle(cell.metric, choice, choose),
          explore(flag, look, cell.metric),
        ],
      ],
      note: noted(goal),
      drawer: at === cells.length - 1 && choice.drawer === cell.metric && drawer(flag, look, cell.metric),
    })),
  );
  return rows.length > 0 && body(flag, choice, head, rows);
}

/** What opens and closes the drawer of a metric.
 * @param {string} metric @param {Choice} choice @param {Choose} choose */
function handle(metric, choice, choose) {
  const isOpen = choice.drawer === metric;
  return h(
    "button",
    {
      type: "button",
      class: "handle",
      "aria-expanded": String(isOpen),
      onclick: () => choose({ drawer: isOpen ? null : metric }),
    },
    h("span", { "aria-hidden": "true" }, isOpen ? "▾ " : "▸ "),
    `what is behind ${metric}`,
  );
}

/** What leads to questions about a metric.
 * @param {Told} flag @param {Look} look @param {string} metric */
const explore = ({ key }, { run }, metric) =>
  h(
    "a",
    { class: "handle", href: addressOf({ at: "explore", of: [key], query: new URLSearchParams({ run, metric }) }) },
    h("span", { "aria-hidden": "true" }, "⌕ "),
    `explore ${metric}`,
  );

/** @param {Told} flag @param {Look} look @param {string} metric */
const drawer = ({ key, conversions }, { run }, metric) =>
  h(Drawer, { path: `experiments/${encodeURIComponent(key)}`, metric, run, asShare: conversions.includes(metric) });

/** @param {Look} look @param {string} metric */
function faulty(look, metric) {
  const fault = faultOf(look, metric);
  return fault && h("small", { class: "warn" }, `! ${fault}`);
}

/** One metric's comparison within each segment, under that of everybody.
 * @param {Told} flag @param {Look} look @param {string} metric @param {Choice} choice */
export function segmentTable(flag, look, metric, choice) {
  const cells = shown(
    look.cells.filter((cell) => cell.metric === metric),
    choice.reading,
  );
  const rows = cells.map((cell) => ({
    cell,
    id: `segment-${cell.segment}-${cell.variant}`,
    head: cell.segment === vocabulary.everyone ? "everybody" : cell.segment,
  }));
  return table("segment", flag, choice, body(flag, choice, metric, rows));
}

/** @param {Choice} choice @param {Choose} choose */
const views = (choice, choose) =>
  h(
    "div",
    { class: "choices" },
    h(
      "span",
      null,
      term("reading", "Reading"),
      " ",
      h(
        "select",
        {
          id: "reading",
          "aria-label": "Reading",
          onchange: ({ target }) => choose({ reading: /** @type {Reading} */ (target.value) }),
        },
        Object.entries(READINGS).map(([value, text]) =>
          h("option", { value, selected: value === choice.reading }, text),
        ),
      ),
    ),
    h(
      "label",
      null,
      h("input", {
        id: "absolute",
        type: "checkbox",
        checked: choice.absolute,
        onchange: ({ target }) => choose({ absolute: target.checked }),
      }),
      " absolute differences",
    ),
  );

const legend = () =>
  h(
    "p",
    { class: "quiet legend" },
    h("b", null, "Thick"),
    " is what all looks so far say together, filled once it is decided; ",
    h("b", null, "thin"),
    " this look alone; ",
    h("b", null, "●"),
    " the estimate; ",
    h("b", null, "dashed"),
    " the prediction or the margin. ",
    term("settled", "Settled"),
    " decides, ",
    term("live", "live"),
    " is to watch.",
  );

/** What is to be measured, as long as no look has.
 * @param {Told} flag */
export const toBeMeasured = (flag) =>
  h(
    "section",
    { "aria-labelledby": "measured" },
    h("h2", { id: "measured" }, "To be measured"),
    h(
      "dl",
      { class: "prose" },
      flag.definition.metrics.map((goal) =>
        fact(term(goal.role, vocabulary.goal_roles[goal.role].says), [goal.metric, notes(flag, goal)]),
      ),
    ),
  );

/** The lift of note on a goal's bar: what is predicted, or what a guardrail may lose.
 * @param {Goal} goal */
function noted({ direction, minimum_effect: effect, margin, role }) {
  const sign = direction === "increase" ? 1 : -1;
  return role === "guardrail" ? margin && -sign * margin : effect && sign * effect;
}

/** What there is to know of a goal and its metric, of which units since a moment may be counted.
 * @param {Told} flag @param {Goal} goal @param {number | null} since */
function notes(flag, goal, since = null) {
  const metric = flag.metrics[goal.metric];
  const said = [
    `wants ${goal.direction === "decrease" ? "less" : "more"}`,
    goal.minimum_effect && `predicts ${share(goal.minimum_effect, 0)} or more`,
    goal.margin && `margin ${share(goal.margin, 0)}`,
    metric?.window && (metric.window === "none" ? "no window" : `window ${metric.window}`),
    metric?.cap && `cap ${metric.cap}`,
    metric?.cuped && flag.definition.analysis.cuped && "CUPED",
    flag.definition.analysis.strata && `within ${flag.definition.analysis.strata}`,
    since && `only who entered since ${moment(since)}`,
  ].filter(Boolean);
  return [h("small", null, metric?.name), h("small", null, said.join(" · "))];
}
