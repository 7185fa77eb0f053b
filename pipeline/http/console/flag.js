// Flag: one plain feature flag. Who gets what, and how it came to that.

import { actions } from "./actions.js";
import { getDocument } from "./api.js";
import { h } from "./dom.js";
import { count, moment, share } from "./numbers.js";
import { term } from "./words.js";
import { versionsOf } from "./versions.js";

export function flagPage(key, { redraw }) {
  const versions = versionsOf("flags", key, redraw);
  let flag = null;
  let look = null;

  async function refresh() {
    const [told] = await Promise.all([getDocument(`overview/${encodeURIComponent(key)}`), versions.refresh()]);
    await atHome("flags", told);
    flag = told;
  }

  return {
    stream: `results/stream?experiment=${encodeURIComponent(key)}`,
    title: () => `${key} – Peekproof`,
    refresh,
    take: (newest) => {
      look = newest;
    },
    view() {
      const { definition } = flag.state;
      const again = () => refresh().then(redraw, () => {}); // what fails now comes with the next refresh
      return [
        h("nav", { class: "path", "aria-label": "Path" }, h("a", { href: "#/" }, "Experiments and flags")),
        h("div", { class: "head" }, h("h1", null, definition.name ?? key), actions("flags", flag, again)),
        h(
          "p",
          { class: "quiet" },
          h("code", null, key),
          ` · ${stateWords(flag)} since ${moment(flag.changed)} UTC · owner ${flag.owner}${flag.tags.length ? ` · ${flag.tags.join(", ")}` : ""}`,
        ),
        flag.problem && h("p", null, problem(flag)),
        definition.description && h("p", null, definition.description),
        whoGetsWhat(flag, look?.run === flag.run ? look : null),
        audience(definition),
        versions.view(),
      ];
    },
  };
}

/** Go on where a flag has its page: with metrics it is an experiment. */
export async function atHome(kind, flag) {
  const home = Object.keys(flag.metrics).length ? "experiments" : "flags";
  if (home === kind) return;
  location.replace(`#/${home}/${encodeURIComponent(flag.key)}`);
  await new Promise(() => {}); // this page is left
}

export const stateWords = (flag) => (flag.rolled_out ? `${flag.status}: ${flag.gets}` : flag.status);

/** Why everybody gets off, where no engine can evaluate the flag or nobody has what it needs. */
export const problem = (flag) =>
  flag.problem && [
    h("span", { class: "mark warn" }, " ", h("span", { class: "sign", "aria-hidden": "true" }, "!"), "everybody gets off"),
    `: ${flag.problem}`,
  ];

/** Variants with their share of the units that get one, and who always gets them. */
export function whoGetsWhat(flag, look) {
  const { definition } = flag.state;
  const { variants, rollout = 100, segments = [] } = definition;
  const weights = variants.reduce((sum, { weight = 1 }) => sum + weight, 0);
  const units = look && Object.fromEntries(look.health.arms.map((arm) => [arm.variant, arm.units]));
  const isOn = flag.status === "running";
  const of = ({ key, weight = 1 }) =>
    flag.rolled_out ? (key === flag.rolled_out ? 1 : 0) : isOn ? ((weight / weights) * rollout) / 100 : 0;
  const off = 1 - variants.reduce((sum, each) => sum + of(each), 0);
  return h(
    "section",
    { "aria-labelledby": "variants" },
    h("h2", { id: "variants" }, "Who gets what"),
    h("p", null, stateSentence(flag, rollout)),
    h(
      "div",
      { class: "wide", tabindex: 0, role: "group", "aria-label": "Variants" },
      h(
        "table",
        { class: "variants" },
        h(
          "thead",
          null,
          h(
            "tr",
            null,
            h("th", { scope: "col" }, "variant"),
            h("th", { scope: "col", class: "number" }, isOn && segments.length ? "outside segments" : "now"),
            h("th", { scope: "col", class: "number" }, term("weight", "weight")),
            units && h("th", { scope: "col", class: "number" }, term("units", "units")),
            h("th", { scope: "col" }, "payload"),
            h("th", { scope: "col" }, "always, and not counted"),
          ),
        ),
        h(
          "tbody",
          null,
          variants.map((each) =>
            h(
              "tr",
              { id: `variant-${each.key}` },
              h(
                "th",
                { scope: "row" },
                h("span", { class: "named" }, each.key, each.name && h("span", null, each.name)),
              ),
              h("td", { class: "number" }, meter(of(each)), share(of(each))),
              h("td", { class: "number" }, count(each.weight ?? 1)),
              units && h("td", { class: "number" }, count(units[each.key] ?? 0)),
              h("td", null, each.payload === undefined ? "–" : h("code", null, JSON.stringify(each.payload))),
              h("td", null, always(each)),
            ),
          ),
          off > 0.0005 &&
            h(
              "tr",
              null,
              h("th", { scope: "row" }, "off"),
              h("td", { class: "number" }, meter(off), share(off)),
              h("td", { class: "number" }, "–"),
              units && h("td", { class: "number" }, "–"),
              h("td", null, "–"),
              h("td", null, "–"),
            ),
        ),
      ),
    ),
  );
}

