// JSON field: any JSON value, as text that says where it is none.

/** @import { Place } from "./form.js" */

import { h } from "../dom.js";
import { Framed, useTyped } from "./form.js";
import { faultOfJson, readExactly, textOfUnread, unread } from "./values.js";

/** @param {Place} place */
export function JsonField(place) {
  const { form, path, title } = place;
  const value = form.edited.at(path);
  const [shown, take] = useTyped(value, write, read);
  const isJson = value !== undefined && textOfUnread(value) === undefined;
  return h(
    "div",
    { class: "json" },
    h(Framed, {
      ...place,
      hint: "any JSON value",
      control: (attributes) =>
        h("textarea", {
          ...attributes,
          class: "code",
          rows: Math.min(12, Math.max(2, shown.split("\n").length)),
          spellcheck: "false",
          value: shown,
          oninput: (/** @type {{ target: HTMLInputElement }} */ { target }) =>
            form.edited.set(path, take(target.value)),
        }),
    }),
    h(
      "button",
      {
        type: "button",
        "aria-label": `Format ${title}`,
        disabled: !isJson,
        onclick: () => form.edited.set(path, take(JSON.stringify(value, null, 2))),
      },
      "Format",
    ),
  );
}

/** @param {unknown} value */
const write = (value) => textOfUnread(value) ?? (value === undefined ? "" : JSON.stringify(value, null, 2));

/** @param {string} text */
const read = (text) => (!text.trim() ? undefined : faultOfJson(text) ? unread(text) : readExactly(text));
