// Experiment: its verdict, whether it can be believed, what each metric says, and how the numbers can be made again.

import { actions } from "./actions.js";
import { get, getDocument, now, save } from "./api.js";
import { h } from "./dom.js";
import { atHome, audience, problem, stateWords, whoGetsWhat } from "./flag.js";
import { histories } from "./histories.js";
import { count, duration, moment, pValue, share } from "./numbers.js";
import { plan, scorecard, segmentTable, shown } from "./scorecard.js";
import { versionsOf } from "./versions.js";
import { DECISIONS, FIXED, mark, term, waiting } from "./words.js";

// What a look does not say.
const ANALYSIS = { method: "sequential", alpha: 0.05, guardrail_alpha: 0.05, correction: "bonferroni", sided: "two" };
const BROKEN_SPLIT = 0.01; // the level of the sequential test of the split

export function experimentPage(key, { redraw, say }) {
  const path = `experiments/${encodeURIComponent(key)}`;
  const versions = versionsOf("experiments", key, redraw);
  const lines = histories(path, redraw);
  const choice = { run: null, reading: "deciding", absolute: false, metric: null, segmented: null };
  const looks = new Map(); // run -> its newest look
  let flag = null;
  let past = null; // the look that a person went back to
  let wanted = null; // the number and the address of the one that was asked for; null: the newest, or it is here
  let isReading = false;
  let refusal = null; // why it cannot be had
  let unsaved = null; // why a file cannot be had

  const run = () => choice.run ?? flag.run;
  const newest = () => looks.get(run());

  async function refresh() {
    const [told] = await Promise.all([getDocument(`overview/${encodeURIComponent(key)}`), versions.refresh()]);
    await atHome("experiments", told);
    if (flag && flag.run !== told.run) choice.run = past = null; // another run began: that one is looked at
    flag = told;
  }

  function take(look) {
    const before = looks.get(look.run);
    looks.set(look.run, look);
    lines.take(look);
    if (!before || look.run !== run()) return;
    if (before.verdict.decision !== look.verdict.decision)
      say(`Verdict: ${look.verdict.decision}. ${look.verdict.reason}`);
    if (before.catalog_version !== look.catalog_version) again();
  }

  /** Show a look. One is read at a time; of those that a slider passes meanwhile, the last one is read next. */
  async function goTo(number) {
    wanted = number < newest().look ? { number, address: `${path}/results/looks/${number}?run=${run()}` } : null;
    if (!wanted) past = refusal = null;
    redraw();
    if (isReading) return;
    isReading = true;
    while (wanted) {
      const asked = wanted;
      const read = await get(asked.address).then(
        (look) => [look, null],
        (error) => [null, error.message],
      );
      if (wanted) [past, refusal] = read;
      if (wanted === asked) wanted = null;
      redraw();
    }
    isReading = false;
  }

  async function download(what, name) {
    unsaved = await save(`${path}/results${what}`, name).then(
      () => null,
      (error) => error.message,
    );
    redraw();
  }

  const again = () => refresh().then(redraw, () => {}); // what fails now comes with the next refresh

  const chosen = (name) => (event) => {
    const { value, checked, type } = event.target;
    choice[name] = type === "checkbox" ? checked : value;
    redraw();
  };

  return {
    stream: `results/stream?experiment=${encodeURIComponent(key)}`,
    title: () => `${(newest() ? DECISIONS[newest().verdict.decision] : waiting(flag)).sign} ${key} – Peekproof`,
    refresh,
    take,
    view() {
      const look = past?.run === run() ? past : newest();
      const { definition } = flag.state;
      return [
        h("nav", { class: "path", "aria-label": "Path" }, h("a", { href: "#/" }, "Experiments and flags")),
        h("div", { class: "head" }, h("h1", null, definition.name ?? key), actions("experiments", flag, again)),
        standing(flag),
        verdict(flag, look),
        timeline(flag, look, newest(), run(), wanted?.number, goTo, chosen("run")),
        refusal && h("p", { class: "quiet", role: "alert" }, refusal),
        hypothesis(definition, look),
        look ? health(look) : plan(flag),
        look && [
          h(
            "section",
            { "aria-labelledby": "scorecard" },
            h("div", { class: "head" }, h("h2", { id: "scorecard" }, "Scorecard"), views(choice, chosen)),
            isBroken(look.health) &&
              h("p", { class: "refusal" }, "The split is broken: believe none of these numbers before its cause is found."),
            scorecard(flag, look, choice),
          ),
          lines.view(flag, look, choice, chosen),
          segments(flag, look, choice, chosen),
        ],
        whoGetsWhat(flag, look),
        audience(definition),
        versions.view(),
        look && reproducibility(look, download, unsaved),
      ];
    },
    drawn: () => lines.draw(),
  };
}

