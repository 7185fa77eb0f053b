// Tail: exposures and events as they come, of one unit or of all, while somebody watches.

/** @import { TailMessage, TailTold } from "#api" */

import { follow } from "../api.js";
import { h, useEffect, useState } from "../dom.js";
import { count, moment } from "../parts/numbers.js";
import { message } from "./sample.js";

const MOST = 50; // that stand on the page

/** @param {{ unit: string }} props That is watched first; none: nobody. */
export function Tail({ unit }) {
  const [watched, setWatched] = useState(/** @type {string | null} */ (unit || null));
  const [messages, setMessages] = useState(/** @type {TailMessage[]} */ ([]));
  const [missed, setMissed] = useState(0);
  const [state, setState] = useState("");
  const [begun, setBegun] = useState(0); // so often
  useEffect(() => {
    if (watched === null) return;
    const leaving = new AbortController();
    setMessages([]);
    setMissed(0);
    setBegun(0);
    const query = watched ? `?${new URLSearchParams({ unit: watched })}` : "";
    follow(`arriving/tail${query}`, {
      signal: leaving.signal,
      take: (_, /** @type {TailTold} */ told) => {
        setMessages((before) => [...told.messages.reverse(), ...before].slice(0, MOST));
        setMissed((before) => before + told.missed);
      },
      tell: (state) => {
        setState(state);
        if (state === "live") setBegun((before) => before + 1);
      },
    });
    return () => leaving.abort();
  }, [watched]);
  return h(
    "section",
    { "aria-labelledby": "tail" },
    h("h2", { id: "tail" }, "As it comes"),
    form(unit, watched, setWatched),
    h(
      "p",
      { class: "quiet", role: "status" },
      watched === null ? "Nobody watches." : says(watched, state, messages, missed, begun > 1),
    ),
    messages.length > 0 &&
      h(
        "ol",
        { class: "tail" },
        messages.map((each) =>
          h(
            "li",
            { key: `${each.topic} ${each.partition} ${each.offset} ${each.value}` },
            h(
              "details",
              null,
              h(
                "summary",
                null,
                `${moment.clock(each.time)} ${each.topic} `,
                h("code", null, each.value.slice(0, 160)),
              ),
              message(each.value),
            ),
          ),
        ),
      ),
  );
}

/** @param {string} watched @param {string} state @param {TailMessage[]} messages @param {number} missed
 * @param {boolean} hasGaps */
function says(watched, state, messages, missed, hasGaps) {
  const of = watched ? `‘${watched}’` : "all units";
  if (state !== "live") return state === "lost" ? "Connecting again …" : `Beginning to watch ${of} …`;
  const gaps = hasGaps ? " What came while the tab was hidden or had no connection is not shown." : "";
  if (!messages.length) return `Watching ${of}: nothing has come yet.${gaps}`;
  return `Watching ${of}, the newest first${missed ? `; ${count(missed)} more came and are not shown` : ""}.${gaps}`;
}

/** @param {string} unit @param {string | null} watched @param {(watched: string | null) => void} watch */
const form = (unit, watched, watch) =>
  h(
    "form",
    {
      class: "filter",
      onsubmit: (event) => {
        event.preventDefault();
        const field = /** @type {HTMLFormElement} */ (event.target).elements.namedItem("unit");
        watch(/** @type {HTMLInputElement} */ (field).value.trim());
      },
    },
    h("input", {
      type: "search",
      name: "unit",
      "aria-label": "Of one unit: its user_id, device_id or group; empty: of all",
      placeholder: "user_id, device_id or group; empty: all",
      autocomplete: "off",
      defaultValue: unit,
    }),
    h("button", { type: "submit" }, "Watch"),
    watched !== null && h("button", { type: "button", onclick: () => watch(null) }, "Stop"),
  );
