// Happenings: what happened to a run while it ran, so that charts show it where it may have moved their lines: steps of
// its plan, edits, decisions, and gaps in the log.

/** @import { Look, Run, Told as Version } from "#api" */

import { h } from "../dom.js";
import { moment } from "../parts/numbers.js";

/** @typedef {{ time: number, until: number, says: string }} Happening From when until when (ms). */

/** Those of a look's run by then, oldest first.
 * @param {Look} look @param {Run[]} runs @param {Version[]} versions */
export function happenings({ run, time, health }, runs, versions) {
  const first = runs.find((each) => each.key === run)?.started ?? 0; // the version that started it
  const started = versions.find(({ version }) => version === first)?.append_time ?? 0;
  const changes = versions.map(({ append_time, version, changed, author }) => ({
    time: append_time,
    until: append_time,
    says: `${changed.join(", ") || "nothing changed"} (version ${version}, by ${author})`,
  }));
  const gaps = (health.gaps ?? []).map(({ since, until, stage, topic, reason }) => ({
    time: since ?? until ?? started,
    until: until ?? since ?? started,
    says: `records of ${topic} that ${stage} never got: ${reason}`,
  }));
  return [...changes, ...gaps]
    .filter((each) => each.until > started && each.time <= time)
    .sort((one, other) => one.time - other.time);
}

/** What the numbers on the charts stand for.
 * @param {Happening[]} all */
export const happeningList = (all) =>
  all.length > 0 &&
  h(
    "ol",
    { class: "happenings", "aria-label": "What happened meanwhile" },
    all.map(({ time, says }) => h("li", null, `${moment(time)}: ${says}`)),
  );