function stateSentence(flag, rollout) {
  if (flag.gets) {
    const why = flag.rolled_out || flag.problem ? "" : `: it is ${flag.status === "draft" ? "a draft" : flag.status}`;
    return `${flag.gets[0].toUpperCase()}${flag.gets.slice(1)}${why}.`;
  }
  const { segments = [] } = flag.state.definition;
  return [
    term("rollout", "Rollout"),
    ` ${rollout}%${segments.length ? " of those whom no segment takes, as shown here" : " of all units"}.`,
  ];
}

/** A count of people, never who they are: ids are personal. */
const always = ({ users = [], devices = [], cohorts = [] }) =>
  [
    users.length && `${users.length} user${users.length > 1 ? "s" : ""}`,
    devices.length && `${devices.length} device${devices.length > 1 ? "s" : ""}`,
    ...cohorts.map((each) => `cohort ${each}`),
  ]
    .filter(Boolean)
    .join(", ") || "–";

const meter = (part) => h("progress", { max: 1, value: part, "aria-hidden": "true", tabindex: -1 });

/** Segments, prerequisites, groups: who is asked, in the order in which it is asked. */
export function audience({
  segments = [],
  prerequisites = {},
  groups = [],
  sticky = false,
  unit = "user_id",
  deployments = [],
}) {
  const facts = [
    ["unit", h("code", null, unit)],
    ...Object.entries(prerequisites).map(([flag, variants]) => [
      "prerequisite",
      [h("a", { href: `#/flags/${encodeURIComponent(flag)}` }, flag), ` is ${variants.join(" or ")}`],
    ]),
    ...groups.map(({ group, slots = [] }) => ["group", `${group}${slots.length ? `, slot ${slots.join(", ")}` : ""}`]),
    sticky && ["sticky", "a unit keeps the variant that it had before"],
    deployments.length && ["deployments", deployments.join(", ")],
  ].filter(Boolean);
  return h(
    "section",
    { "aria-labelledby": "audience" },
    h("h2", { id: "audience" }, "Audience"),
    h(
      "dl",
      { class: "facts" },
      facts.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))),
    ),
    segments.length > 0 &&
      h(
        "ol",
        { class: "segments" },
        segments.map(({ name, conditions = [], rollout = 100, weights = {} }) =>
          h(
            "li",
            null,
            h("b", null, name),
            ` ${rollout}%`,
            Object.keys(weights).length > 0 &&
              `, weights ${Object.entries(weights)
                .map(([variant, weight]) => `${variant} ${weight}`)
                .join(", ")}`,
            h(
              "ul",
              null,
              conditions.map(({ property, op, values }) =>
                h(
                  "li",
                  null,
                  h("code", null, property),
                  ` ${op} `,
                  values.map((each, index) => [index ? ", " : "", h("q", null, each)]),
                ),
              ),
            ),
          ),
        ),
      ),
  );
}
