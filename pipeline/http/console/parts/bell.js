// Bell: what people were told last, and how much of it this browser has not shown yet.

/** @import { HandedOver, NotificationsTold, ToldNotification } from "#api" */

import { get, Refusal, whileShown } from "../api.js";
import { h, render, svg } from "../dom.js";
import { who } from "../session/may.js";
import { counted, moment } from "./numbers.js";
import { mark, warning } from "./words.js";

const KEPT = "peekproof-seen"; // when the newest was published that was looked at, in this browser
const SHOWN = 50;
const REFRESH_MS = 10_000; // a stream would hold one of the few connections of a browser

const seen = {
  get: () => Number(localStorage.getItem(KEPT) ?? 0),
  /** @param {number} time */
  set: (time) => localStorage.setItem(KEPT, String(time)),
};

export class Bell {
  /** @type {ToldNotification[] | null} */
  #told = null; // the newest first; null: it is not known yet what there is
  #since = 0; // what was published later is marked as new while the list is open
  #leaving = new AbortController();
  /** @type {string | null | undefined} */
  #id; // for whom it asks; undefined: nobody yet, or who is let in no more

  /** @param {HTMLElement} button @param {HTMLElement} panel @param {(text: string) => void} say */
  constructor(button, panel, say) {
    this.button = button;
    this.panel = panel;
    this.say = say;
    render(icon(), button);
    panel.addEventListener("beforetoggle", ({ newState }) => newState === "open" && this.#open());
    addEventListener("storage", (event) => event.key === KEPT && this.#draw());
    addEventListener("hashchange", () => panel.hidePopover());
  }

  /** Ask now and then, as whoever is signed in now. */
  listen() {
    const id = who()?.id ?? null;
    if (this.#id === id) return;
    this.#id = id;
    this.#leaving.abort();
    this.#leaving = new AbortController();
    whileShown(this.#leaving.signal, (signal) => this.#listen(signal));
  }

  /** @param {AbortSignal} signal */
  async #listen(signal) {
    while (!signal.aborted) {
      try {
        await this.#refresh();
      } catch (error) {
        if (error instanceof Refusal && error.isOfKey && !signal.aborted) {
          this.#id = undefined;
          return;
        }
      }
      await new Promise((resume) => setTimeout(resume, REFRESH_MS));
    }
  }

  async #refresh() {
    /** @type {NotificationsTold} */
    const { notifications } = await get(`notifications?limit=${SHOWN}`);
    const newest = notifications[0];
    if (this.#told && newest && newest.notification.id !== this.#told[0]?.notification.id)
      this.say(`Notification: ${newest.notification.sentence}`);
    this.#told = notifications;
    this.#draw();
  }

  /** Show the list: what is shown has been seen. */
  #open() {
    this.#since = seen.get();
    this.#draw(true);
    this.#refresh().catch(() => {}); // by now it may be known where the newest were delivered
  }

  #draw(isOpen = this.panel.matches(":popover-open")) {
    const told = this.#told ?? [];
    if (isOpen) seen.set(Math.max(seen.get(), told[0]?.published ?? 0));
    const unread = told.filter(({ published }) => published > seen.get()).length;
    const many = unread === SHOWN ? `${SHOWN}+` : String(unread);
    this.button.setAttribute("aria-label", unread ? `Notifications: ${many} unread` : "Notifications");
    render([icon(), unread > 0 && h("b", { "aria-hidden": "true" }, many)], this.button);
    if (isOpen) render(this.#list(), this.panel);
  }

  #list() {
    return [
      h("h2", { id: "notifications-title" }, "Notifications"),
      this.#told?.length
        ? h(
            "ol",
            null,
            this.#told.map((told) => item(told, told.published > this.#since)),
          )
        : h("p", { class: "quiet" }, this.#told ? none() : "Reading …"),
    ];
  }
}

const icon = () =>
  svg(
    "svg",
    { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" },
    svg("path", { d: "M8 1.5v1M3.5 11.5V7a4.5 4.5 0 0 1 9 0v4.5l1 1h-11zM6.5 14.5h3" }),
  );

const none = () => [
  "There are none yet. ",
  h("a", { href: "#/documents" }, "A notification rule"),
  " says what is told, and to whom.",
];

/** @param {ToldNotification} told @param {boolean} isNew */
function item({ notification: { id, sentence, event, rule, link }, published, deliveries }, isNew) {
  const href = link?.startsWith("#/") ? link : null;
  return h(
    "li",
    { id: `told-${id}`, class: isNew && "unread" },
    h("p", null, isNew && h("span", { class: "unseen" }, "new: "), href ? h("a", { href }, sentence) : sentence),
    h("p", { class: "quiet" }, `${moment(published)} · ${event} · rule ${rule}`),
    deliveries.length > 0 && h("p", { class: "quiet" }, deliveries.map(delivery)),
  );
}

/** What became of it at a place.
 * @param {HandedOver} handed @param {number} at */
const delivery = ({ place, outcome, attempts, error }, at) => [
  at > 0 && " · ",
  outcome === "delivered"
    ? `delivered to ${place}`
    : [mark(warning(`${place}: ${outcome}`)), ` after ${counted(attempts, "attempt")}, ${error}`],
];
