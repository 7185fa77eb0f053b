// From start: the choice that runs count what is added from their start on, where something that runs read changes.

import { h } from "../dom.js";

/** Whether another version of such a document may add something to runs.
 * @param {string | null} kind @param {number} base the version that it rests on */
export const mayCount = (kind, base) => base > 0 && (kind === "metric" || kind === "flag");

/** @param {{ isChosen: boolean, choose: (isChosen: boolean) => void }} props */
export const FromStart = ({ isChosen, choose }) =>
  h(
    "label",
    { class: "choice" },
    h("input", {
      id: "from-start",
      type: "checkbox",
      checked: isChosen,
      onchange: ({ target }) => choose(target.checked),
    }),
    " Runs count what is added from their start, by what is archived; chosen after the start, it decides nothing",
  );
