// Counts: how many of the last week's units each segment would match.

/** @import { SegmentCounts } from "#api" */
/** @import { Place } from "./form.js" */
/** @import { List } from "./shapes.js" */

import { Refusal, send } from "../api.js";
import { h, table, useState } from "../dom.js";
import { count, moment, share } from "../parts/numbers.js";
import { RowsField } from "./form.js";

/** @typedef {{ of: string, counts?: SegmentCounts, refusal?: string }} Asked `of`: what was asked, by which it is known
 *   whether it is still what is typed. */

/** Segments, and whom they match.
 * @param {Place} place */
export function SegmentsField(place) {
  const { form, path } = place;
  const [asked, answer] = useState(/** @type {Asked | null} */ (null));
  const [isBusy, wait] = useState(false);
  const segments = form.edited.at(path) ?? [];
  const of = JSON.stringify({ segments, unit: form.edited.at(["unit"]) ?? "user_id" });
  const ask = async () => {
    wait(true);
    try {
      const told = await send("POST", "segments/count", JSON.parse(of));
      answer({ of, counts: await told.json() });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      answer({ of, refusal: error.message });
    }
    wait(false);
  };
  return h(
    "div",
    { class: "counted" },
    h(RowsField, { ...place, shape: /** @type {List} */ (place.shape) }),
    segments.length > 0 &&
      h(
        "div",
        { class: "actions" },
        h(
          "button",
          { type: "button", disabled: isBusy, onclick: ask },
          isBusy ? "Counting …" : "Count whom they match",
        ),
        h("span", { class: "quiet" }, "of the units of the last 7 days, by our own archive"),
      ),
    h("div", { role: "status" }, asked && told(asked, asked.of === of)),
  );
}

/** @param {Asked} asked @param {boolean} isCurrent */
function told({ counts, refusal }, isCurrent) {
  if (!isCurrent) return h("p", { class: "quiet" }, "They have changed since they were counted.");
  if (!counts) return h("p", { class: "fault" }, refusal);
  const { units, unit, sampled, segments, rest, notes, as_of } = counts;
  if (!units) return h("p", { class: "quiet" }, "The archive holds no units of the last 7 days.", ...notes);
  const part = (/** @type {number} */ some) => `${count(some)} (${share(some / units)})`;
  return [
    table(
      "Whom the segments match",
      ["segment", "match", "first to match"],
      [
        ...segments.map(({ name, matching, decided }) => row(name, part(matching), part(decided))),
        row("all others", part(rest), part(rest)),
      ],
    ),
    h(
      "p",
      { class: "quiet" },
      `Of ${count(units)} units (${unit}) up to ${moment(as_of)}`,
      sampled < 1 && `, by a sample of ${share(sampled)}`,
      ".",
      notes.map((note) => ` ${moment.within(note)}.`),
    ),
  ];
}

/** @param {string} name @param {string[]} numbers */
const row = (name, ...numbers) =>
  h(
    "tr",
    null,
    h("th", { scope: "row" }, name),
    numbers.map((each) => h("td", null, each)),
  );
