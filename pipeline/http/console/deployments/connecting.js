// Connecting: what a program needs to be connected, to be copied.

/** @import { KeyMade } from "#api" */
/** @import { Kind } from "./snippets.js" */

import { h, useState } from "../dom.js";
import { Copied } from "../parts/copied.js";
import { SNIPPETS } from "./snippets.js";

/** `made`: the key that they carry; without one they say where it stands.
 * @param {{ kind: Kind, made: KeyMade | null }} props */
export function Connecting({ kind, made }) {
  const fitting = Object.entries(SNIPPETS).filter(([, { of }]) => of.includes(kind));
  const [chosen, choose] = useState(fitting[0]?.[0] ?? "evaluate");
  const id = made ? "snippet-of-key" : "snippet";
  return h(
    "section",
    { class: "connecting", "aria-labelledby": id },
    h("h2", { id }, made ? "Connect a program with this key" : "Connect a program"),
    h(
      "label",
      null,
      "By ",
      h(
        "select",
        { value: chosen, onchange: ({ target }) => choose(target.value) },
        fitting.map(([name, { says }]) => h("option", { value: name }, says)),
      ),
    ),
    SNIPPETS[chosen]?.onlyAsks &&
      h("p", null, "It asks only. An experiment counts whom your program sends an exposure of: ‘curl: send events’."),
    h(Copied, {
      label: made ? "It carries the new key" : "KEY is a key of this deployment",
      text: SNIPPETS[chosen]?.write(location.origin, made?.key ?? "KEY") ?? "",
    }),
  );
}
