// Write: a brief as its author writes it.

/** @import { BriefShown } from "#api" */

import { Refusal, send } from "../api.js";
import { h, useState } from "../dom.js";
import { vocabulary } from "../parts/vocabulary.js";
import { Writing } from "./writing.js";

const PASSAGES = /** @type {const} */ ({
  background: "Background: why it was asked",
  decision: "Decision: what was decided, and why",
  learning: "Learning: what the next one should know",
});

/** Its fields, as they stood when the writing began.
 * @param {{ brief: BriefShown, done: () => void, leave: () => void }} props */
export function BriefForm({ brief, done, leave }) {
  const [before] = useState(brief);
  const [said, setSaid] = useState({
    owner: before.owner,
    tags: before.tags.join(", "),
    background: before.background.markdown,
    decision: before.decision.markdown,
    learning: before.learning.markdown,
    reason: "",
  });
  const [fault, setFault] = useState("");
  const [isUnderWay, setUnderWay] = useState(false);
  const put = (/** @type {Partial<typeof said>} */ some) => setSaid((all) => ({ ...all, ...some }));

  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    setUnderWay(true);
    const { owner, background, decision, learning, reason } = said;
    const tags = said.tags.split(",").map((tag) => tag.trim());
    const definition = { key: brief.key, owner, tags: tags.filter(Boolean), background, decision, learning };
    const path = `documents/brief/${encodeURIComponent(brief.key)}`;
    try {
      await send("PUT", path, { definition, base: before.version, reason: reason.trim() });
      done();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      setFault(error.message);
      setUnderWay(false);
    }
  }

  const line = (/** @type {"owner" | "tags" | "reason"} */ name, /** @type {string} */ label, isNeeded = true) =>
    field(name, label, said[name], isNeeded, (text) => put({ [name]: text }));
  return h(
    "form",
    { class: "brief-form", onsubmit: submit },
    h("h2", null, "What people remember"),
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
      h("button", { type: "button", onclick: leave }, "Cancel"),
    ),
  );
}

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
