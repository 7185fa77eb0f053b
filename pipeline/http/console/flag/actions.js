// Actions: the steps that a person takes with a flag.

/** @import { Shown, Taking } from "#api" */

import { send } from "../api.js";
import { h } from "../dom.js";
import { askForChange } from "../parts/change.js";
import { vocabulary } from "../parts/vocabulary.js";
import { may } from "../session/may.js";

/** What is said on a step's button, and what the step does, in a sentence. */
const STEPS = {
  start: { says: "Start", does: "From now on units enter: a run begins." },
  rollout: { says: "Roll out", does: "Everybody gets one variant; the run that is open ends." },
  rollback: { says: "Roll back", does: "Everybody gets ‘off’; the run that is open ends." },
  complete: { says: "Complete", does: "No unit enters any more; events count until the last window is settled." },
  restart: {
    says: "Restart",
    does: "Another run begins, with a fresh split; the one that is open ends. Results start again.",
  },
  archive: { says: "Archive", does: "It is put away, and everybody gets ‘off’, until it is restored." },
  restore: { says: "Restore", does: "It comes back from the archive as it was." },
};

/** The same of a plan's. */
const OF_PLAN = {
  pause: { says: "Pause", does: "The plan takes no further step until somebody resumes it." },
  resume: { says: "Resume", does: "The plan goes on at the step where it is." },
};

const EVERY = { ...STEPS, ...OF_PLAN };

/**
 * @typedef {keyof typeof EVERY} Step
 * @typedef {"experiments" | "flags"} Kind
 */

const steps = /** @type {Step[]} */ (Object.keys(STEPS));

/** Buttons of the steps that are offered now, to whoever may take them; `done` reads what stands then.
 * @param {Kind} kind @param {Shown} flag @param {() => void} done */
export const actions = (kind, flag, done) =>
  may("edit") &&
  h(
    "div",
    { class: "actions", role: "group", "aria-label": "Actions" },
    steps.filter((step) => vocabulary.steps[step].includes(flag.status)).map((step) => action(kind, flag, step, done)),
  );

/** The button of one.
 * @param {Kind} kind @param {Shown} flag @param {Step} step @param {() => void} done @param {string | null} also What
 *   else it does. */
export const action = (kind, flag, step, done, also = null) =>
  may("edit") &&
  h(
    "button",
    { type: "button", id: `act-${step}`, onclick: () => ask(kind, flag, step, done, also) },
    `${EVERY[step].says} …`,
  );

/** @param {Kind} kind @param {Shown} flag @param {Step} step @param {() => void} done @param {string | null} also */
function ask(kind, flag, step, done, also) {
  const { key, version } = flag;
  const { says, does } = EVERY[step];
  askForChange(
    {
      says,
      key,
      version,
      done,
      send: (said, form) => {
        const variant = new FormData(form).get("variant");
        /** @type {Taking} */
        const taking = { ...said, ...(variant !== null && { variant: String(variant) }) };
        return send("POST", `${kind}/${encodeURIComponent(key)}/actions/${step}`, taking);
      },
    },
    h("p", null, does, also && ` ${also}`),
    step === "rollout" && h("label", null, "Variant ", select(flag)),
  );
}

/** The variants that may be rolled out.
 * @param {Shown} flag */
function select({ variants, rolled_out, control }) {
  const others = variants.filter((each) => each !== rolled_out);
  const chosen = others.find((each) => each !== control) ?? others[0];
  return h(
    "select",
    { name: "variant" },
    others.map((each) => h("option", { value: each, selected: each === chosen }, each)),
  );
}
