// Drawer: what is behind a metric's row of the scorecard, by arm. Its units' numbers, how they grow since entry, and a
// funnel's steps with the loss at each.

/** @import { ArmDrawn, Drawer as Drawn } from "#api" */
/** @import { Child } from "../dom.js" */

import { get } from "../api.js";
import { h, table, useEffect, useState } from "../dom.js";
import { meter } from "../parts/meter.js";
import { amount, count, duration, mean, moment, share } from "../parts/numbers.js";
import { mark, warning } from "../parts/words.js";

/** @typedef {{ path: string, metric: string, run: string, asShare: boolean }} About Of which experiment and metric. */

/** @param {About} props */
export function Drawer({ path, metric, run, asShare }) {
  const [drawn, setDrawn] = useState(/** @type {Drawn | string | null} */ (null)); // or why it cannot be had
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let isAsked = true;
    setDrawn(null);
    /** @type {Promise<Drawn>} */
    const reading = get(`${path}/metrics/${encodeURIComponent(metric)}/drawer?${new URLSearchParams({ run })}`);
    reading.then(
      (found) => isAsked && setDrawn(found),
      (error) => isAsked && setDrawn(String(error.message)),
    );
    return () => {
      isAsked = false;
    };
  }, [path, metric, run, turn]);
  const again = h("button", { type: "button", onclick: () => setTurn(turn + 1) }, "Read again");
  if (drawn === null) return h("p", { class: "quiet", role: "status" }, "Reading the archive …");
  if (typeof drawn === "string") return [h("p", { class: "refusal", role: "alert" }, drawn), again];
  return [...told(drawn, asShare), again];
}

/** @param {Drawn} drawn @param {boolean} asShare @returns {Child[]} */
function told(drawn, asShare) {
  const { as_of, sampled, notes, metric } = drawn;
  const units = drawn.arms.reduce((sum, arm) => sum + arm.units, 0);
  return [
    h(
      "p",
      { class: "quiet" },
      `${count(units)} units of the archive, ${as_of ? `up to ${moment(as_of)}` : "which holds nothing yet"}`,
      sampled > 0 && sampled < 1 && [" · ", mark(warning(`a sample: ${share(sampled, 0)} of all units`))],
    ),
    notes.length > 0 &&
      h(
        "ul",
        { class: "faults" },
        notes.map((each) => h("li", null, moment.within(each))),
      ),
    units > 0 && [
      drawn.steps.length > 0 && steps(drawn),
      h("h3", null, "Units by their number"),
      distribution(drawn, asShare),
      drawn.ages.length > 0 && [h("h3", null, "Since a unit’s entry"), growth(drawn, asShare)],
    ],
    units === 0 && h("p", null, `No unit with a number of ${metric} is archived yet.`),
  ];
}

/** A row for each part of what is told, a column for each arm: a share as a bar, and what is written beside it.
 * @param {string} label @param {string} head @param {ArmDrawn[]} arms @param {Child[]} names
 * @param {(arm: ArmDrawn, at: number) => { part: number, says: Child, also: Child }} tell */
const byArm = (label, head, arms, names, tell) =>
  table(
    label,
    [head, ...arms.map(({ variant }) => variant)],
    names.map((name, at) =>
      h(
        "tr",
        null,
        h("th", { scope: "row" }, name),
        arms.map((arm) => {
          const { part, says, also } = tell(arm, at);
          return h("td", null, meter(part), says, h("small", null, also));
        }),
      ),
    ),
  );

/** @param {Drawn} drawn */
const steps = ({ arms, steps }) => [
  h("h3", null, "Steps"),
  byArm("Steps by arm", "step", arms, steps, ({ units, reached }, at) => {
    const [before, here] = [at ? (reached[at - 1] ?? 0) : units, reached[at] ?? 0];
    return {
      part: units ? here / units : 0,
      says: `${count(here)}, ${share(units ? here / units : null)}`,
      also: before ? `${share((before - here) / before)} lost before it` : null,
    };
  }),
];

/** @param {Drawn} drawn @param {boolean} asShare Then each has 0 or 1. */
function distribution({ arms, edges }, asShare) {
  const bins = edges.slice(0, -1).map((edge, at) => amount(edge) + (asShare ? "" : ` to ${amount(edges[at + 1])}`));
  const fullest = Math.max(...arms.flatMap(({ distribution: { zeros, counts } }) => [zeros, ...counts]), 1);
  return byArm("Units by their number and arm", "number", arms, ["0", ...bins], ({ distribution, units }, at) => {
    const here = (at ? distribution.counts[at - 1] : distribution.zeros) ?? 0;
    return { part: here / fullest, says: count(here), also: share(units ? here / units : null) };
  });
}

/** @param {Drawn} drawn @param {boolean} asShare */
function growth({ arms, ages }, asShare) {
  const most = Math.max(...arms.flatMap((arm) => arm.growth.map((each) => Math.abs(each.mean ?? 0))), 1e-300);
  const names = ages.map((age) => `within ${duration(age)}`);
  return byArm("Since entry, by arm", "after", arms, names, (arm, at) => {
    const { mean: of, units } = arm.growth[at] ?? { mean: null, units: 0 };
    return {
      part: Math.abs(of ?? 0) / most,
      says: mean(of, asShare),
      also: `${count(units)} units that entered so long ago`,
    };
  });
}
