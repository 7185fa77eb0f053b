// Meanings: what each term means, shown beside the term that was pressed.

/** @import { ArmHealth, Cell, Contender, FieldTold, Health, Look, Verdict } from "#api" */

import { h } from "../dom.js";
import { vocabulary } from "./vocabulary.js";

/** What each term means that is no field of a look, in a sentence or two. */
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
  "p-sequential":
    "The smallest always-valid p-value of all looks so far: how surprising the data would be without any effect. Adjusted for the number of comparisons where there are several.",
  "p-t-test":
    "The p-value of the t-test, or of Boschloo’s test of conversions, at the first look with the planned units; before that there is none. A guardrail’s exact test is sequential. Adjusted for the number of comparisons where there are several.",
  settled:
    "Settled: units whose window is over, so that their number can change no more. Verdicts rest on this reading.",
  live: "Live: everyone who has entered so far. To watch; the verdict waits for the settled reading. A guardrail's exact test alone may show harm here already.",
  primary: "The metric that decides. Its minimum effect is the prediction of the hypothesis.",
  secondary: "Metrics to learn from. They share alpha among themselves and decide nothing.",
  guardrail: "Metrics that must not be harmed: harm means roll back, whatever the primary metric says.",
  rounded: "More decimal places than are kept, where it tells. A metric's `scale` says how many are kept.",
  freshness: "How far the newest look is behind now. Looks are published while there is news.",
  entries:
    "Cumulative exposures: each unit at its first. Lines in another proportion than the weights mean a broken split.",
  weight: "A variant gets its weight's part of the sum of all weights, among the units that get a variant.",
  measured:
    "Of the exposures of the last hour, those of this variant, as they came: of the newest run, and without ‘off’, of which nothing is exposed.",
  tuned:
    "The planned sample, from the baseline and the prediction. With so many units the interval is as narrow as it can be; you may act before, and afterwards.",
  reading:
    "Which units a row counts. Settled: those whose window is over, on whom verdicts rest. Live: everyone so far. Deciding: each row's settled units as soon as there are enough of them to test, before that its live ones; it says which beside its numbers.",
  rollout: "The percentage of units that get a variant at all. The others get 'off'.",
  cuped: "What units did before their entry explains part of the variance, which makes intervals narrower.",
  segments:
    "The same comparison within parts of the audience. Many comparisons find something by chance: nothing is decided here.",
};

/**
 * @typedef {{ Look: Look, Cell: Cell, Health: Health, ArmHealth: ArmHealth, Verdict: Verdict, Contender: Contender }} Structs
 * @typedef {{ [Name in keyof Structs]: `${Name}.${keyof Structs[Name] & string}` }[keyof Structs]} Field What looks
 *   consist of, which the server tells.
 * @typedef {keyof typeof MEANINGS | Field} Term
 */

/** What a field of a look is called, in which unit it is, and what it means.
 * @param {Field} name */
export const field = (name) => /** @type {FieldTold} */ (vocabulary.fields[name]);

/** A term whose meaning opens on click, Enter or Space, and closes with Escape.
 * @param {Term} name @param {string} text */
export const term = (name, text) =>
  h("button", { type: "button", class: "term", popovertarget: `meaning-${name}` }, text);

/** A field by its title.
 * @param {Field} name */
export const titled = (name) => term(name, field(name).title);

/** Every meaning, once. */
export const meanings = () =>
  [...Object.entries(MEANINGS), ...Object.entries(vocabulary.fields).map(([name, told]) => [name, told.meaning])].map(
    ([name, text]) => h("div", { id: `meaning-${name}`, popover: "auto", class: "meaning", role: "note" }, text),
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
