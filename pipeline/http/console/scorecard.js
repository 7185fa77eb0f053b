// Scorecard: each metric's comparison with control, by what it means to the experiment.

import { axis, bar, scaleOf } from "./bars.js";
import { h } from "./dom.js";
import { count, difference, interval, lift, mean, moment, pValue, share } from "./numbers.js";
import { CAVEATS, FIXED, JUDGEMENTS, METHODS, ROLES, mark, standing, term, told } from "./words.js";

const CONVERSIONS = ["conversion", "retention"];

/** Whether a metric's mean is a share of units. */
export const isShare = (metric) =>
  CONVERSIONS.includes(metric?.type) || (metric?.type === "funnel" && (metric.counting ?? "uniques") === "uniques");

/** The cell of each metric and variant on which a person should look: settled once it can be tested, before that live. */
export function shown(cells, reading) {
  const chosen = new Map();
  for (const cell of cells) {
    const name = `${cell.metric} ${cell.variant} ${cell.segment}`;
    const other = chosen.get(name);
    if (!other || prefers(cell, other, reading)) chosen.set(name, cell);
  }
  return [...chosen.values()].map(told);
}

function prefers(cell, other, reading) {
  if (reading !== "deciding") return cell.reading === reading;
  const settled = cell.reading === "settled" ? cell : other;
  return cell.reading === (["gated", "no data"].includes(settled.status) ? "live" : "settled");
}

/** The table of all metrics; `choice` is what a person chose to see: `reading` and whether differences are `absolute`. */
export function scorecard(flag, look, choice) {
  const goals = flag.state.definition.metrics;
  const everybody = look.cells.filter((cell) => cell.segment === "all");
  const bodies = Object.entries(ROLES).map(([role, [sign, name]]) => {
    const its = goals.filter((goal) => (goal.role ?? "secondary") === role);
    const head = [sign && h("span", { class: "sign", "aria-hidden": "true" }, sign), term(role, name)];
    const rows = its.flatMap((goal) =>
      shown(
        everybody.filter((cell) => cell.metric === goal.metric),
        choice.reading,
      ).map((cell, at) => [
        cell,
        `cell-${cell.metric}-${cell.variant}`,
        [cell.metric, at === 0 && notes(flag, goal, cell)],
        noted(goal),
      ]),
    );
    return rows.length > 0 && body(flag, choice, head, rows);
  });
  return [table("metric", flag, choice, bodies), legend()];
}

/** One metric's comparison within each segment, under that of everybody. */
export function segmentTable(flag, look, metric, choice) {
  const cells = shown(
    look.cells.filter((cell) => cell.metric === metric),
    choice.reading,
  );
  const rows = cells.map((cell) => [
    cell,
    `segment-${cell.segment}-${cell.variant}`,
    cell.segment === "all" ? "everybody" : cell.segment,
  ]);
  return table("segment", flag, choice, body(flag, choice, metric, rows));
}

/** Rows `[cell, id, head, mark]` under one head, and one scale. */
function body(flag, choice, head, rows) {
  const scale = scaleOf(
    rows.flatMap(([cell, , , mark]) => [cell.running_relative_lower, cell.running_relative_upper, mark]),
  );
  const several = flag.variants.length > 2;
  return h(
    "tbody",
    null,
    h(
      "tr",
      { class: "group" },
      h("th", { colspan: several ? 4 : 3, scope: "rowgroup" }, head),
      h("td", { class: "bar" }, axis(scale)),
      h("td", { colspan: 3 }),
    ),
    rows.map(([cell, id, of, mark]) => row(flag, choice, several, scale, cell, id, of, mark)),
  );
}

function row(flag, choice, several, scale, cell, id, head, mark) {
  const asShare = isShare(flag.metrics[cell.metric]);
  return h(
    "tr",
    { id },
    h("th", { scope: "row" }, head),
    several && h("td", { "data-name": "variant" }, cell.variant),
    arm(cell.control_mean, cell.control_nonzero, cell.control_n, asShare, flag.control),
    arm(cell.mean, cell.nonzero, cell.n, asShare, cell.variant),
    h(
      "td",
      { class: "bar" },
      cell.status === "ok"
        ? bar(cell, scale, JUDGEMENTS[cell.judgement]?.tone ?? "open", mark)
        : h("small", { class: "warn" }, `! ${standing(cell)}`),
    ),
    size(cell, asShare, choice),
    h("td", { class: "number", "data-name": cell.chance === null ? "p" : "chance" }, certainty(cell)),
    h("td", { class: "judged" }, judged(cell)),
  );
}

