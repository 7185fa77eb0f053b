// Data faults: what a look should rest on and does not come as it should. It is said before any number, because numbers
// mislead then.

/** @import { Look } from "#api" */

import { h } from "../dom.js";
import { moment } from "../parts/numbers.js";
import { mark, sentence, warning } from "../parts/words.js";

/** @param {Look} look */
export const dataFaults = ({ health: { data = [] } }) =>
  data.length > 0 &&
  h(
    "section",
    { class: "decision warn", "aria-labelledby": "data" },
    h("h2", { id: "data" }, mark(warning("Data do not come as they should"))),
    h(
      "ul",
      { class: "faults" },
      data.map(({ says, since }) =>
        h("li", null, `${sentence(says)}.`, since && h("small", null, `The last one came ${moment(since)}.`)),
      ),
    ),
    h("p", { class: "quiet" }, "What its numbers say below rests on less than it should, or on something else."),
  );

/** What is wrong with the events of a metric, in a few words.
 * @param {Look} look @param {string} metric */
export const faultOf = ({ health: { data = [] } }, metric) => data.find((each) => each.metric === metric)?.kind;
