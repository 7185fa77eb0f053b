// Write: a brief as its author writes it.

/** @import { BriefShown } from "#api" */

import { Refusal, send } from "../api.js";
import { draftOf, dropDraft, keepDraft } from "../authoring/drafts.js";
import { h, useState } from "../dom.js";
import { moment } from "../parts/numbers.js";
import { vocabulary } from "../parts/vocabulary.js";
import { Writing } from "./writing.js";

const PASSAGES = /** @type {const} */ ({
  background: "Background: why it was asked",
  decision: "Decision: what was decided, and why",
  learning: "Learning: what the next one should know",
});

/** @typedef {ReturnType<typeof standing>} Written */

/** Its fields, as they stood when the writing began, or as they were left; what is typed is kept in this browser.
 * @param {{ brief: BriefShown, done: () => void, leave: () => void }} props */
export function BriefForm({ brief, done, leave }) {
  const draft = `brief-form/${brief.key}`;
  const [before] = useState(() => draftOf(draft) ?? { definition: standing(brief), base: brief.version, time: null });
  const [said, setSaid] = useState(/** @type {Written} */ (before.definition));
  const [fault, setFault] = useState("");
  const [isUnderWay, setUnderWay] = useState(false);
  const put = (/** @type {Partial<Written>} */ some) => {
    const all = { ...said, ...some };
    setSaid(all);
    keepDraft(draft, { definition: all, base: before.base, time: Date.now() });
  };

  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    setUnderWay(true);
    const { owner, background, decision, learning, reason } = said;
    const tags = said.tags.split(",").map((tag) => tag.trim());
    const definition = { key: brief.key, owner, tags: tags.filter(Boolean), background, decision, learning };
    const path = `documents/brief/${encodeURIComponent(brief.key)}`;
    try {
      await send("PUT", path, { definition, base: before.base, reason: reason.trim() });
      dropDraft(draft);
      done();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      setFault(error.message);
      setUnderWay(false);
    }
  }

  const cancel = () => {
    dropDraft(draft);
    leave();
  };
  const line = (/** @type {"owner" | "tags" | "reason"} */ name, /** @type {string} */ label, isNeeded = true) =>
    field(name, label, said[name], isNeeded, (text) => put({ [name]: text }));
  return h(
    "form",
    { class: "brief-form", onsubmit: submit },
    h("h2", null, "What people remember"),
    before.time !== null &&
      h("p", { class: "quiet" }, `Your draft of ${moment(before.time)} goes on. ‘Cancel’ discards it.`),
    h("div", { class: "fields" }, line("owner", "Owner"), line("tags", "Tags, with commas between", false)),
    /** @type {(keyof typeof PASSAGES)[]} */ (Object.keys(PASSAGES)).map((name) =>
      h(Writing, {
        id: name,
        label: PASSAGES[name],
        text: said[name],
        rows: 7,
        longest: vocabulary.longest_markdown,
        written: (text) => put({ [name]: text }),
      }),
    ),
    line("reason", "Reason, for the history"),
    h("p", { class: "fault", role: "alert" }, fault),
    h(
      "div",
      { class: "actions" },
      h("button", { type: "submit", class: "main", disabled: isUnderWay }, "Save"),
      h("button", { type: "button", onclick: cancel }, "Cancel"),
    ),
  );
}

/** @param {BriefShown} brief */
const standing = ({ owner, tags, background, decision, learning }) => ({
  owner,
  tags: tags.join(", "),
  background: background.markdown,
  decision: decision.markdown,
  learning: learning.markdown,
  reason: "",
});

/** A text of one line.
 * @param {string} name @param {string} label @param {string} value @param {boolean} isNeeded
 * @param {(text: string) => void} written */
const field = (name, label, value, isNeeded, written) =>
  h(
    "label",
    null,
    label,
    h("input", {
      name,
      value,
      required: isNeeded,
      maxlength: vocabulary.longest_reason,
      autocomplete: "off",
      oninput: ({ target }) => written(target.value),
    }),
  );
