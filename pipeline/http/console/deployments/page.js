// Deployments: the places that flags are served to. Of each its keys, what asks with them, and how a program is connected.

/** @import { KeysTold, ProgramsTold } from "#api" */
/** @import { Page, Surroundings } from "../main.js" */
/** @import { Kind } from "./snippets.js" */

import { get, now } from "../api.js";
import { DocumentLinks, NewLinks } from "../authoring/links.js";
import { h } from "../dom.js";
import { counted, duration, moment } from "../parts/numbers.js";
import { may } from "../session/may.js";
import { Connecting } from "./connecting.js";
import { Keys } from "./keys.js";

/** @typedef {{ id: string, label: string, type: Kind }} Deployment */

/** Every deployment.
 * @implements {Page} */
export class DeploymentsPage {
  title = "Deployments – Peekproof";
  /** @type {Deployment[]} */
  #all = [];

  async refresh() {
    this.#all = (await get("deployments")).deployments;
  }

  view() {
    return [
      h("h1", null, "Deployments"),
      h(
        "p",
        null,
        "A deployment is a place that flags are served to: a site, an app, a service. Each has keys of its own.",
      ),
      h(NewLinks, { whats: ["deployment"] }),
      this.#all.length
        ? h(
            "ul",
            { class: "rows" },
            this.#all.map(({ id, label, type }) =>
              h(
                "li",
                { id: `row-${id}` },
                h("a", { href: `#/deployments/${encodeURIComponent(id)}` }, label),
                h("span", { class: "quiet" }, h("code", null, id), ` · ${MEANS[type]}`),
              ),
            ),
          )
        : h("p", { class: "quiet" }, "There are none yet, so there are no keys with which a program could ask."),
    ];
  }
}

const MEANS = {
  client: "clients: browsers and apps, whose key anybody may see; no rules are told them",
  server: "servers: they may read rules and cohorts, and evaluate by themselves",
};

/** One of them.
 * @implements {Page} */
export class DeploymentPage {
  /** @type {Deployment | null} */
  #of = null;
  /** @type {ProgramsTold} */
  #heard = { since: 0, programs: [] };
  /** @type {KeysTold | null} */
  #keys = null; // null: whoever looks may not know them

  /** @param {string} key @param {Surroundings} surroundings */
  constructor(key, { redraw }) {
    this.key = key;
    this.redraw = redraw;
  }

  get title() {
    return `${this.#of?.label ?? this.key} – Peekproof`;
  }

  async refresh() {
    const key = encodeURIComponent(this.key);
    /** @type {[ProgramsTold, { deployments: Deployment[] }]} */
    const [heard, { deployments }] = await Promise.all([get(`deployments/${key}/connections`), get("deployments")]);
    this.#heard = heard;
    this.#of = deployments.find(({ id }) => id === this.key) ?? null;
    if (may("administer")) this.#keys = await get(`keys?deployment=${key}`);
  }

  view() {
    if (!this.#of) return [h("p", null, `There is no deployment ${this.key} any more.`)];
    const { id, label, type } = this.#of;
    const again = () => void this.refresh().then(this.redraw, () => {}); // what fails now comes with the next refresh
    return [
      h("h1", null, label),
      h("p", { class: "quiet" }, h("code", null, id), ` · ${MEANS[type]}`),
      h(DocumentLinks, { kind: "deployment", of: id }),
      connections(this.#heard),
      this.#keys
        ? h(Keys, { deployment: id, kind: type, keys: this.#keys, again })
        : [
            h("section", null, h("h2", null, "Keys"), h("p", { class: "quiet" }, "An admin makes and revokes them.")),
            h(Connecting, { kind: type, made: null }),
          ],
    ];
  }
}

/** @param {ProgramsTold} heard */
const connections = ({ since, programs }) =>
  h(
    "section",
    { "aria-labelledby": "connected" },
    h("h2", { id: "connected" }, "Connected"),
    programs.length
      ? h(
          "ul",
          { class: "plain" },
          programs.map(({ library, key, last, open, requests }) =>
            h(
              "li",
              { id: `program-${key}-${library}` },
              h("b", null, library),
              open ? ", asks now" : `, ${duration(Math.max(0, now() - last))} ago`,
              h("span", { class: "quiet" }, ` · ${counted(requests, "request")} with `, h("code", null, key)),
            ),
          ),
        )
      : h("p", null, "No program has asked or sent anything with a key of this deployment."),
    h(
      "p",
      { class: "quiet" },
      `That is what this server saw since it started, ${moment(since)}; of several servers each tells of itself.`,
    ),
  );
