// Plan: how far a flag's rollout by itself has come, what it waits for, and what a person can do about it.

/** @import { Awaited, Plan, PlanShown, PreviewedEnd, PreviewedStep, Said, Then, Told as Version } from "#api" */
/** @import { Kind } from "../flag/actions.js" */
/** @import { Told, Whole } from "../flag/definition.js" */
/** @import { Child } from "../dom.js" */

import { get, now, remove } from "../api.js";
import { fact, h } from "../dom.js";
import { action } from "../flag/actions.js";
import { askForChange } from "../parts/change.js";
import { duration } from "../parts/numbers.js";
import { vocabulary } from "../parts/vocabulary.js";
import { mark, sentence, warning } from "../parts/words.js";
import { zoned } from "../parts/zones.js";
import { may } from "../session/may.js";

const AUTHOR = "plan"; // signs so what it does by itself

/** What is done on harm, and where the split is broken. @type {Record<Whole<Plan>["on_harm"], string>} */
const ON_ALARM = { tell: "tell of it", pause: "pause the plan", "roll back": "roll back" };
/** What is done after the end. @type {Record<Whole<Then>["on_win"], string>} */
const ON_WIN = { tell: "tell of it", "roll out": "roll out the winner", complete: "complete the run" };
/** @type {Record<Whole<Then>["on_nothing"], string>} */
const ON_NOTHING = { tell: "tell of it", "roll back": "roll back", complete: "complete the run" };

/** A section for the plan of one flag, which `refresh` reads anew and `view` draws. */
export class PlanSection {
  /** @type {PlanShown | null} */
  #shown = null;
  /** @type {string | null} */
  #refusal = null; // why it cannot be told
  #asked = 0;
  #answered = 0; // the newest question that was answered

  /** @param {Kind} kind @param {string} key */
  constructor(kind, key) {
    this.kind = kind;
    this.path = `${kind}/${encodeURIComponent(key)}/plan`;
  }

  /** Read it, where there is one.
   * @param {{ plan?: Plan | null }} definition */
  async refresh({ plan }) {
    this.#asked += 1;
    const turn = this.#asked;
    /** @type {{ shown: PlanShown | null, refusal: string | null }} */
    const { shown, refusal } = plan ? await this.#read() : { shown: null, refusal: null };
    if (turn < this.#answered) return; // a later answer came first
    this.#answered = turn;
    this.#shown = shown;
    this.#refusal = refusal;
  }

  #read() {
    return get(this.path).then(
      (/** @type {PlanShown} */ shown) => ({ shown, refusal: null }),
      (error) => ({ shown: null, refusal: /** @type {string} */ (error.message) }),
    );
  }

