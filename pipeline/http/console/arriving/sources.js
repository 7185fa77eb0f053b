// Sources: topics of others, how far each is read, and what became of its messages.

/** @import { Mark, SourceStanding } from "#api" */

import { h, table } from "../dom.js";
import { count } from "../parts/numbers.js";
import { mark } from "../parts/words.js";

/** @type {Record<SourceStanding["state"], Mark>} */
const STATES = {
  read: { sign: "✓", says: "read", tone: "good" },
  paused: { sign: "‖", says: "paused", tone: "idle" },
  waiting: { sign: "✗", says: "not read", tone: "warn" },
  unknown: { sign: "?", says: "nobody tells", tone: "idle" },
};

/** @param {SourceStanding[]} sources */
export const sourcesRead = (sources) =>
  sources.length > 0 &&
  h(
    "section",
    { "aria-labelledby": "sources" },
    h("h2", { id: "sources" }, "Sources"),
    h("p", { class: "quiet" }, "Topics of others, read as they are; messages since the workers of assignment started."),
    table(
      "Sources",
      ["source", "topic", "makes", "records that wait", "taken", "left out", "dead letters"],
      sources.map((source) =>
        h(
          "tr",
          { key: source.key, id: `source-${source.key}` },
          h(
            "th",
            { scope: "row" },
            h("a", { href: `#/edit/source/${encodeURIComponent(source.key)}` }, source.key),
            " ",
            mark(STATES[source.state]),
            source.why && h("small", null, source.why),
          ),
          h("td", null, h("code", null, source.topic)),
          h("td", null, `${source.as}s`),
          [source.lag, source.taken, source.excluded, source.dead].map((number) => h("td", null, told(number))),
        ),
      ),
    ),
  );

/** How one stands, in a line.
 * @param {SourceStanding} source */
export const sourceStands = ({ topic, state, why, taken, excluded, dead }) =>
  h(
    "p",
    null,
    mark(STATES[state]),
    " ",
    h("code", null, topic),
    state !== "paused" &&
      taken !== null &&
      `: ${told(taken)} taken, ${told(excluded)} left out, ${told(dead)} dead letters`,
    why && h("small", null, ` ${why}`),
  );

/** @param {number | null} number */
const told = (number) => (number === null ? "–" : count(number));
