// Keys: those of a deployment, made, shown once, and revoked.

/** @import { KeyMade, KeysTold, NewKey } from "#api" */
/** @import { Kind } from "./snippets.js" */

import { now, Refusal, remove, send } from "../api.js";
import { h, useState } from "../dom.js";
import { Secret } from "../parts/copied.js";
import { openDialog } from "../parts/dialog.js";
import { duration, moment } from "../parts/numbers.js";
import { Connecting } from "./connecting.js";

/** @typedef {KeysTold["keys"][number]} Key */

/** @param {{ deployment: string, kind: Kind, keys: KeysTold, again: () => void }} props */
export function Keys({ deployment, kind, keys, again }) {
  const [made, setMade] = useState(/** @type {KeyMade | null} */ (null));
  const [refused, setRefused] = useState("");

  async function make() {
    try {
      /** @type {NewKey} */
      const key = { role: kind, deployment };
      setMade(await (await send("POST", "keys", key)).json());
      setRefused("");
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      setRefused(error.message);
    }
    again();
  }

  return h(
    "section",
    { "aria-labelledby": "keys" },
    h("h2", { id: "keys" }, "Keys"),
    keys.keys.length > 0 &&
      h(
        "ul",
        { class: "plain" },
        keys.keys.map((key) => row(key, keys.since, again)),
      ),
    h("p", null, h("button", { type: "button", onclick: make }, "New key")),
    h("div", { class: "refusal", role: "alert" }, refused),
    made &&
      h(
        "div",
        { class: "made" },
        h(Secret, { label: "The new key; it is shown this once, keep it", text: made.key }),
        h(Connecting, { kind, made }),
      ),
    !made && h(Connecting, { kind, made: null }),
  );
}

/** @param {Key} key @param {number} since @param {() => void} again */
const row = (key, since, again) =>
  h(
    "li",
    { id: key.id },
    h("code", null, `${key.id}…`),
    ` made ${moment(key.created)} by ${key.name}, `,
    key.last
      ? `used ${duration(Math.max(0, now() - key.last))} ago `
      : key.created > since
        ? "not used yet "
        : `not used since ${moment(since)} `,
    h(
      "button",
      { type: "button", "aria-label": `Revoke ${key.id}`, onclick: () => askToRevoke(key, again) },
      "Revoke …",
    ),
  );

/** @param {Key} key @param {() => void} again */
const askToRevoke = (key, again) =>
  openDialog(`Revoke ${key.id}`, (close) => h(Revoking, { key: key.id, of: key, close, again }));

/** @param {{ key: string, of: Key, close: () => void, again: () => void }} props */
function Revoking({ of, close, again }) {
  const [refused, setRefused] = useState("");
  /** @param {SubmitEvent} event */
  async function revoke(event) {
    event.preventDefault();
    try {
      await remove(`keys/${encodeURIComponent(of.id)}`);
      close();
      again();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      setRefused(error.message);
    }
  }
  return h(
    "form",
    { onsubmit: revoke },
    h(
      "p",
      null,
      of.last
        ? `Whatever asks with it is refused from now on; it was used ${duration(Math.max(0, now() - of.last))} ago.`
        : "Whatever asks with it is refused from now on.",
    ),
    h("div", { class: "refusal", role: "alert" }, refused),
    h(
      "div",
      { class: "actions" },
      h("button", { type: "button", onclick: close }, "Cancel"),
      h("button", { type: "submit", class: "main" }, "Revoke"),
    ),
  );
}
