// Review: a document as it will stand: what differs, what follows from it, and the reason with which it is published.

/** @import { Child } from "../dom.js" */
/** @import { Edited } from "./edited.js" */
/** @import { Publication } from "./publication.js" */
/** @import { Fault } from "./values.js" */

import { h } from "../dom.js";
import { differences } from "../flag/versions.js";
import { FromStart } from "./fromstart.js";
import { Reason } from "./reason.js";
import { CopyYaml, Yaml } from "./yaml.js";

/** @param {{ publication: Publication, isExperiment: boolean, show: (fault: Fault) => void }} props `show` goes to the
 *   field that is to blame. */
export function Review({ publication, isExperiment, show }) {
  const { edited } = publication;
  const { checked, unchecked, faults } = edited;
  return h(
    "div",
    { class: "review" },
    unchecked && h("p", { role: "alert", class: "fault" }, unchecked),
    !checked && !unchecked && h("p", { class: "quiet" }, "It is being checked …"),
    faults.length > 0 &&
      told(
        "It cannot be published yet",
        faults.map((fault) => h(FaultTold, { fault, show })),
      ),
    checked && checked.consequences.length > 0 && told("This follows from it", checked.consequences),
    checked && checked.notes.length > 0 && told("To be noted", checked.notes),
    checked &&
      edited.base > 0 &&
      h(
        "section",
        { "aria-labelledby": "differences" },
        h("h2", { id: "differences" }, `What differs from version ${edited.base}`),
        differences(checked.differences),
      ),
    checked?.yaml &&
      h(
        "section",
        { "aria-labelledby": "as-yaml" },
        h(
          "div",
          { class: "head" },
          h("h2", { id: "as-yaml" }, "As YAML"),
          h(CopyYaml, { read: () => edited.checked?.yaml ?? "" }),
        ),
        h(Yaml, { text: checked.yaml }),
      ),
    h(Publishing, { publication, isExperiment }),
  );
}

/** @param {string} title @param {Child[]} all */
const told = (title, all) => h("section", { "aria-label": title }, h("h2", null, title), items(all));

/** @param {Child[]} all */
const items = (all) =>
  h(
    "ul",
    { class: "told" },
    all.map((item, index) => h("li", { key: String(index) }, item)),
  );

/** @param {{ fault: Fault, show: (fault: Fault) => void }} props */
const FaultTold = ({ fault, show }) =>
  h(
    "span",
    null,
    h("button", { type: "button", class: "link", onclick: () => show(fault) }, fault.path || "the document"),
    ` ${fault.error}`,
  );

/** @param {{ publication: Publication, isExperiment: boolean }} props */
function Publishing({ publication, isExperiment }) {
  const { edited, mayStart, stands } = publication;
  return h(
    "form",
    {
      class: "publishing",
      onsubmit: (event) => {
        event.preventDefault();
        const { submitter } = event;
        publication.make(submitter instanceof HTMLButtonElement && submitter.value === "start", isExperiment);
      },
    },
    h(Reason, { reason: publication.reason, say: (reason) => publication.say(reason) }),
    publication.mayCount &&
      h(FromStart, { isChosen: publication.fromStart, choose: (isChosen) => publication.count(isChosen) }),
    h("div", { class: "refusal", role: "alert" }, refusal(publication)),
    h(
      "div",
      { class: "actions" },
      stands === 0 && h(PublishButton, { publication, isStarted: false, says: publishes(edited, mayStart) }),
      mayStart && h(PublishButton, { publication, isStarted: true, says: stands ? "Start" : "Save and start" }),
    ),
  );
}

/** @param {Edited} edited @param {boolean} mayStart */
const publishes = ({ base }, mayStart) =>
  mayStart ? "Save as draft" : base ? `Publish version ${base + 1}` : "Publish";

/** @param {{ publication: Publication, isStarted: boolean, says: string }} props */
const PublishButton = ({ publication, isStarted, says }) =>
  h(
    "button",
    {
      type: "submit",
      class: isStarted || !publication.mayStart ? "main" : null,
      disabled: !publication.isReady,
      value: isStarted ? "start" : "publish",
    },
    publication.isYes(isStarted) ? `${says} nevertheless` : says,
  );

/** @param {Publication} publication */
const refusal = ({ refused, stands, key }) =>
  refused && [
    stands > 0 && h("p", null, `‘${key}’ stands as version ${stands}, a draft; it has not been started.`),
    refused.follows.length
      ? [h("p", null, "This follows from it; nothing has been changed yet:"), items(refused.follows)]
      : h("p", null, refused.message),
  ];