function standing(flag) {
  const { definition } = flag.state;
  const planned = definition.end && flag.started && `of ${duration(Date.parse(definition.end) - flag.started)} planned`;
  const ran =
    flag.started &&
    (flag.completed ? ` ran ${duration(flag.completed - flag.started)}` : ` for ${duration(now() - flag.started)}`);
  return h(
    "p",
    { class: "quiet" },
    h("code", null, flag.key),
    ` · ${stateWords(flag)}`,
    ran && [
      " · ",
      term("run", flag.run),
      `${ran}${planned ? ` ${planned}` : ""}, since ${moment(flag.started)} UTC`,
    ],
    ` · owner ${flag.owner}`,
    flag.tags.length > 0 && ` · ${flag.tags.join(", ")}`,
    flag.overdue &&
      h("span", { class: "mark warn" }, " ", h("span", { class: "sign", "aria-hidden": "true" }, "!"), flag.overdue),
    problem(flag),
  );
}

function verdict(flag, look) {
  if (!look) {
    const why = flag.status === "draft" ? "Nobody meets it yet." : flag.awaited;
    return h(
      "section",
      { class: "decision idle", "aria-label": "Verdict" },
      h("p", { class: "decided" }, mark(waiting(flag))),
      h("p", { class: "reason" }, why),
    );
  }
  const decision = DECISIONS[look.verdict.decision];
  return h(
    "section",
    { class: `decision ${decision.tone}`, "aria-label": "Verdict" },
    h(
      "p",
      { class: "decided" },
      mark(decision),
      " ",
      term(`verdict-${look.analysis.method ?? ANALYSIS.method}`, "what it rests on"),
    ),
    h("p", { class: "reason" }, look.verdict.reason),
    progress(flag, look),
  );
}

/** How far the planned sample has come, of the comparison that decides. */
function progress(flag, look) {
  const primary = flag.state.definition.metrics.find((goal) => goal.role === "primary");
  const [cell] = shown(
    look.cells.filter((each) => each.metric === primary?.metric && each.segment === "all"),
    "settled",
  );
  if (!cell?.planned_units || cell.method === "bayesian") return null;
  const units = cell.n + cell.control_n;
  return h(
    "p",
    { class: "quiet" },
    h("progress", {
      max: cell.planned_units,
      value: Math.min(units, cell.planned_units),
      "aria-label": "Of the planned sample",
    }),
    ` ${count(units)} ${cell.reading} units; `,
    FIXED.includes(cell.method)
      ? `the test is read at ${count(cell.planned_units)}`
      : ["the test is ", term("tuned", `tuned to ${count(cell.planned_units)}`)],
  );
}

/** Which run and which of its looks are shown, and how old that is; the slider stands at the one that is `wanted`. */
function timeline(flag, look, newest, run, wanted, goTo, chosen) {
  const runs = flag.state.runs ?? [];
  return h(
    "div",
    { class: "timeline", role: "group", "aria-label": "Looks" },
    runs.length > 1 &&
      h(
        "label",
        null,
        "Run ",
        h(
          "select",
          { id: "run", onchange: chosen },
          runs.map((each) => h("option", { value: each.key, selected: each.key === run }, each.key)),
        ),
      ),
    look && [
      h("label", { for: "looks" }, term("look", "Look"), ` ${count(look.look)} of ${count(newest.look)}`),
      h("input", {
        id: "looks",
        type: "range",
        min: 1,
        max: newest.look,
        value: wanted ?? look.look,
        oninput: (event) => goTo(Number(event.target.value)),
      }),
      h("span", null, term("asof", "as of"), ` ${moment(look.time)} UTC`),
      look === newest
        ? h("span", null, term("freshness", look.final ? "final" : `${duration(now() - look.time)} old`))
        : h("button", { type: "button", onclick: () => goTo(newest.look) }, "Back to the newest"),
    ],
  );
}

function hypothesis({ hypothesis: said, description }, look) {
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
        h("div", null, h("dt", null, "Problem"), h("dd", null, said.problem)),
        h("div", null, h("dt", null, "Solution"), h("dd", null, said.solution)),
        h(
          "div",
          null,
          h("dt", null, term("prediction", "Prediction")),
          h("dd", null, said.prediction, state && [" ", mark(PREDICTIONS[state])]),
        ),
      ),
  );
}

const PREDICTIONS = {
  hit: { sign: "✔", says: "hit", tone: "good" },
  missed: { sign: "✘", says: "missed", tone: "bad" },
  open: { sign: "…", says: "still open", tone: "open" },
};

const isBroken = ({ srm_running_p_value: p }) => p !== null && p < BROKEN_SPLIT;

/** Of the first metric that has one, a value that is of no use, or is rounded. */
function example(losses, kind) {
  const its = losses?.find((loss) => typeof loss[kind] === "string");
  return its && `${its.metric}: ${its[kind] || "missing"}`;
}

