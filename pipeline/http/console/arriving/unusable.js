// Unusable: dead letters by reason, with the way back for them, and what this server refused.

/** @import { DeadLettersSeen, RefusedSeen, SentAgain } from "#api" */

import { now, Refusal, send } from "../api.js";
import { h, useState } from "../dom.js";
import { openDialog } from "../parts/dialog.js";
import { count, counted, duration } from "../parts/numbers.js";
import { may } from "../session/may.js";
import { message } from "./sample.js";
import { spark } from "./spark.js";

/** @param {DeadLettersSeen[]} deadLetters */
export const unusable = (deadLetters) =>
  h(
    "section",
    { "aria-labelledby": "unusable" },
    h("h2", { id: "unusable" }, "Could not be used"),
    deadLetters.length
      ? h("ul", { class: "unusable" }, deadLetters.map(unusableRow))
      : h("p", { class: "quiet" }, "Nothing in the last two days."),
  );

/** @param {DeadLettersSeen} each */
const unusableRow = (each) =>
  h(
    "li",
    { key: `${each.topic} ${each.reason}` },
    h(
      "div",
      { class: "head" },
      h("strong", null, each.reason, h("small", null, `${each.topic}: ${each.meaning}`)),
      spark(each.minutes, "minute"),
      h("span", null, `${count(each.hour)} in the last hour, the last ${duration(now() - each.last)} ago`),
      may("edit") && h("button", { type: "button", onclick: () => openSending(each.reason) }, "Send again …"),
    ),
    h("p", null, each.detail),
    h(
      "details",
      null,
      h("summary", null, `The last, from ${each.origin}${each.is_cut ? ", cut" : ""}`),
      message(each.value),
    ),
  );

/** @param {RefusedSeen[]} refused */
export const refused = (refused) =>
  refused.length > 0 &&
  h(
    "section",
    { "aria-labelledby": "refused" },
    h("h2", { id: "refused" }, "Refused by this server"),
    h("p", { class: "quiet" }, "Requests of SDKs of which nothing was taken, since it started."),
    h(
      "ul",
      { class: "unusable" },
      refused.map((each) =>
        h(
          "li",
          { key: `${each.code} ${each.error}` },
          h("p", null, h("strong", null, String(each.code)), ` ${each.error}`),
          h("p", { class: "quiet" }, `${told(each)}, the last ${duration(now() - each.last)} ago`),
          each.value && h("details", null, h("summary", null, "The event to blame"), message(each.value)),
        ),
      ),
    ),
  );

/** @param {RefusedSeen} each */
const told = ({ events, requests }) =>
  (events > 0 ? `${counted(events, "event")} in ` : "") + counted(requests, "request");

/** @param {string} reason */
const openSending = (reason) => openDialog(`Send again: ${reason}`, (close) => h(Sending, { reason, close }));

/** @param {{ reason: string, close: () => void }} props */
function Sending({ reason, close }) {
  const [told, setTold] = useState("");
  const [isSending, setSending] = useState(false);
  const sendAgain = async () => {
    setSending(true);
    try {
      /** @type {SentAgain} */
      const sent = await (await send("POST", "arriving/dead-letters/send", { reason })).json();
      setTold([`${count(sent.number)} of the last ${sent.hours} hours were sent again.`, ...sent.told].join(" "));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      setTold(error.message);
    }
    setSending(false);
  };
  return h(
    "div",
    null,
    h(
      "p",
      null,
      "Those of the last two days go to their topics once more. Do it once the cause is mended: what is still wrong comes back here. Sent twice, they count once.",
    ),
    h("p", { role: "status" }, isSending ? "Sending …" : told),
    h(
      "div",
      { class: "actions" },
      !told && h("button", { type: "button", class: "main", disabled: isSending, onclick: sendAgain }, "Send again"),
      h("button", { type: "button", onclick: close }, told ? "Close" : "Leave them"),
    ),
  );
}
