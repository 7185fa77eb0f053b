// Share: links that let whoever has one read this experiment, made, listed and revoked.

/** @import { NewShare, ShareMade, SharesTold } from "#api" */

import { get, now, Refusal, remove, send } from "../api.js";
import { h, useEffect, useState } from "../dom.js";
import { Secret } from "../parts/copied.js";
import { openDialog } from "../parts/dialog.js";
import { moment } from "../parts/numbers.js";
import { addressWith } from "./link.js";
import { may } from "./may.js";

const DAY = 86_400_000;
const LIVES = { 1: "a day", 7: "a week", 30: "30 days", 90: "90 days", 365: "a year" };

/** The button that opens them, for whoever may edit.
 * @param {string} experiment */
export const shareButton = (experiment) =>
  may("edit") &&
  h(
    "button",
    {
      type: "button",
      id: "share",
      onclick: () => openDialog(`Share: ${experiment}`, (close) => h(Shares, { experiment, close })),
    },
    "Share …",
  );

/** @param {{ experiment: string, close: () => void }} props */
function Shares({ experiment, close }) {
  const path = `experiments/${encodeURIComponent(experiment)}/shares`;
  const [shares, setShares] = useState(/** @type {SharesTold["shares"]} */ ([]));
  const [made, setMade] = useState(/** @type {ShareMade | null} */ (null));
  const [refused, setRefused] = useState("");

  /** @param {() => Promise<unknown>} act */
  async function attempt(act) {
    try {
      await act();
      setShares((await get(path)).shares);
      setRefused("");
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      setRefused(error.message);
    }
  }

  /** @param {SubmitEvent} event */
  async function make(event) {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    const said = new FormData(form);
    /** @type {NewShare} */
    const share = { name: String(said.get("name")).trim(), expires: now() + Number(said.get("days")) * DAY };
    await attempt(async () => {
      setMade(await (await send("POST", path, share)).json());
      form.reset();
    });
  }

  useEffect(() => {
    attempt(async () => {});
  }, []);

  return h(
    "form",
    { onsubmit: make },
    h("p", null, MEANS),
    h("label", null, "For whom ", h("input", { name: "name", required: true, maxlength: 200, autocomplete: "off" })),
    h(
      "label",
      null,
      "Expires in ",
      h(
        "select",
        { name: "days" },
        Object.entries(LIVES).map(([days, says]) => h("option", { value: days, selected: days === "30" }, says)),
      ),
    ),
    made &&
      h(Secret, {
        label: `The link for ${made.name}; it is shown this once`,
        text: addressWith(experiment, made.key),
      }),
    h("div", { class: "refusal", role: "alert" }, refused),
    listed(shares, (share) => attempt(() => remove(`${path}/${share.id}`))),
    h(
      "div",
      { class: "actions" },
      h("button", { type: "button", onclick: close }, "Close"),
      h("button", { type: "submit", class: "main" }, "Make a link"),
    ),
  );
}

const MEANS =
  "Whoever has the link reads this experiment and its brief without signing in, until it expires: nothing else, and nothing can be changed with it.";

/** @param {SharesTold["shares"]} shares @param {(share: SharesTold["shares"][number]) => unknown} revoke */
const listed = (shares, revoke) =>
  shares.length > 0 &&
  h(
    "ul",
    { class: "plain", "aria-label": "Links" },
    shares.map((share) =>
      h(
        "li",
        { id: share.id },
        `${share.name} · by ${share.by} · until ${moment(share.expires)} `,
        h(
          "button",
          { type: "button", "aria-label": `Revoke the link for ${share.name}`, onclick: () => revoke(share) },
          "Revoke",
        ),
      ),
    ),
  );
