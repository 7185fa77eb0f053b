// List: every experiment and every flag, where it stands, and what its newest look says.

import { get, now } from "./api.js";
import { h } from "./dom.js";
import { count, duration, moment } from "./numbers.js";
import { DECISIONS, mark, term, waiting } from "./words.js";

const STATES = ["running", "draft", "complete", "rolled out", "rolled back", "archived"];
const FIRST = ["needs attention", "roll back", "ship", "keep running", "none"]; // what asks for a person comes first

export function listPage(_, { redraw, say }) {
  let flags = [];
  let words = "";
  let state = "";

  const matches = (flag) =>
    (!state || flag.status === state) &&
    words
      .toLowerCase()
      .split(/\s+/)
      .every((word) =>
        [flag.key, flag.name ?? "", flag.owner, ...flag.tags, ...flag.metrics].join(" ").toLowerCase().includes(word),
      );

  return {
    stream: "results/stream",
    title: () => "Peekproof",
    async refresh() {
      ({ flags } = await get("overview"));
    },
    take(look) {
      const flag = flags.find((each) => each.key === look.experiment);
      if (!flag || flag.run !== look.run) return;
      const before = flag.look?.verdict.decision;
      const units = look.health.arms.reduce((sum, arm) => sum + arm.units, 0);
      flag.look = { ...look, units };
      if (before !== look.verdict.decision) say(`${flag.key}: ${look.verdict.decision}`);
    },
    view() {
      const shown = flags.filter(matches);
      const experiments = shown.filter((flag) => flag.metrics.length).sort(byUrgency);
      const plain = shown.filter((flag) => !flag.metrics.length);
      return [
        h("h1", null, "Experiments and flags"),
        h(
          "form",
          { class: "filter", role: "search", onsubmit: (event) => event.preventDefault() },
          h("input", {
            type: "search",
            id: "words",
            "aria-label": "Search by key, name, owner, tag or metric",
            placeholder: "Search  /",
            autocomplete: "off",
            value: words,
            oninput: (event) => {
              words = event.target.value.trim();
              redraw();
            },
          }),
          h(
            "div",
            { class: "choices", role: "group", "aria-label": "State" },
            ["", ...STATES].map((each) => {
              const number = each ? flags.filter((flag) => flag.status === each).length : flags.length;
              return (
                (number > 0 || each === state) &&
                h(
                  "button",
                  {
                    type: "button",
                    "aria-pressed": String(state === each),
                    onclick: () => {
                      state = each;
                      redraw();
                    },
                  },
                  each || "all",
                  h("span", { class: "number" }, ` ${number}`),
                )
              );
            }),
          ),
        ),
        h("h2", null, "Experiments"),
        experiments.length
          ? h("ul", { class: "rows experiments" }, experiments.map(experimentRow))
          : nothing("experiment", flags.length),
        h("h2", null, "Flags"),
        plain.length ? h("ul", { class: "rows flags" }, plain.map(flagRow)) : nothing("flag", flags.length),
      ];
    },
  };
}

const byUrgency = (one, other) => urgency(one) - urgency(other) || one.key.localeCompare(other.key);
const urgency = (flag) =>
  (flag.status === "running" ? 0 : flag.look ? 10 : 20) + (flag.look ? FIRST.indexOf(flag.look.verdict.decision) : 9);

const nothing = (kind, known) =>
  h(
    "p",
    { class: "quiet" },
    known
      ? `No ${kind} matches.`
      : ["The catalog holds none; ", h("code", null, "peekproof apply"), " publishes the documents of configs/."],
  );

const stateOf = (flag) => [
  flag.rolled_out ? `${flag.status} (${flag.rolled_out})` : flag.status,
  flag.overdue &&
    h("span", { class: "mark warn" }, h("span", { class: "sign", "aria-hidden": "true" }, "!"), flag.overdue),
  flag.problem &&
    h("span", { class: "mark warn" }, h("span", { class: "sign", "aria-hidden": "true" }, "!"), "everybody gets off"),
];

function experimentRow(flag) {
  const { look } = flag;
  return h(
    "li",
    { id: `row-${flag.key}` },
    h(
      "div",
      { class: "named" },
      h("a", { href: `#/experiments/${encodeURIComponent(flag.key)}` }, flag.key),
      h("span", null, flag.name),
      h("span", null, flag.owner),
    ),
    h(
      "div",
      { class: "verdict" },
      mark(look ? DECISIONS[look.verdict.decision] : waiting(flag)),
      look && h("p", null, look.verdict.reason),
    ),
    h(
      "dl",
      { class: "facts" },
      fact("state", stateOf(flag)),
      flag.run &&
        fact(
          flag.run,
          flag.completed ? `${duration(flag.completed - flag.started)} long` : `for ${duration(now() - flag.started)}`,
        ),
      look && fact(term("units", "units"), count(look.units)),
      look &&
        fact(term("asof", "as of"), [moment.clock(look.time), h("small", null, `${duration(now() - look.time)} ago`)]),
    ),
  );
}

/** Of all units, how many get a variant. */
function reach({ status, rollout, rolled_out: winner }) {
  if (winner) return "everybody";
  if (status === "draft") return [`${rollout}%`, h("small", null, "once it starts")];
  return status === "running" ? `${rollout}%` : "nobody";
}

function flagRow(flag) {
  return h(
    "li",
    { id: `row-${flag.key}` },
    h(
      "div",
      { class: "named" },
      h("a", { href: `#/flags/${encodeURIComponent(flag.key)}` }, flag.key),
      h("span", null, flag.name),
      h("span", null, flag.owner),
    ),
    h(
      "dl",
      { class: "facts" },
      fact("state", stateOf(flag)),
      fact(term("rollout", "rollout"), reach(flag)),
      fact("variants", flag.variants.join(", ")),
      fact("changed", [moment.day(flag.changed), h("small", null, `version ${flag.version}`)]),
    ),
  );
}

const fact = (name, value) => h("div", null, h("dt", null, name), h("dd", null, value));
