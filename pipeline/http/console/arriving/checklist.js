// Checklist: what there is of an experiment before it starts and in its first hour, and what to do about the rest.

/** @import { Checklist, ChecklistItem } from "#api" */

import { get } from "../api.js";
import { h, useState } from "../dom.js";
import { useRepeated } from "../parts/repeated.js";
import { who } from "../session/may.js";

const AGAIN_MS = 3_000;
const FIRST_MS = 3_600_000; // of a run in which it is shown
const SIGNS = { done: "✓", missing: "○", wrong: "✗", unknown: "–" };
const TONES = { done: "good", missing: "warn", wrong: "bad", unknown: "idle" };

/** Shown of a draft and in a run's first hour, but to nobody who came by a link; else it is nothing.
 * @param {{ experiment: string, status: string, started: number | null, time: number }} props `started` of the newest run,
 *   `time` by the server's clock. */
export function LaunchChecklist({ experiment, status, started, time }) {
  const isFirst = status === "draft" || (status === "running" && started !== null && time - started < FIRST_MS);
  const isShown = isFirst && !who()?.experiment;
  const [told, setTold] = useState(/** @type {Checklist | null} */ (null));
  const path = isShown ? `experiments/${encodeURIComponent(experiment)}/checklist` : null;
  useRepeated(path, (of) => get(of), setTold, AGAIN_MS);
  if (!isShown || !told) return null;
  const done = told.items.filter(({ state }) => state === "done").length;
  return h(
    "section",
    { "aria-labelledby": "launch" },
    h("h2", { id: "launch" }, `Launch checklist: ${done} of ${told.items.length}`),
    h(
      "details",
      { open: done < told.items.length },
      h("summary", null, done < told.items.length ? "What is there, and what to do" : "All is there, and works"),
      h("ul", { class: "checklist" }, told.items.map(itemRow)),
    ),
    h("p", { class: "quiet" }, "What comes is seen on ", h("a", { href: "#/arriving" }, "Arriving"), "."),
  );
}

/** @param {ChecklistItem} item @param {number} at */
const itemRow = ({ item, state, says, todo }, at) =>
  h(
    "li",
    { key: `${at} ${item}` },
    h(
      "span",
      { class: `mark ${TONES[state]}` },
      h("span", { class: "sign", "aria-hidden": "true" }, SIGNS[state]),
      state,
    ),
    h("div", null, h("strong", null, item), h("p", null, says), todo && h("p", { class: "quiet" }, todo)),
  );
