// Drawer: what is behind a metric's row of a scorecard: units' numbers by arm, how they grow, a funnel's steps.

/** @import { ArmDrawn, Drawer as Drawn } from "#api" */

import { get, Refusal } from "../api.js";
import { h, table, useEffect, useState } from "../dom.js";
import { asOf, count, duration, mean, moment, share } from "../parts/numbers.js";
import { Distribution, mostOf } from "./distribution.js";

/** @param {{ experiment: string, run: string, metric: string, segment: string, isShare: boolean }} props */
export function Drawer({ experiment, run, metric, segment, isShare }) {
  const [drawn, take] = useState(/** @type {Drawn | null} */ (null));
  const [refused, refuse] = useState("");
  useEffect(() => {
    let isLeft = false;
    take(null);
    refuse("");
    const path = `experiments/${encodeURIComponent(experiment)}/metrics/${encodeURIComponent(metric)}/drawer`;
    get(`${path}?${new URLSearchParams({ run, segment })}`).then(
      (found) => isLeft || take(found),
      (error) => {
        if (!(error instanceof Refusal)) throw error;
        if (!isLeft) refuse(error.message);
      },
    );
    return () => {
      isLeft = true;
    };
  }, [experiment, run, metric, segment]);
  if (refused) return h("p", { class: "refusal", role: "alert" }, refused);
  if (!drawn) return h("p", { class: "quiet", role: "status" }, "Reading the archive …");
  return h("div", { class: "drawer" }, parts(drawn, isShare));
}

/** @param {Drawn} drawn @param {boolean} isShare */
function parts(drawn, isShare) {
  const { arms, edges, ages, steps, notes, sampled, as_of: time } = drawn;
  const most = mostOf(arms.map(({ distribution }) => distribution));
  return [
    h(
      "p",
      { class: "quiet" },
      `From the archive, as of ${asOf(time, moment)}`,
      sampled < 1 && sampled > 0 && `, of ${share(sampled, 0)} of the units`,
      ".",
    ),
    notes.map((note) => h("p", { class: "mark warn", key: note }, note)),
    h(
      "div",
      { class: "arms" },
      arms.map(({ variant, distribution, mean: value }) =>
        h(
          "section",
          { key: variant, "aria-label": variant },
          h("h4", null, variant, h("span", { class: "quiet" }, ` mean ${mean(value, isShare)}`)),
          h(Distribution, { label: `Units' numbers of ${variant}`, edges, histogram: distribution, most }),
        ),
      ),
    ),
    steps.length > 0 && funnel(steps, arms),
    ages.length > 0 && growth(ages, arms, isShare),
  ];
}

/** @param {string[]} steps @param {ArmDrawn[]} arms */
const funnel = (steps, arms) => [
  h("h4", null, "Steps"),
  table(
    "Steps of the funnel by variant",
    ["step", ...arms.map(({ variant }) => variant)],
    steps.map((step, index) =>
      h(
        "tr",
        { key: `${index}` },
        h("th", { scope: "row" }, `${index + 1}. ${step}`),
        arms.map(({ variant, reached, units }) => {
          const before = index ? (reached[index - 1] ?? 0) : units;
          const here = reached[index] ?? 0;
          return h(
            "td",
            { key: variant, class: "number" },
            `${count(here)} (${share(here / Math.max(units, 1))})`,
            h("small", null, `${share(1 - here / Math.max(before, 1))} lost here`),
          );
        }),
      ),
    ),
  ),
];

/** @param {number[]} ages @param {ArmDrawn[]} arms @param {boolean} isShare */
const growth = (ages, arms, isShare) => [
  h("h4", null, "By time since entry"),
  h(
    "p",
    { class: "quiet" },
    "What units came to within so long after they entered; only of those that entered so long ago.",
  ),
  table(
    "Mean by time since entry and variant",
    ["within", ...arms.map(({ variant }) => variant)],
    ages.map((age, index) =>
      h(
        "tr",
        { key: `${age}` },
        h("th", { scope: "row" }, duration(age)),
        arms.map(({ variant, growth: grown }) =>
          h(
            "td",
            { key: variant, class: "number" },
            mean(grown[index]?.mean, isShare),
            h("small", null, `${count(grown[index]?.units)} units`),
          ),
        ),
      ),
    ),
  ),
];
