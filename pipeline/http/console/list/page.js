// List: every experiment and every flag, where it stands, and what its newest look says.

/** @import { Glance, Listed, Look, Overview } from "#api" */
/** @import { Page, Surroundings } from "../main.js" */
/** @import { Route } from "../parts/route.js" */

import { get, now, setClock } from "../api.js";
import { NewLinks } from "../authoring/links.js";
import { fact, h } from "../dom.js";
import { term, titled } from "../parts/meanings.js";
import { asOf, count, duration, moment } from "../parts/numbers.js";
import { addressOf } from "../parts/route.js";
import { matches, search } from "../parts/search.js";
import { vocabulary } from "../parts/vocabulary.js";
import { decisionOn, mark, warning } from "../parts/words.js";
import { may } from "../session/may.js";

/** @typedef {Omit<Listed, "look"> & { look: Omit<Glance, "published"> | null }} Row */

/** What the first one wants, by kind. */
const FIRST = {
  experiment: [
    "Programs ask with the key of ",
    h("a", { href: "#/deployments" }, "a deployment"),
    ", and ",
    h("a", { href: "#/metrics" }, "a metric"),
    " tells whether the change is worth it: make these two, and then ",
    h("a", { href: "#/new/experiment" }, "an experiment"),
    ".",
  ],
  flag: [
    h("a", { href: "#/new/flag" }, "A flag"),
    " switches something on or off, for all or for some, and compares nothing.",
  ],
};

/** @implements {Page} */
export class ListPage {
  stream = "results/stream";
  title = "Peekproof";
  /** @type {Row[]} */
  #flags = [];
  #words = "";
  #state = "";

  /** @param {Route} route @param {Surroundings} surroundings */
  constructor({ query }, { redraw, say }) {
    this.#words = query.get("text") ?? "";
    this.#state = query.get("state") ?? "";
    this.redraw = redraw;
    this.say = say;
  }

