// Others: documents of the kinds that have no page of their own, and what makes another.

/** @import { DocumentItem, SourceStanding } from "#api" */
/** @import { Page } from "../main.js" */

import { get } from "../api.js";
import { sourceStands } from "../arriving/sources.js";
import { h } from "../dom.js";
import { moment } from "../parts/numbers.js";
import { readDocuments } from "./documents.js";
import { DocumentLinks, mayMake, NewLinks } from "./links.js";
import { begun } from "./templates.js";

/** @type {Record<string, [string, string]>} What they are called, and what they are for. */
const KINDS = {
  group: ["Groups", "Flags of a mutual exclusion never share a unit; a holdout keeps some units out of all its flags."],
  notification: ["Notifications", "Who is told what, and where."],
  source: ["Sources", "Topics of others that are read as they are: what of their records are events or exposures."],
  template: ["Templates", "What experiments or flags of a sort begin with."],
};

/** @implements {Page} */
export class OthersPage {
  title = "Other documents – Peekproof";
  /** @type {DocumentItem[]} */
  #documents = [];
  /** @type {Record<string, SourceStanding>} */
  #standing = {};

  async refresh() {
    const [documents, { sources }] = await Promise.all([readDocuments(), get("sources")]);
    this.#documents = documents;
    this.#standing = Object.fromEntries(sources.map((/** @type {SourceStanding} */ each) => [each.key, each]));
  }

  view() {
    return [
      h("div", { class: "head" }, h("h1", null, "Other documents"), h(NewLinks, { whats: Object.keys(KINDS) })),
      Object.entries(KINDS).map(([kind, [says, means]]) => {
        const found = this.#documents.filter((each) => each.kind === kind);
        return h(
          "section",
          { "aria-labelledby": `of-${kind}` },
          h("h2", { id: `of-${kind}` }, says),
          found.length
            ? h(
                "ul",
                { class: "rows" },
                found.map((each) => row(each, kind === "source" ? this.#standing[each.key] : undefined)),
              )
            : h("p", { class: "quiet" }, `There are none yet. ${means}`),
        );
      }),
    ];
  }
}

/** @param {DocumentItem} document @param {SourceStanding} [standing] */
const row = ({ kind, key, name, owner, tags, version, author, time, of }, standing) =>
  h(
    "li",
    { id: `${kind}-${key}` },
    h(
      "div",
      { class: "named" },
      h("a", { href: `#/edit/${kind}/${encodeURIComponent(key)}` }, name ?? key),
      h("span", null, key),
    ),
    h(
      "div",
      null,
      h(
        "p",
        { class: "quiet" },
        [`version ${version} by ${author}, ${moment(time)}`, owner && `of ${owner}`, tags.join(", ")]
          .filter(Boolean)
          .join(" · "),
      ),
      standing && sourceStands(standing),
      kind === "template" && of && mayMake(of) && h("a", { href: begun(of, key) }, `Begin a new ${of} with it`),
      h(DocumentLinks, { kind, of: key }),
    ),
  );