  /** @param {Told} flag @param {Version[]} versions @param {() => void} done Reads what stands, after a change. */
  view(flag, versions, done) {
    const shown = this.#shown;
    const { plan } = flag.state.definition;
    const isOpen = flag.status !== "archived" && flag.status !== "deleted";
    return h(
      "section",
      { "aria-labelledby": "plan" },
      h(
        "div",
        { class: "head" },
        h("h2", { id: "plan" }, "Plan"),
        isOpen &&
          may("edit") &&
          h("div", { class: "actions", role: "group", "aria-label": "Plan" }, this.#buttons(flag, done)),
      ),
      plan && shown
        ? told(this.kind, flag, plan, shown, versions, done)
        : h("p", { class: "quiet" }, plan ? this.#refusal : "None: its percentages change by hand alone."),
    );
  }

  /** @param {Told} flag @param {() => void} done @returns {Child[]} */
  #buttons(flag, done) {
    const { plan } = flag.state.definition;
    const href = `#/edit/flag/${encodeURIComponent(flag.key)}?step=plan`;
    return [
      flag.plan && flag.plan.paused === null && action(this.kind, flag, "pause", done, onPause(flag)),
      h("a", { class: "button", id: "edit-plan", href }, plan ? "Change" : "Make a plan"),
      plan && h("button", { type: "button", id: "end-plan", onclick: () => this.#end(flag, done) }, "Remove …"),
    ];
  }

  /** @param {Told} flag @param {() => void} done */
  #end({ key, version, status }, done) {
    const stays = status === "running" ? " The percentages that are in force stay." : "";
    askForChange(
      { says: "Remove the plan", key, version, done, send: (said) => remove(this.path, said) },
      h("p", null, `Nothing is done by itself any more.${stays}`),
    );
  }
}

/** @param {Told} flag */
const onPause = ({ state }) =>
  state.definition.sticky
    ? "Everybody who has a variant keeps it, and nobody else gets one."
    : "It stops nobody: percentages stay as they are, for the flag is not sticky, and nobody can know who is new.";

/** @param {Kind} kind @param {Told} flag @param {Plan} plan @param {PlanShown} shown @param {Version[]} versions @param
 *   {() => void} done @returns {Child} */
function told(kind, flag, plan, shown, versions, done) {
  const { timezone, now: said, idle, on_harm, on_broken_split } = shown;
  const isOpen = shown.status === "running" || shown.status === "draft";
  const isExperiment = Object.keys(flag.metrics).length > 0;
  const overruled = flag.state.progress?.overruled ?? [];
  return [
    shown.paused ? paused(kind, flag, shown, versions, done) : goesOn(shown),
    isOpen && idle && h("p", null, mark(warning("Nobody acts by it")), `: ${idle}.`),
    said.alarms.length > 0 &&
      h(
        "ul",
        { class: "alarms" },
        said.alarms.map((each) => alarm(each, shown.paused !== null && shown.paused.why !== "edited")),
      ),
    !shown.paused && said.alarms.some(isHolding) && h("p", null, action(kind, flag, "resume", done)),
    h(
      "ol",
      { class: "plan" },
      shown.steps.map((step) => stepItem(step, shown, taker(step, flag, versions))),
      endItem(shown, isOpen, isExperiment),
    ),
    h(
      "dl",
      { class: "facts" },
      isExperiment && [fact("on harm", ON_ALARM[on_harm]), fact("on a broken split", ON_ALARM[on_broken_split])],
      plan.hours && fact("steps within", hours(plan.hours)),
      fact("times in", timezone),
      overruled.length > 0 && fact("overruled alarms", overruled.join(", ")),
    ),
  ];
}

/** Where it stands while nothing has paused it.
 * @param {PlanShown} shown */
function goesOn({ asks, now: { reason, blocks } }) {
  if (asks) return h("p", null, h("b", null, `It asks to ${asks} now`), `: ${reason}.`);
  return h("p", null, blocks.length > 0 && [mark(warning("Blocked")), ": "], `${sentence(reason)}.`);
}

/** That it is paused, since when, by whom and why, and the way on.
 * @param {Kind} kind @param {Told} flag @param {PlanShown} shown @param {Version[]} versions @param {() => void} done */
function paused(kind, flag, { paused: pause, timezone }, versions, done) {
  if (!pause) return null;
  const version = versions.find((each) => each.version === pause.version);
  const who = version && version.author !== AUTHOR ? version.author : "the plan itself";
  const why = {
    asked: `${who} asked for it`,
    edited: `${who} edited the flag`,
    harm: `harm, ${(pause.alarms ?? []).join(", ")}`,
    "broken split": "the split is broken",
  }[pause.why];
  const stands =
    pause.why === "edited" ? "No step is taken; alarms act all the same." : "Percentages stay as they are.";
  const holds = flag.plan?.holds ? "Everybody who has a variant keeps it, and nobody else gets one." : stands;
  const since = flag.plan?.paused ?? version?.append_time;
  return h(
    "p",
    { class: "paused" },
    mark({ sign: "‖", says: "Paused", tone: "warn" }),
    typeof since === "number" && [" since ", zoned(since, timezone)],
    `: ${why}`,
    version && [" (", versionLink(version), version.author !== AUTHOR && [", ", h("q", null, version.reason)], ")"],
    `. ${holds} `,
    vocabulary.steps.resume.includes(flag.status) && action(kind, flag, "resume", done),
  );
}

/** @typedef {Said["alarms"][number]} Alarm */

/** Whether no step is taken because of it, although the plan only tells of it.
 * @param {Alarm} alarm */
const isHolding = ({ act, is_overruled }) => act === "tell" && !is_overruled;

/** @param {Alarm} alarm @param {boolean} isPaused */
function alarm(alarm, isPaused) {
  const { name, text, act, is_overruled } = alarm;
  const follows = isHolding(alarm)
    ? "the plan only tells of it, and takes no further step until somebody resumes it"
    : `it asks to ${ON_ALARM[act]}`;
  return h(
    "li",
    { id: `alarm-${name}` },
    mark({ sign: "✘", says: "Alarm", tone: is_overruled ? "idle" : "bad" }),
    `: ${text}; `,
    is_overruled ? "overruled: somebody went on in spite of it" : isPaused ? "nothing is done while paused" : follows,
    ".",
  );
}

const STATES = /** @type {const} */ ({
  taken: { sign: "✔", says: "done", since: "; it began " },
  "in force": { sign: "●", says: "in force", since: " since " },
  ahead: { sign: "○", says: "ahead", since: "" },
  never: { sign: "–", says: "not taken", since: "" },
});

/** @param {PreviewedStep} step @param {PlanShown} shown @param {Version | undefined} version That took it. */
function stepItem({ step, rollout, segments, state, since, earliest, awaits }, { timezone, time }, version) {
  const { sign, says, since: when } = STATES[state];
  const began = since ?? version?.append_time;
  const of = Object.entries(segments);
  return h(
    "li",
    { id: `step-${step}`, class: state.replace(" ", "-"), "aria-current": state === "in force" ? "step" : null },
    h("span", { class: "sign", "aria-hidden": "true" }, sign),
    h(
      "div",
      null,
      h("b", null, `${rollout}%`),
      of.map(([name, percentage]) => ` · ${name} ${percentage}%`),
      h("progress", { max: 100, value: rollout, "aria-hidden": "true", tabindex: -1 }),
    ),
    h(
      "div",
      null,
      h("p", null, `Step ${step}, ${says}`, typeof began === "number" && [when, zoned(began, timezone)], by(version)),
      state === "ahead" && conditions(awaits, earliest, timezone, time),
    ),
  );
}

/** @param {PlanShown} shown @param {boolean} isOpen @param {boolean} isExperiment */
const endItem = ({ end, timezone, time }, isOpen, isExperiment) =>
  h(
    "li",
    { id: "plan-end" },
    h("span", { class: "sign", "aria-hidden": "true" }, "■"),
    h("div", null, h("b", null, "End")),
    h(
      "div",
      null,
      h("p", null, end.awaits.length || !isOpen ? after(end, isExperiment) : "None: the last step stays in force"),
      isOpen && end.awaits.length > 0 && conditions(end.awaits, end.earliest, timezone, time),
    ),
  );

/** What is done after the end.
 * @param {PreviewedEnd} end @param {boolean} isExperiment */
function after({ then }, isExperiment) {
  const nothing = ON_NOTHING[then.on_nothing ?? "tell"];
  return isExperiment
    ? `Where one has won: ${ON_WIN[then.on_win ?? "tell"]}; where none has: ${nothing}`
    : `Then: ${nothing}`;
}

/** What something waits for, and when it comes at the earliest.
 * @param {Awaited[]} awaits @param {number | null} earliest @param {string} timezone @param {number} time */
const conditions = (awaits, earliest, timezone, time) => [
  h(
    "p",
    { class: "quiet" },
    earliest === null
      ? "never, as it stands"
      : earliest > time
        ? ["at the earliest ", zoned(earliest, timezone), ` (in ${duration(earliest - now())})`]
        : "as soon as this holds",
  ),
  h(
    "ul",
    { class: "awaits" },
    awaits.map(({ text, holds }) =>
      h(
        "li",
        null,
        h("span", { class: `sign ${holds ? "good" : ""}`, "aria-hidden": "true" }, holds ? "✓" : "·"),
        h("span", { class: "unseen" }, holds ? "holds: " : "not yet: "),
        text,
      ),
    ),
  ),
];

/** The version that took a step in the newest run, as far as one did.
 * @param {PreviewedStep} step @param {Told} flag @param {Version[]} versions */
function taker({ step, state }, flag, versions) {
  const started = flag.state.runs?.at(-1)?.started ?? 0;
  if (state === "ahead" || state === "never") return undefined;
  return versions.findLast(
    ({ version, changed }) => version >= started && changed.some((each) => each.startsWith(`step ${step} of `)),
  );
}

/** @param {Version | undefined} version @returns {Child} */
const by = (version) =>
  version && [version.author === AUTHOR ? ", by the plan (" : `, by ${version.author} (`, versionLink(version), ")"];

/** @param {Version} version */
const versionLink = ({ version }) =>
  h(
    "a",
    {
      href: location.hash,
      onclick: (event) => {
        event.preventDefault();
        const item = document.getElementById(`version-${version}`);
        item?.scrollIntoView();
        item?.focus();
      },
    },
    `version ${version}`,
  );

/** @param {NonNullable<Plan["hours"]>} hours */
const hours = ({ days = [], between }) => [days.join(", "), between].filter(Boolean).join(" ");