  get address() {
    const query = { ...(this.#words && { text: this.#words }), ...(this.#state && { state: this.#state }) };
    return addressOf({ at: "", of: [], query: new URLSearchParams(query) });
  }

  async refresh() {
    /** @type {Overview} */
    const { time, flags } = await get("overview");
    setClock(time);
    this.#flags = flags;
  }

  /** @param {Look} look */
  take(look) {
    const flag = this.#flags.find((each) => each.key === look.experiment);
    if (!flag || flag.run !== look.run) return;
    const before = flag.look?.verdict.decision;
    const units = look.health.arms.reduce((sum, arm) => sum + arm.units, 0);
    flag.look = { ...look, units };
    if (before !== look.verdict.decision) this.say(`${flag.key}: ${look.verdict.decision}`);
  }

  view() {
    const shown = this.#flags.filter((flag) => this.#matches(flag));
    const experiments = shown.filter((flag) => flag.metrics.length).sort(byUrgency);
    const plain = shown.filter((flag) => !flag.metrics.length);
    return [
      h(
        "div",
        { class: "head" },
        h("h1", null, "Experiments and flags"),
        h(NewLinks, { whats: ["experiment", "flag"] }),
      ),
      search(
        {
          label: "Search by key, name, owner, tag or metric",
          text: this.#words,
          take: (words) => {
            this.#words = words;
            this.redraw();
          },
        },
        h(
          "div",
          { class: "choices", role: "group", "aria-label": "State" },
          ["", ...vocabulary.states].map((each) => this.#choice(each)),
        ),
      ),
      h("h2", null, "Experiments"),
      experiments.length
        ? h("ul", { class: "rows experiments" }, experiments.map(experimentRow))
        : this.#nothing("experiment", (flag) => flag.metrics.length > 0),
      h("h2", null, "Flags"),
      plain.length
        ? h("ul", { class: "rows flags" }, plain.map(flagRow))
        : this.#nothing("flag", (flag) => !flag.metrics.length),
    ];
  }

  /** @param {Row} flag */
  #matches({ status, key, name, owner, tags, metrics }) {
    const isOfState = !this.#state || status === this.#state;
    return isOfState && matches(this.#words, [key, name, owner, ...tags, ...metrics]);
  }

  /** Why none is shown: there is none, or none that is searched for.
   * @param {keyof typeof FIRST} kind @param {(flag: Row) => boolean} isOne */
  #nothing(kind, isOne) {
    if (this.#flags.some(isOne)) return h("p", { class: "quiet" }, `No ${kind} matches.`);
    return h(
      "p",
      { class: "quiet" },
      `There are no ${kind}s yet. `,
      may("edit") ? FIRST[kind] : "An experimenter makes them.",
    );
  }

  /** @param {string} state None: all of them. */
  #choice(state) {
    const number = state ? this.#flags.filter((flag) => flag.status === state).length : this.#flags.length;
    if (number === 0 && state !== this.#state) return null;
    return h(
      "button",
      {
        type: "button",
        "aria-pressed": String(this.#state === state),
        onclick: () => {
          this.#state = state;
          this.redraw();
        },
      },
      state || "all",
      h("span", { class: "number" }, ` ${number}`),
    );
  }
}

/** @param {Row} one @param {Row} other */
const byUrgency = (one, other) => urgency(one) - urgency(other) || one.key.localeCompare(other.key);

/** @param {Row} flag */
function urgency({ status, look }) {
  const decisions = Object.keys(vocabulary.decisions);
  const asks = look ? decisions.indexOf(look.verdict.decision) : decisions.length;
  return asks + (status === "running" ? 0 : look ? 10 : 20);
}

/** @param {Row} flag */
const stateOf = ({ status, rolled_out, overdue, problem, plan }) => [
  rolled_out ? `${status} (${rolled_out})` : status,
  plan && h("small", null, `step ${plan.step} of ${plan.steps}`),
  plan?.why && mark(warning("plan paused")),
  overdue && mark(warning(overdue)),
  problem && mark(warning("everybody gets off")),
];

/** @param {"experiments" | "flags"} kind @param {Row} flag */
const named = (kind, { key, name, owner }) =>
  h(
    "div",
    { class: "named" },
    h("a", { href: `#/${kind}/${encodeURIComponent(key)}` }, key),
    h("span", null, name),
    h("span", null, owner),
  );

/** @param {Row} flag */
function experimentRow(flag) {
  const { look, run, started, completed } = flag;
  return h(
    "li",
    { id: `row-${flag.key}` },
    named("experiments", flag),
    h("div", { class: "verdict" }, mark(decisionOn(flag, look)), reasonOf(flag)),
    h(
      "dl",
      { class: "facts" },
      fact("state", [stateOf(flag), flag.status === "running" && h("small", null, reach(flag))]),
      run &&
        started &&
        fact(run, completed ? `${duration(completed - started)} long` : `for ${duration(now() - started)}`),
      look && fact(titled("ArmHealth.units"), count(look.units)),
      look &&
        fact(
          titled("Look.time"),
          asOf(look.time, (time) => [moment.clock(time), h("small", null, `${duration(now() - time)} ago`)]),
        ),
    ),
  );
}

/** @param {Row} flag */
function reasonOf({ decided, look }) {
  if (!decided) return look && h("p", null, look.verdict.reason);
  return h(
    "p",
    null,
    decided.by_plan ? "By its plan" : `By ${decided.author}`,
    decided.reason && `: ${decided.reason}`,
  );
}

/** Of all units, or of those of each segment and of all others, how many get a variant.
 * @param {Row} flag */
function reach({ status, rollout, segments, of_segments, rolled_out: winner }) {
  if (winner) return "everybody";
  if (status !== "draft" && status !== "running") return "nobody";
  const shares = segments.map((name, index) => `${name} ${of_segments[index]}%`);
  return [
    shares.length ? `${shares.join(" · ")} · others ${rollout}%` : `${rollout}%`,
    status === "draft" && h("small", null, "once it starts"),
  ];
}

/** @param {Row} flag */
const flagRow = (flag) =>
  h(
    "li",
    { id: `row-${flag.key}` },
    named("flags", flag),
    h(
      "dl",
      { class: "facts" },
      fact("state", stateOf(flag)),
      fact(term("rollout", "rollout"), reach(flag)),
      fact("variants", flag.variants.join(", ")),
      fact("changed", [moment.day(flag.changed), h("small", null, `version ${flag.version}`)]),
    ),
  );
