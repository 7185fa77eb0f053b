// Meanings: what each term means, shown beside the term that was pressed.

import { h } from "./dom.js";
import { vocabulary } from "./vocabulary.js";

/** What each term means, in a sentence or two. */
const MEANINGS = {
  "verdict-sequential":
    "What a person should do now. It rests on the running intervals of the primary metric and the guardrails, and may be acted on whenever you look.",
  "verdict-t-test":
    "What a person should do. It rests on the t-tests (of conversions: Boschloo’s) of the primary metric and of the guardrails, which are read once: at the first look with the planned units.",
  "verdict-bayesian":
    "What a person should do now. It rests on the chance that the treatment is better. How often it errs when it is watched all the time is not bounded.",
  "interval-sequential":
    "An always-valid confidence interval of the effect: without a true effect, the chance that it ever excludes 0, however often you look, is at most alpha. Shown is what all looks so far say together.",
  "interval-t-test":
    "A confidence interval for one reading: that of the first look with the planned units. It is shown from then on, and does not change any more.",
  "interval-bayesian":
    "A credible interval: where the effect is with a probability of 1 − alpha, given the data. Watching it all the time has no guarantee.",
  lift: "Treatment's mean relative to control's: +10% means 1.1 times as much. The estimate of this look. Of an exact test: its conversions relative to control's, as the weights promise units, so that it may differ from that of the means.",
  difference: "Treatment's mean minus control's, in the metric's own unit; of shares in percentage points (pp).",
  "p-sequential":
    "The smallest always-valid p-value of all looks so far: how surprising the data would be without any effect. Adjusted for the number of comparisons where there are several.",
  "p-t-test":
    "The p-value of the t-test, or of Boschloo’s test of conversions, at the first look with the planned units; before that there is none. A guardrail’s exact test is sequential. Adjusted for the number of comparisons where there are several.",
  chance: "The Bayesian probability that the treatment is better. Watching it all the time has no guarantee.",
  units: "Randomised units (users, devices, …) in control and treatment that this row counts.",
  settled:
    "Settled: units whose window is over, so that their number can change no more. Verdicts rest on this reading.",
  live: "Live: everyone who has entered so far. To watch; the verdict waits for the settled reading. A guardrail's exact test alone may show harm here already.",
  primary: "The metric that decides. Its minimum effect is the prediction of the hypothesis.",
  secondary: "Metrics to learn from. They share alpha among themselves and decide nothing.",
  guardrail: "Metrics that must not be harmed: harm means roll back, whatever the primary metric says.",
  judgement:
    "What is shown, corrected for the number of comparisons. Better or worse: there is a difference. Safe: the loss is within the margin. Harmed: a guardrail is worse. Open: not decided.",
  lookback:
    "The share of units whose events were kept for the whole lookback before they entered, over the metrics that have one. Of the others CUPED knows less, and narrows intervals less.",
  jumpers: "Units that met two variants under the same allocation. They are withdrawn from every variant.",
  late: "Records that came more than the lateness horizon after their own time. Counted here, left out of the results.",
  duplicates:
    "Events that came again with the same unit, insert id and time. Each counts once: of several values the largest.",
  rounded: "More decimal places than are kept, where it tells. A metric's `scale` says how many are kept.",
  withheld: "Units whose totals are too large to be added exactly. They are left out.",
  reassigned: "Units whose variant changed because the allocation did. They stay where they first were.",
  forced: "Units that an inclusion put into a variant. They are not randomised, so they never count.",
  inactive: "Exposures that came while the run was not running.",
  ids: "Insert ids that came again with another time, where both events count, or with another value. See how producers make their ids.",
  asof: "The results cover every record appended before this moment: the smallest clock of the partitions.",
  freshness: "How far the newest look is behind now. Looks are published while there is news.",
  look: "One computation of the results. Looks are numbered; each can be computed again to the last bit.",
  revision: "How often results were restated, because a metric was redefined or the log replayed.",
  exposures: "How often units met a variant, repeats included. A unit enters the run with its first.",
  counted: "Events that count for some metric: of a unit of this run, after its entry, within the metric's window.",
  entries:
    "Cumulative exposures: each unit at its first. Lines in another proportion than the weights mean a broken split.",
  run: "From a start to its end. A restart begins another run, with a fresh split and fresh results.",
  weight: "A variant gets its weight's part of the sum of all weights, among the units that get a variant.",
  tuned:
    "The planned sample, from the baseline and the prediction. With so many units the interval is as narrow as it can be; you may act before, and afterwards.",
  reading:
    "Which units a row counts: the settled ones, everyone so far (live), or deciding, which is settled as soon as there are enough of them.",
  catalog:
    "The newest record of the catalog that this look knows: it fixes the definitions of flags, experiments and metrics.",
  analysis:
    "How the numbers are judged. Alpha bounds false discoveries, guardrail alpha the false alarms of each guardrail; the correction says how several comparisons share it.",
  offsets: "Of each units partition, the offset before which every record is in this look.",
  rollout: "The percentage of units that get a variant at all. The others get 'off'.",
  prediction:
    "The smallest lift that the hypothesis predicts, compared with the running interval of the primary metric.",
  cuped: "What units did before their entry explains part of the variance, which makes intervals narrower.",
  segments:
    "The same comparison within parts of the audience. Many comparisons find something by chance: nothing is decided here.",
};

/** The same of terms whose bounds the server tells. */
const bounded = () => ({
  split: `Sample-ratio mismatch: do arms have the shares of units that the weights promise? A p below ${vocabulary.split_alpha} means a broken split, and no number can be trusted until its cause is found.`,
  unusable:
    "Events whose property is missing, no number or beyond all limits. They don't count; a metric that loses more than " +
    `${100 * vocabulary.most_unusable} % of an arm's events says nothing.`,
  crowded: `Units that sent more than ${vocabulary.most_events} events in some hour, of which a funnel or retention reads no more.`,
});

/** @typedef {keyof typeof MEANINGS | keyof ReturnType<typeof bounded>} Term */

/** A term whose meaning opens on click, Enter or Space, and closes with Escape.
 * @param {Term} name @param {string} text */
export const term = (name, text) =>
  h("button", { type: "button", class: "term", popovertarget: `meaning-${name}` }, text);

/** Every meaning, once. */
export const meanings = () =>
  Object.entries({ ...MEANINGS, ...bounded() }).map(([name, text]) =>
    h("div", { id: `meaning-${name}`, popover: "auto", class: "meaning", role: "note" }, text),
  );

/** Put an opening meaning under its term, within the window.
 * @param {HTMLElement} meaning @param {Element} at */
export function place(meaning, at) {
  const { left, bottom, top } = at.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = meaning;
  const below = bottom + 6 + height < innerHeight;
  meaning.style.left = `${Math.max(8, Math.min(left, innerWidth - width - 8))}px`;
  meaning.style.visibility = "visible";
  meaning.style.top = `${below ? bottom + 6 : Math.max(8, top - height - 6)}px`;
}
