// Comments: what people say about an experiment or a flag, with author and time.

/** @import { Comments as Told, CommentShown, Saying } from "#api" */

import { get, Refusal, remove, send } from "../api.js";
import { h, useState } from "../dom.js";
import { moment } from "../parts/numbers.js";
import { useRepeated } from "../parts/repeated.js";
import { vocabulary } from "../parts/vocabulary.js";
import { may } from "../session/may.js";
import { prose } from "./prose.js";
import { Writing } from "./writing.js";

const REFRESH_MS = 10_000;

/** @typedef {{ run: string, look: number } | null} Seen The look that the page shows, which a comment may be about. */

/** The comments, and a field for another one.
 * @param {{ kind: "experiments" | "flags", of: string, seen: Seen }} props `of`: the flag's key. */
export function Comments({ kind, of, seen }) {
  const path = `${kind}/${encodeURIComponent(of)}/comments`;
  const [comments, setComments] = useState(/** @type {CommentShown[] | null} */ (null));
  const [fault, setFault] = useState("");
  /** @param {Promise<Told>} answer */
  const take = (answer) =>
    answer.then(
      (told) => {
        setComments(told.comments);
        setFault("");
        return true;
      },
      (error) => {
        if (!(error instanceof Refusal)) throw error;
        setFault(error.message);
        return false;
      },
    );
  useRepeated(
    path,
    (of) => get(of),
    // None goes: an answer with fewer was on its way before another was said.
    (/** @type {Told} */ told) =>
      setComments((known) => (known && known.length > told.comments.length ? known : told.comments)),
    REFRESH_MS,
  );
  return h(
    "section",
    { "aria-labelledby": "comments" },
    h("h2", { id: "comments" }, "Comments"),
    comments &&
      h(
        "ol",
        { class: "comments" },
        comments.map((each) =>
          h(
            "li",
            { id: `comment-${each.version}` },
            item(of, each, () => take(remove(`${path}/${each.version}`, {}).then((answer) => answer.json()))),
          ),
        ),
      ),
    comments?.length === 0 && h("p", { class: "quiet" }, "There are none yet."),
    h("p", { class: "fault", role: "alert" }, fault),
    may("edit") &&
      h(Say, { seen, say: (/** @type {Saying} */ said) => take(send("POST", path, said).then((each) => each.json())) }),
  );
}

/** @param {string} of @param {CommentShown} comment @param {() => unknown} withdraw */
function item(of, { version, author, time, html, run, look, metric, withdrawn, withdrawn_by, may_withdraw }, withdraw) {
  const href = `#/experiments/${[of, run, look].map((part) => encodeURIComponent(part ?? "")).join("/")}`;
  return [
    h(
      "p",
      { class: "quiet" },
      h("b", null, author),
      `, ${moment(time)}`,
      run && look !== null && [", on ", h("a", { href }, `look ${look} of ${run}`)],
      run && look === null && `, on ${run}`,
      metric && `, on ${metric}`,
      may_withdraw &&
        h("button", { type: "button", class: "less", id: `withdraw-${version}`, onclick: withdraw }, "Withdraw"),
    ),
    html === null ? h("p", { class: "quiet" }, `Withdrawn by ${withdrawn_by}, ${moment(withdrawn)}.`) : prose(html),
  ];
}

/** @param {{ seen: Seen, say: (said: Saying) => Promise<boolean> }} props */
function Say({ seen, say }) {
  const [text, setText] = useState("");
  const [isOfLook, setOfLook] = useState(true);
  const [isUnderWay, setUnderWay] = useState(false);
  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    setUnderWay(true);
    if (await say({ text, ...(isOfLook && seen && { run: seen.run, look: seen.look }) })) setText("");
    setUnderWay(false);
  }
  return h(
    "form",
    { class: "say", onsubmit: submit },
    h(Writing, {
      id: "comment",
      label: "Your comment, in Markdown",
      text,
      rows: 3,
      longest: vocabulary.longest_comment,
      written: setText,
    }),
    h(
      "div",
      { class: "actions" },
      h("button", { type: "submit", disabled: isUnderWay || !text.trim() }, "Comment"),
      seen &&
        h(
          "label",
          null,
          h("input", {
            type: "checkbox",
            checked: isOfLook,
            onchange: ({ target }) => setOfLook(target.checked),
          }),
          ` on look ${seen.look} of ${seen.run}`,
        ),
    ),
  );
}
