// Versions: how a flag came to stand where it stands. When, who, why, and what changed.

import { get, getDocument } from "./api.js";
import { h, table } from "./dom.js";
import { moment } from "./numbers.js";

/** A section for the history of one flag, which `refresh` reads anew and `view` draws. */
export function versionsOf(kind, key, redraw) {
  const path = `${kind}/${encodeURIComponent(key)}/versions`;
  const details = new Map(); // version -> its differences, or why they cannot be had, once they were asked for
  let versions = [];

  async function show(version, isOpen) {
    if (!isOpen || Array.isArray(details.get(version))) return;
    const told = await getDocument(`${path}/${version}`).then(
      ({ differences }) => differences,
      (error) => error.message,
    );
    details.set(version, told);
    redraw();
  }

  return {
    async refresh() {
      versions = (await get(path)).versions;
    },
    view: () =>
      h(
        "section",
        { "aria-labelledby": "history" },
        h("h2", { id: "history" }, "History"),
        h(
          "ol",
          { class: "versions", reversed: true },
          versions
            .toReversed()
            .map((each) =>
              h(
                "li",
                { id: `version-${each.version}`, value: each.version },
                h(
                  "p",
                  null,
                  h("b", null, each.changed.join(", ") || "nothing changed"),
                  each.reason !== each.changed.join(", ") && h("q", null, each.reason),
                ),
                h("p", { class: "quiet" }, `${moment(each.append_time)} UTC, ${each.author}`),
                h(
                  "details",
                  { ontoggle: (event) => show(each.version, event.target.open) },
                  h("summary", null, `What version ${each.version} changed`),
                  differences(details.get(each.version)),
                ),
              ),
            ),
        ),
      ),
  };
}

function differences(found) {
  if (!Array.isArray(found)) return h("p", { class: "quiet" }, found ?? "Reading …");
  if (!found.length) return h("p", { class: "quiet" }, "Nothing of the definition.");
  return table(
    "Differences",
    ["field", "before", "after"],
    found.map(({ path, before, after }) =>
      h(
        "tr",
        null,
        h("th", { scope: "row" }, h("code", null, path)),
        h("td", null, value(before, "del")),
        h("td", null, value(after, "ins")),
      ),
    ),
  );
}

const value = (of, tag) =>
  of === null || of === undefined ? "–" : h(tag, null, typeof of === "string" ? of : JSON.stringify(of));
