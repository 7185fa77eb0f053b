// Publication: a document that is published, and started where that is asked, with a reason, and a yes to what follows.

/** @import { Edited } from "./edited.js" */

import { Refusal, send } from "../api.js";
import { publish } from "./documents.js";
import { mayCount } from "./fromstart.js";
import { readable } from "./values.js";

/** @typedef {{ of: "publish" | "start", isStarted: boolean, follows: string[], message: string }} Refused What was
 *   refused of what was asked; where something `follows` from it, it wants a yes. */

export class Publication {
  reason = "";
  fromStart = false; // runs count what is added from their start on
  isDraft = true; // what stands, if anything does: it may be started at once
  stands = 0; // the version, once it is published and not started yet
  isBusy = false;
  /** @type {Refused | null} */
  refused = null;

  /** @param {Edited} edited @param {(key: string) => void} done Goes on where it stands. */
  constructor(edited, done) {
    this.edited = edited;
    this.done = done;
  }

  get key() {
    return this.edited.at(["key"]);
  }

  get mayStart() {
    return this.edited.kind === "flag" && this.isDraft;
  }

  /** Whether runs may stand that would count some of it from now on. */
  get mayCount() {
    const { kind, base } = this.edited;
    return mayCount(kind, base) && (kind === "metric" || !this.isDraft);
  }

  get isReady() {
    const { isChecked, faults, newer } = this.edited;
    return !this.isBusy && (this.#standing > 0 || (isChecked && !faults.length && !newer));
  }

  /** The version that stands as it is typed; 0: there is none. */
  get #standing() {
    return this.edited.isChanged ? 0 : this.stands;
  }

  /** Whether the same is asked again, with a yes to what follows.
   * @param {boolean} isStarted */
  isYes(isStarted) {
    return this.refused !== null && this.refused.follows.length > 0 && this.refused.isStarted === isStarted;
  }

  /** @param {string} reason */
  say(reason) {
    this.reason = reason;
    this.edited.redraw();
  }

  /** @param {boolean} fromStart */
  count(fromStart) {
    this.fromStart = fromStart;
    this.edited.redraw();
  }

  /** @param {boolean} isStarted @param {boolean} isExperiment */
  async make(isStarted, isExperiment) {
    this.isBusy = true;
    const agreed = this.isYes(isStarted) ? this.refused?.of : null;
    /** @type {Refused["of"]} */
    let of = "publish";
    try {
      const version = this.#standing || (await this.#publish(agreed === of));
      if (isStarted) {
        this.stands = version;
        of = "start";
        await this.#start(isExperiment ? "experiments" : "flags", agreed === of);
      }
      this.done(this.key);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.refused = { of, isStarted, follows: error.consequences, message: error.message };
      if (of === "publish" && error.status === 409) await this.edited.lookAgain().catch(() => {});
    }
    this.isBusy = false;
    this.edited.redraw();
  }

  /** @param {boolean} isAgreed */
  async #publish(isAgreed) {
    const { edited, reason, key } = this;
    const { definition } = edited;
    const said = { reason, base: edited.base, from_start: this.mayCount && this.fromStart, ...yes(isAgreed) };
    const { version } = await publish(edited.kind, key, readable(definition)[0], said);
    await edited.published(key, definition);
    return version;
  }

  /** @param {"experiments" | "flags"} kind @param {boolean} isAgreed */
  #start(kind, isAgreed) {
    const said = { reason: this.reason, base: this.stands, ...yes(isAgreed) };
    return send("POST", `${kind}/${encodeURIComponent(this.key)}/actions/start`, said);
  }
}

/** @param {boolean} isAgreed */
const yes = (isAgreed) => (isAgreed ? /** @type {const} */ ({ yes: true }) : {});
