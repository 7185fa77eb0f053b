// Names: which events and flags come, how many, when the last did, who sends them, and what counts them.

/** @import { CameOf, EventSeen, FlagSeen, NeverCame } from "#api" */
/** @import { Child } from "../dom.js" */

import { now } from "../api.js";
import { h, table } from "../dom.js";
import { count, duration, share } from "../parts/numbers.js";
import { mark, warning } from "../parts/words.js";
import { openSample } from "./sample.js";
import { pace, spark } from "./spark.js";

const MOST_LIBRARIES = 4; // that are named of those that send one name

/** @param {EventSeen[]} events */
export const eventRows = (events) =>
  table(
    "Events",
    ["event", "last hour", "rate", "last", "sent by", "counted by", "sample"],
    events.map((event) =>
      h(
        "tr",
        { key: event.name, id: `event-${event.name}` },
        h("th", { scope: "row" }, h("code", null, event.name)),
        h("td", null, spark(event.minutes, "minute"), h("small", null, count(event.hour))),
        h("td", { class: "unbroken" }, pace(event.rate)),
        h("td", { class: "unbroken" }, ago(event.last)),
        h("td", null, libraries(event.libraries)),
        h("td", null, event.metrics.length ? metricLinks(event.metrics) : h("span", { class: "quiet" }, "no metric")),
        h("td", null, sampleButton("events", event.name)),
      ),
    ),
  );

/** @param {FlagSeen[]} flags */
export const flagRows = (flags) =>
  table(
    "Exposures",
    ["flag", "last hour", "rate", "last", "variants", "runs", "sent by", "sample"],
    flags.map((flag) =>
      h(
        "tr",
        { key: flag.flag, id: `flag-${flag.flag}` },
        h(
          "th",
          { scope: "row" },
          flag.status
            ? h(
                "a",
                { href: `#/${flag.has_metrics ? "experiments" : "flags"}/${encodeURIComponent(flag.flag)}` },
                flag.flag,
              )
            : [h("code", null, flag.flag), " ", mark(warning("no such flag"))],
          flag.status && h("small", null, flag.status),
        ),
        h("td", null, spark(flag.minutes, "minute"), h("small", null, count(flag.hour))),
        h("td", { class: "unbroken" }, pace(flag.rate)),
        h("td", { class: "unbroken" }, ago(flag.last)),
        h(
          "td",
          null,
          flag.variants.map((each) => part(each, flag.hour, "asks for one")),
        ),
        h(
          "td",
          null,
          flag.runs.map((each) => [
            part(each, flag.hour, "names none"),
            each.name && each.name !== flag.newest_run && each.hour > 0 && mark(warning("an older run")),
          ]),
        ),
        h("td", null, libraries(flag.libraries)),
        h("td", null, sampleButton("exposures", flag.flag)),
      ),
    ),
  );

/** @param {NeverCame[]} never */
export const neverCame = (never) =>
  never.length > 0 &&
  h(
    "section",
    { "aria-labelledby": "never" },
    h("h2", { id: "never" }, "Counted, but never came"),
    h(
      "ul",
      { class: "faults" },
      never.map(({ metric, event, flags, near }) =>
        h(
          "li",
          { key: `${metric} ${event}` },
          metricLinks([metric]),
          " counts ",
          h("code", null, event),
          ", which did not come in the last two days.",
          near.length > 0 && [
            " Is it ",
            list(
              near.map((each) => h("code", null, each)),
              " or ",
            ),
            "?",
          ],
          flags.length > 0 && [" Running with it: ", list(flags.map(experimentLink)), "."],
        ),
      ),
    ),
  );

/** @param {number} last */
const ago = (last) => `${duration(Math.max(0, now() - last))} ago`;

/** @param {"events" | "exposures"} topic @param {string} name */
const sampleButton = (topic, name) =>
  h(
    "button",
    { type: "button", "aria-label": `Show a sample of ${name}`, onclick: () => openSample(topic, name) },
    "Show",
  );

/** @param {CameOf[]} libraries */
const libraries = (libraries) => [
  ...libraries
    .slice(0, MOST_LIBRARIES)
    .map((each) => h("div", { key: each.name }, each.name ?? h("span", { class: "quiet" }, "unsaid"))),
  libraries.length > MOST_LIBRARIES &&
    h("div", { class: "quiet" }, `and ${count(libraries.length - MOST_LIBRARIES)} others`),
];

/** @param {CameOf} each @param {number} whole @param {string} unsaid */
const part = (each, whole, unsaid) =>
  h(
    "div",
    { key: each.name },
    each.name ?? h("span", { class: "quiet" }, unsaid),
    each.hour > 0 && whole > 0 && h("span", { class: "quiet" }, ` ${share(each.hour / whole, 0)}`),
  );

/** @param {string[]} metrics */
const metricLinks = (metrics) =>
  list(metrics.map((each) => h("a", { href: `#/metrics/${encodeURIComponent(each)}` }, each)));

/** @param {string} key */
const experimentLink = (key) => h("a", { href: `#/experiments/${encodeURIComponent(key)}` }, key);

/** @param {Child[]} children @param {string} [between] */
const list = (children, between = ", ") => children.flatMap((child, at) => (at ? [between, child] : [child]));