function health({ health: told }) {
  const units = told.arms.reduce((sum, arm) => sum + arm.units, 0);
  const split = isBroken(told)
    ? { sign: "✘", says: "broken", tone: "bad" }
    : { sign: "✔", says: "as promised", tone: "good" };
  const facts = [
    ...(told.full_lookback === undefined ? [] : [["lookback", "full lookback", told.full_lookback, "of units", share]]),
    ["jumpers", "jumpers", told.jumpers, told.jumpers > 0 && share(told.jumpers / (units + told.jumpers), 2)],
    ["late", "late exposures", told.late_exposures],
    ["late", "late events", told.late_events],
    ["duplicates", "duplicates", told.duplicate_events],
    ["ids", "reused ids", told.duplicate_ids],
    ["unusable", "unusable", told.unusable_events, example(told.losses, "example")],
    ...(example(told.losses, "rounded") ? [["rounded", "rounded", example(told.losses, "rounded"), null, String]] : []),
    ["withheld", "withheld", told.withheld_units],
    ...(told.crowded_units ? [["crowded", "crowded", told.crowded_units]] : []),
    ["reassigned", "reassigned", told.reassigned],
    ["forced", "forced", told.forced],
    ["inactive", "inactive", told.inactive],
  ];
  return h(
    "section",
    { "aria-labelledby": "health" },
    h("h2", { id: "health" }, "Health"),
    h(
      "dl",
      { class: "facts health" },
      h(
        "div",
        { class: "split" },
        h("dt", null, term("split", "split")),
        h(
          "dd",
          null,
          units ? mark(split) : "–",
          ` p ${pValue(told.srm_running_p_value)}`,
          h(
            "small",
            null,
            told.arms
              .map(
                (arm) =>
                  `${arm.variant} ${count(arm.units)} (${units ? share(arm.units / units, 2) : "–"}, promised ${share(arm.expected_share)})`,
              )
              .join(" · "),
          ),
        ),
      ),
      h("div", null, h("dt", null, term("exposures", "exposures")), h("dd", null, count(told.exposures))),
      h("div", null, h("dt", null, term("counted", "counted events")), h("dd", null, count(told.counted_events))),
      facts.map(([name, text, number, also, says = count]) =>
        h(
          "div",
          { class: number ? null : "zero" },
          h("dt", null, term(name, text)),
          h("dd", null, says(number), also && h("small", null, ` ${also}`)),
        ),
      ),
    ),
  );
}

const views = (choice, chosen) =>
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
        { id: "reading", "aria-label": "Reading", onchange: chosen("reading") },
        ["deciding", "settled", "live"].map((each) =>
          h("option", { value: each, selected: each === choice.reading }, each),
        ),
      ),
    ),
    h(
      "label",
      null,
      h("input", { id: "absolute", type: "checkbox", checked: choice.absolute, onchange: chosen("absolute") }),
      " absolute differences",
    ),
  );

function segments(flag, look, choice, chosen) {
  const found = look.cells.filter((cell) => cell.segment !== "all");
  if (!found.length) return null;
  const metrics = [...new Set(found.map((cell) => cell.metric))];
  const metric = choice.segmented ?? metrics[0];
  return h(
    "section",
    { "aria-labelledby": "segments" },
    h(
      "div",
      { class: "head" },
      h("h2", { id: "segments" }, term("segments", "Segments")),
      h(
        "label",
        null,
        "Metric ",
        h(
          "select",
          { id: "segmented", onchange: chosen("segmented") },
          metrics.map((each) => h("option", { value: each, selected: each === metric }, each)),
        ),
      ),
    ),
    segmentTable(flag, look, metric, choice),
  );
}

function reproducibility(look, download, unsaved) {
  const name = `${look.experiment}-${look.run}-${look.look}`;
  const offsets = Object.entries(look.offsets).sort(([one], [other]) => one - other);
  const settings = Object.entries({ ...ANALYSIS, ...look.analysis });
  return h(
    "section",
    { "aria-labelledby": "again", class: "again" },
    h(
      "div",
      { class: "head" },
      h("h2", { id: "again" }, "Make these numbers again"),
      h(
        "div",
        { class: "actions" },
        h("button", { type: "button", onclick: () => download(`.csv?run=${look.run}&look=${look.look}`, `${name}.csv`) }, "CSV"),
        h(
          "button",
          {
            type: "button",
            onclick: () => download(`/looks/${look.look}?run=${look.run}`, `${name}.json`),
          },
          "JSON",
        ),
      ),
    ),
    unsaved && h("p", { class: "refusal", role: "alert" }, unsaved),
    h(
      "dl",
      { class: "facts" },
      [
        [term("run", "run"), `${look.experiment}/${look.run}`],
        [term("look", "look"), count(look.look)],
        [term("revision", "revision"), count(look.revision)],
        [term("catalog", "catalog version"), count(look.catalog_version)],
        [term("asof", "as of"), `${moment(look.time)} UTC`],
        [
          term("offsets", "offsets"),
          offsets.map(([partition, offset]) => `${partition}: ${count(offset)}`).join(" · "),
        ],
        [
          term("analysis", "analysis"),
          settings
            .map(
              ([name, value]) =>
                `${name.replaceAll("_", " ")} ${typeof value === "object" ? JSON.stringify(value) : value}`,
            )
            .join(" · "),
        ],
      ].map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))),
    ),
    h(
      "p",
      null,
      "The same records give the same bytes: ",
      h("code", null, "peekproof replay"),
      " folds the archived log again up to these offsets and compares every published look, byte for byte.",
    ),
  );
}
