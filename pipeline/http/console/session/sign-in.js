// Sign in: a key is given once, and a cookie that no script can read takes its place, in every tab of this browser.

/** @import { Me, SignIn } from "#api" */
/** @import { Child } from "../dom.js" */

import { Refusal, remove, send } from "../api.js";
import { h, useState } from "../dom.js";
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
        /** @type {SignIn} */
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
        await remove("session");
        done();
      },
    },
    h(
      "p",
      null,
      is_open
        ? "This server wants no keys: everybody on this machine may do everything."
        : `Your role is ${role}.${expires ? ` You are signed in until ${moment(expires)} UTC.` : ""}`,
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
