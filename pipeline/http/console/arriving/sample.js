// Sample: messages of one name, and what they have in which field.

/** @import { MessagesSeen } from "#api" */

import { get, now, Refusal } from "../api.js";
import { readExactly } from "../authoring/values.js";
import { h, table, useEffect, useState } from "../dom.js";
import { openDialog } from "../parts/dialog.js";
import { count, counted, duration } from "../parts/numbers.js";

/** @param {"events" | "exposures"} topic @param {string} name */
export const openSample = (topic, name) =>
  openDialog(name, (close) => [
    h(Sample, { topic, name }),
    h("div", { class: "actions" }, h("button", { type: "button", onclick: close }, "Close")),
  ]);

/** @param {{ topic: string, name: string }} props */
function Sample({ topic, name }) {
  const [seen, setSeen] = useState(/** @type {MessagesSeen | null} */ (null));
  const [refusal, setRefusal] = useState("");
  useEffect(() => {
    get(`arriving/messages?${new URLSearchParams({ topic, name })}`).then(setSeen, (error) => {
      if (!(error instanceof Refusal)) throw error;
      setRefusal(error.message);
    });
  }, [topic, name]);
  if (!seen) return h("p", { class: "quiet", role: "status" }, refusal || "Reading …");
  const { samples, read, properties } = seen;
  return h(
    "div",
    { class: "sample" },
    h(
      "p",
      { class: "quiet" },
      `Of ${counted(samples.length, "sample")}, about one a minute, `,
      read === samples.length ? "all whole: other messages may have other fields." : `${count(read)} whole.`,
    ),
    table(
      "Properties",
      ["property", "in", "kinds", "the newest"],
      properties.map((each) =>
        h(
          "tr",
          { key: each.path },
          h("th", { scope: "row" }, h("code", null, each.path)),
          h("td", null, `${count(each.samples)} of ${count(read)}`),
          h(
            "td",
            null,
            Object.entries(each.kinds).map(([kind, number]) => h("div", { key: kind }, `${kind} (${count(number)})`)),
          ),
          h("td", null, h("code", null, each.example)),
        ),
      ),
    ),
    samples
      .slice(0, 3)
      .map((sample) =>
        h(
          "figure",
          { key: `${sample.time} ${sample.value}` },
          h("figcaption", { class: "quiet" }, `${duration(now() - sample.time)} ago${sample.is_cut ? ", cut" : ""}`),
          message(sample.value),
        ),
      ),
  );
}

/** A message as it came: JSON on lines of its own.
 * @param {string} value */
export function message(value) {
  let text = value;
  try {
    text = JSON.stringify(readExactly(value), null, 2);
  } catch {
    // it is no JSON, or its beginning: shown as it came
  }
  return h("pre", { class: "message", tabindex: 0 }, text);
}
