// Flag: one plain feature flag. Who gets what, and how it came to that.

/** @import { FlagArriving, Listed, Look } from "#api" */
/** @import { Told } from "./definition.js" */
/** @import { Page, Surroundings } from "../main.js" */

import { DocumentLinks } from "../authoring/links.js";
import { Comments } from "../decisions/comments.js";
import { h } from "../dom.js";
import { moment } from "../parts/numbers.js";
import { mark, warning } from "../parts/words.js";
import { PlanSection } from "../plan/section.js";
import { actions } from "./actions.js";
import { whoGetsWhat } from "./allocation.js";
import { audience } from "./audience.js";
import { readArriving, readFlag } from "./definition.js";
import { Versions } from "./versions.js";

/** @implements {Page} */
export class FlagPage {
  /** @type {Told | null} */
  #flag = null;
  /** @type {FlagArriving | null} */
  #arriving = null;
  /** @type {Look | null} */
  #look = null;

  /** @param {string} key @param {Pick<Surroundings, "redraw">} surroundings */
  constructor(key, { redraw }) {
    this.key = key;
    this.redraw = redraw;
    this.plan = new PlanSection("flags", key);
    this.versions = new Versions("flags", key, redraw);
  }

  get stream() {
    return `results/stream?experiment=${encodeURIComponent(this.key)}`;
  }

  get title() {
    return `${this.key} – Peekproof`;
  }

  async refresh() {
    const [told, arriving] = await Promise.all([readFlag(this.key), readArriving(this.key), this.versions.refresh()]);
    await atHome("flags", told);
    await this.plan.refresh(told.state.definition);
    this.#flag = told;
    this.#arriving = arriving;
  }

  /** @param {Look} look */
  take(look) {
    this.#look = look;
  }

  view() {
    const flag = this.#flag;
    if (!flag) return [];
    const { definition, tags } = flag;
    const again = () => this.refresh().then(this.redraw, () => {}); // what fails now comes with the next refresh
    return [
      h("div", { class: "head" }, h("h1", null, definition.name ?? flag.key), actions("flags", flag, again)),
      h(
        "p",
        { class: "quiet" },
        h("code", null, flag.key),
        ` · ${stateWords(flag)} since ${moment(flag.changed)} · owner ${flag.owner}`,
        tags.length > 0 && ` · ${tags.join(", ")}`,
      ),
      h(DocumentLinks, { kind: "flag", of: flag.key }),
      flag.problem && h("p", null, problem(flag)),
      definition.description && h("p", null, definition.description),
      this.plan.view(flag, this.versions.all, again),
      whoGetsWhat(flag, this.#look?.run === flag.run ? this.#look : null, this.#arriving),
      audience(definition),
      h(Comments, { kind: "flags", of: this.key, seen: null }),
      this.versions.view(),
    ];
  }
}

/** Go on where a flag has its page: with metrics it is an experiment.
 * @param {"experiments" | "flags"} kind @param {Told} flag */
export async function atHome(kind, flag) {
  const home = Object.keys(flag.metrics).length ? "experiments" : "flags";
  if (home === kind) return;
  location.replace(`#/${home}/${encodeURIComponent(flag.key)}`);
  await new Promise(() => {}); // this page is left
}

/** @param {Pick<Listed, "status" | "rolled_out" | "gets">} flag */
export const stateWords = ({ status, rolled_out, gets }) => (rolled_out ? `${status}: ${gets}` : status);

/** Why everybody gets off, where no engine can evaluate the flag or nobody has what it needs.
 * @param {{ problem: string | null }} flag */
export const problem = (flag) => flag.problem && [" ", mark(warning("everybody gets off")), `: ${flag.problem}`];
