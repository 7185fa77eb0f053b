// Sign in: a key is given once, and a cookie that no script can read takes its place, in every tab of this browser.

/** @import { Me, SignIn as Given, SignedOut, WayIn } from "#api" */
/** @import { Child } from "../dom.js" */

import { get, Refusal, remove, send } from "../api.js";
import { h, useEffect, useState } from "../dom.js";
import { openDialog } from "../parts/dialog.js";
import { moment } from "../parts/numbers.js";
import { forget, who } from "./may.js";

const CHANGED = "peekproof-signed"; // when somebody signed in or out, in this browser

/** `changed` is called after somebody has signed in or out in another tab.
 * @param {() => void} changed */
export const followOtherTabs = (changed) =>
  addEventListener("storage", ({ key }) => {
    if (key !== CHANGED) return;
    forget();
    changed();
  });

/** What is shown to whoever is not let in: why, and how one signs in. `open` asks for a key.
 * @param {{ open: () => void, why: string | null }} props */
export function SignIn({ open, why }) {
  const [way, setWay] = useState(/** @type {WayIn | null} */ (null));
  useEffect(() => {
    get("session").then(setWay, () => {}); // without an answer a key still opens
  }, []);
  return h(
    "div",
    { class: "refused" },
    h("h1", null, "Sign in"),
    h("p", null, why ? `${why}.` : way?.ended ? ENDED : way?.provider ? BY_PROVIDER : BY_KEY),
    way?.provider &&
      h(
        "p",
        null,
        h(
          "a",
          { class: "main", href: `/sign-in?to=${encodeURIComponent(location.hash || "#/")}` },
          `Sign in with ${way.provider}`,
        ),
      ),
    h(
      "button",
      { type: "button", class: way?.provider ? null : "main", onclick: open },
      way?.provider ? "Use a key" : "Sign in",
    ),
  );
}

const ENDED =
  "Your session has ended: it lives for 7 days after a key was given, for 12 hours after another sign-in, and no longer than its key.";
const BY_PROVIDER = "Your organisation lets you in, with the role that it gives you.";
const BY_KEY =
  "This server tells nothing without a key. Where it runs, ‘peekproof key create viewer --name YOU’ makes one that reads; an experimenter's acts too.";

/** Ask for a key, or tell who is signed in and offer to sign out; whether anybody is another one then.
 * @returns {Promise<boolean>} */
export function openSession() {
  const me = who();
  return new Promise((resolve) => {
    let isDone = false;
    const done = () => {
      isDone = true;
      forget();
      localStorage.setItem(CHANGED, String(Date.now()));
    };
    openDialog(
      me ? me.name : "Sign in",
      (close) => h(me ? SignOutForm : SignInForm, { me: /** @type {Me} */ (me), close, done }),
      () => resolve(isDone),
    );
  });
}

/** @typedef {{ me: Me, close: () => void, done: () => void }} Session */

/** @param {Session} props */
const SignInForm = ({ close, done }) =>
  h(
    Form,
    {
      says: "Sign in",
      close,
      act: async (form) => {
        /** @type {Given} */
        const signIn = { key: String(new FormData(form).get("key")).trim() };
        await send("POST", "session", signIn);
        done();
      },
    },
    h(
      "p",
      null,
      "A key of the role viewer reads, experimenter and admin act too. ",
      h("code", null, "peekproof key create"),
      " makes one. This browser remembers for 7 days that you gave it, and not the key.",
    ),
    h("label", null, "Key ", h("input", { type: "password", name: "key", autocomplete: "off", required: true })),
  );

/** @param {Session} props */
const SignOutForm = ({ me: { role, expires, is_open }, close, done }) =>
  h(
    Form,
    {
      says: expires ? "Sign out" : null,
      close,
      act: async () => {
        /** @type {SignedOut} */
        const { leave } = await (await remove("session")).json();
        done();
        if (leave) location.assign(leave);
      },
    },
    h(
      "p",
      null,
      is_open
        ? "This server wants no keys: everybody on this machine may do everything."
        : `Your role is ${role}.${expires ? ` You are signed in until ${moment(expires)}.` : ""}`,
    ),
  );

/** A form that does one thing, or nothing where `says` is null.
 * @param {{ says: string | null, close: () => void, act: (form: HTMLFormElement) => Promise<void>, children?: Child }} props */
function Form({ says, close, act, children }) {
  const [refused, setRefused] = useState("");
  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    try {
      await act(/** @type {HTMLFormElement} */ (event.currentTarget));
      close();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      setRefused(error.message);
    }
  }
  return h(
    "form",
    { onsubmit: submit },
    children,
    h("div", { class: "refusal", role: "alert" }, refused),
    h(
      "div",
      { class: "actions" },
      h("button", { type: "button", onclick: close }, says ? "Cancel" : "Close"),
      says && h("button", { type: "submit", class: "main" }, says),
    ),
  );
}
