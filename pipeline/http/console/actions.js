// Actions: what a person does to a flag, with a reason, and with a second look where the server says that it costs something.

import { key, post } from "./api.js";
import { h } from "./dom.js";

/** What each step does, in a sentence; its button; and the statuses from which it may be taken. */
const STEPS = {
  start: {
    says: "Start",
    from: ["draft"],
    does: "From now on units enter: a run begins.",
  },
  rollout: {
    says: "Roll out",
    from: ["draft", "running", "complete", "rolled out", "rolled back"],
    does: "Everybody gets one variant; the run that is open ends.",
  },
  rollback: {
    says: "Roll back",
    from: ["running", "complete", "rolled out"],
    does: "Everybody gets ‘off’; the run that is open ends.",
  },
  complete: {
    says: "Complete",
    from: ["running"],
    does: "No unit enters any more; events count until the last window is settled.",
  },
  restart: {
    says: "Restart",
    from: ["running", "complete", "rolled out", "rolled back"],
    does: "Another run begins, with a fresh split; the one that is open ends. Results start again.",
  },
  archive: {
    says: "Archive",
    from: ["draft", "complete", "rolled out", "rolled back"],
    does: "It is put away, and everybody gets ‘off’, until it is restored.",
  },
  restore: {
    says: "Restore",
    from: ["archived"],
    does: "It comes back from the archive as it was.",
  },
};

/** Buttons of the steps that may be taken now; `kind` is `experiments` or `flags`; `done` reads what stands then. */
export function actions(kind, flag, done) {
  const open = Object.entries(STEPS).filter(([, { from }]) => from.includes(flag.status));
  return h(
    "div",
    { class: "actions", role: "group", "aria-label": "Actions" },
    open.map(([step, { says }]) =>
      h("button", { type: "button", id: `act-${step}`, onclick: () => ask(kind, flag, step, done) }, `${says} …`),
    ),
  );
}

function ask(kind, flag, step, done) {
  const { says, does } = STEPS[step];
  const variants = flag.variants.filter((each) => each !== flag.rolled_out);
  const choice = step === "rollout" && select(flag, variants);
  const reason = h("input", { name: "reason", required: true, maxlength: 1024, autocomplete: "off" });
  const told = h("div", { class: "refusal", role: "alert" });
  const take = h("button", { type: "submit", class: "main" }, says);
  let accepts = false;

  const dialog = modal(
    `${says}: ${flag.key}`,
    h("p", null, does),
    choice && h("label", null, "Variant ", choice),
    h("label", null, "Reason, for the history ", reason),
    told,
    h("div", { class: "actions" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), take),
  );
  for (const input of [choice, reason]) {
    if (input) input.oninput = () => accepts && reset();
  }
  dialog.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    take.disabled = true;
    try {
      const body = {
        reason: reason.value.trim(),
        base: flag.version,
        ...(choice && { variant: choice.value }),
        ...(accepts && { yes: true }),
      };
      await post(`${kind}/${encodeURIComponent(flag.key)}/actions/${step}`, body);
      dialog.close();
    } catch (error) {
      if (error.status === undefined) throw error;
      refused(error);
    } finally {
      done();
      take.disabled = false;
    }
  };

  function reset() {
    accepts = false;
    told.replaceChildren();
    take.textContent = says;
  }

  function refused({ message, consequences }) {
    accepts = consequences.length > 0 && !accepts;
    take.textContent = accepts ? `${says} nevertheless` : says;
    told.replaceChildren(
      accepts
        ? h(
            "div",
            null,
            h("p", null, "This follows from it; nothing has been changed yet:"),
            h(
              "ul",
              null,
              consequences.map((each) => h("li", null, each)),
            ),
          )
        : h("p", null, message),
    );
  }
}

function select(flag, variants) {
  const chosen = variants.find((each) => each !== flag.control) ?? variants[0];
  return h(
    "select",
    { name: "variant" },
    variants.map((each) => h("option", { value: each, selected: each === chosen }, each)),
  );
}

/** Ask for a key and keep it in this tab; whether one was given. */
export function askForKey() {
  return new Promise((resolve) => {
    const input = h("input", { type: "password", name: "key", autocomplete: "off", value: key.get() ?? "" });
    const dialog = modal(
      "Key",
      h(
        "p",
        null,
        "A key of the role viewer reads, experimenter and admin act too. ",
        h("code", null, "peekproof key create"),
        " makes one. It is kept in this tab alone.",
      ),
      h("label", null, "Key ", input),
      h(
        "div",
        { class: "actions" },
        h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
        h("button", { type: "submit", class: "main" }, "Use it"),
      ),
    );
    let isGiven = false;
    dialog.querySelector("form").onsubmit = (event) => {
      event.preventDefault();
      key.set(input.value.trim());
      isGiven = true;
      dialog.close();
    };
    dialog.addEventListener("close", () => resolve(isGiven));
  });
}

function modal(title, ...content) {
  const dialog = h(
    "dialog",
    { "aria-labelledby": "dialog-title" },
    h("form", null, h("h2", { id: "dialog-title" }, title), content),
  );
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
  dialog.querySelector("select, input")?.focus();
  return dialog;
}