function table(of, flag, { absolute }, bodies) {
  const several = flag.variants.length > 2;
  const head = (name, kind) => h("th", { scope: "col", class: kind }, name);
  const treatment = flag.variants.find((each) => each !== flag.control);
  const { method = "sequential" } = flag.state.definition.analysis ?? {};
  return h(
    "div",
    { class: "wide", tabindex: 0, role: "group", "aria-label": `Comparisons by ${of}` },
    h(
      "table",
      { class: "scorecard" },
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          head(of),
          several && head("variant"),
          head(flag.control, "number"),
          head(several ? "treatment" : treatment, "number"),
          head("0 is no difference", "bar"),
          head(
            [
              absolute ? term("difference", "difference") : term("lift", "lift"),
              ", ",
              term(`interval-${method}`, "interval"),
            ],
            "number",
          ),
          head(method === "bayesian" ? term("chance", "chance") : term(`p-${method}`, "p"), "number"),
          head(term("judgement", "judgement")),
        ),
      ),
      bodies,
    ),
  );
}

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

/** What is to be measured, as long as no look has. */
export const plan = (flag) =>
  h(
    "section",
    { "aria-labelledby": "plan" },
    h("h2", { id: "plan" }, "To be measured"),
    h(
      "dl",
      { class: "prose" },
      flag.state.definition.metrics.map(({ role = "secondary", ...goal }) =>
        h(
          "div",
          null,
          h("dt", null, term(role, ROLES[role][1])),
          h("dd", null, goal.metric, notes(flag, goal, { metric: goal.metric })),
        ),
      ),
    ),
  );

/** The lift of note on a goal's bar: what is predicted, or what a guardrail may lose. */
function noted({ direction = "increase", minimum_effect: effect, margin, role }) {
  const sign = direction === "increase" ? 1 : -1;
  return role === "guardrail" ? margin && -sign * margin : effect && sign * effect;
}

/** What there is to know of a metric and its goal. */
function notes(flag, goal, cell) {
  const metric = flag.metrics[cell.metric];
  const said = [
    `wants ${goal.direction === "decrease" ? "less" : "more"}`,
    goal.minimum_effect && `predicts ${share(goal.minimum_effect, 0)} or more`,
    goal.margin && `margin ${share(goal.margin, 0)}`,
    metric?.window && (metric.window === "none" ? "no window" : `window ${metric.window}`),
    metric?.cap && `cap ${metric.cap}`,
    metric?.cuped && flag.state.definition.analysis?.cuped && "CUPED",
    cell.since && `only who entered since ${moment(cell.since)} UTC`,
  ].filter(Boolean);
  return [h("small", null, metric?.name), h("small", null, said.join(" · "))];
}

const arm = (value, nonzero, n, asShare, name) =>
  h(
    "td",
    { class: "number", "data-name": name },
    mean(value, asShare),
    h("small", null, asShare ? `${count(nonzero)} of ${count(n)}` : `${count(n)} units`),
  );

function size(cell, asShare, { absolute }) {
  const write = absolute ? (value) => difference(value, asShare) : lift;
  const [estimate, low, high] = absolute
    ? [cell.estimate, cell.running_lower, cell.running_upper]
    : [cell.relative_estimate, cell.running_relative_lower, cell.running_relative_upper];
  const why =
    FIXED.includes(cell.method) && cell.running_p_value === null
      ? `read at ${count(cell.planned_units)} units`
      : absolute && cell.method === "exact"
        ? "its interval is of the lift"
        : "too wide yet";
  return h(
    "td",
    { class: "number", "data-name": absolute ? "difference" : "lift" },
    write(estimate),
    cell.status === "ok" && h("small", null, low === null && high === null ? why : interval(low, high, write)),
  );
}

function certainty(cell) {
  const method = h("small", null, METHODS[cell.method]);
  if (cell.chance !== null) return [share(cell.chance), method];
  const adjusted = cell.adjusted_p_value;
  const differs = adjusted !== null && adjusted !== cell.running_p_value;
  return [pValue(cell.running_p_value), method, differs && h("small", null, `adjusted ${pValue(adjusted)}`)];
}

function judged(cell) {
  // An exact test shows harm at any time; that there is none to come, only settled units could show.
  const caveat = cell.caveat ?? (cell.reading === "live" && cell.judgement === "safe" ? "open windows" : null);
  return [
    cell.judgement ? mark(JUDGEMENTS[cell.judgement]) : h("span", { class: "quiet" }, "to watch"),
    h("small", null, term(cell.reading, cell.reading)),
    caveat && cell.status === "ok" && h("small", { class: "warn" }, `! ${CAVEATS[caveat]}`),
    cell.running_empty &&
      h("small", { class: "warn" }, "! intervals of different looks exclude each other: the effect has moved"),
  ];
}
