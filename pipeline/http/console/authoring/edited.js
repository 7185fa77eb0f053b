// Edited: a document as somebody types it. What stands, what is typed, what the server says of it, and the draft of it.

/** @import { Checked } from "#api" */
/** @import { Standing } from "./documents.js" */
/** @import { Fault, Path } from "./values.js" */

import { Refusal } from "../api.js";
import { check, readDocument, readDocuments } from "./documents.js";
import { draftOf, dropDraft, keepDraft } from "./drafts.js";
import { at, isGroup, pathOf, pathText, put, readable, same } from "./values.js";

const CHECK_MS = 400; // after the last key that was pressed

/** What is checked against, and what a form of it needs to know. */
export class Edited {
  /** @type {any} */
  definition = {};
  /** @type {Standing | null} */
  standing = null; // the version that is edited
  /** @type {Standing | null} */
  newer = null; // what somebody else has published meanwhile
  /** @type {Checked | null} */
  checked = null;
  /** @type {string | null} */
  unchecked = null; // why it could not be checked
  /** @type {number | null} */
  restored = null; // when the draft was kept that is gone on with
  /** @type {any} */
  discarded; // by whom it may be brought back
  isKept = true; // whether the browser had room for the draft
  isSeen = false; // all of it, so that every fault is told
  /** @type {any} */
  #asChecked; // what the server said something of
  #touched = new Set();
  /** @type {any} */
  #first; // what nobody has typed anything into
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #due;
  #checks = 0;

  /** @param {string} kind @param {string} key Of what stands; "": it is new. @param {string} draft Its name.
   * @param {() => void} redraw */
  constructor(kind, key, draft, redraw) {
    this.kind = kind;
    this.key = key;
    this.draft = draft;
    this.redraw = redraw;
  }

  get base() {
    return this.standing?.version ?? 0;
  }

  get isChanged() {
    return !same(this.definition, this.#first);
  }

  get isChecked() {
    return this.checked !== null && this.#due === undefined;
  }

  /** Begin with this, or with the draft of it.
   * @param {any} definition @param {Standing | null} standing */
  async begin(definition, standing) {
    this.standing = standing;
    this.definition = this.#first = definition;
    const draft = draftOf(this.draft);
    if (draft) {
      this.definition = draft.definition;
      this.restored = draft.time;
      await this.#restore(draft.base);
    }
    this.#check();
  }

  /** @param {number} base The version that the draft was of. */
  async #restore(base) {
    const { standing } = this;
    if (!standing || base === standing.version) return;
    const former = await readDocument(this.kind, this.key, base).catch(() => null);
    if (!former) return;
    [this.standing, this.newer, this.#first] = [former, standing, former.definition];
  }

  /** Whether somebody else has published meanwhile. */
  async lookAgain() {
    if (!this.key) return;
    const newest = (await readDocuments(this.kind)).find(({ key }) => key === this.key);
    if (!newest || newest.version === (this.newer ?? this.standing)?.version) return;
    this.newer = await readDocument(this.kind, this.key);
  }

  /** Go on upon what somebody else has published, with this definition.
   * @param {any} definition */
  goOn(definition) {
    if (!this.newer) return;
    this.standing = this.newer;
    this.#first = this.newer.definition;
    this.newer = null;
    this.replace(definition);
  }

  discard() {
    this.discarded = this.definition;
    this.restored = null;
    if (this.newer) this.standing = this.newer;
    this.newer = null;
    this.#first = this.standing?.definition ?? this.#first;
    this.definition = this.#first;
    dropDraft(this.draft);
    this.#soon();
  }

  bringBack() {
    this.replace(this.discarded);
    this.discarded = undefined;
  }

  /** It stands: what is typed from now on is of the version that was published.
   * @param {string} key @param {any} definition As it was typed when it was published. */
  async published(key, definition) {
    this.key = key;
    this.#first = definition;
    if (!this.isChanged) dropDraft(this.draft);
    this.standing = await readDocument(this.kind, key);
  }

  /** @param {Path} path @returns {any} */
  at(path) {
    return at(this.definition, path);
  }

  /** Write something there, or nothing (`undefined`); a part of which nothing is left goes with it, but no item of a list.
   * @param {Path} path @param {unknown} value */
  set(path, value) {
    this.touch(path);
    this.write(path, value);
  }

  /** The same, but that nothing is told of it yet: what was added is to be filled in.
   * @param {Path} path @param {unknown} value */
  write(path, value) {
    let definition = put(this.definition, path, value);
    for (let up = path.slice(0, -1); up.length && typeof up.at(-1) === "string"; up = up.slice(0, -1)) {
      const part = at(definition, up);
      const isEmpty = (isGroup(part) && !Object.keys(part).length) || (Array.isArray(part) && !part.length);
      if (!isEmpty) break;
      definition = put(definition, up, undefined);
    }
    this.replace(definition);
  }

  /** @param {any} definition */
  replace(definition) {
    this.definition = definition;
    this.isKept = keepDraft(this.draft, { definition, base: this.base, time: Date.now() });
    this.#soon();
  }

  /** Its faults are told from now on.
   * @param {Path} path */
  touch(path) {
    this.#touched.add(pathText(path));
  }

  #soon() {
    clearTimeout(this.#due);
    this.#due = setTimeout(() => this.#check(), CHECK_MS);
    this.redraw();
  }

  async #check() {
    this.#due = undefined;
    this.#checks += 1;
    const mine = this.#checks;
    const typed = this.definition;
    const [definition, unread] = readable(typed);
    const told = await this.#ask(definition);
    if (mine !== this.#checks) return;
    this.unchecked = told instanceof Refusal ? told.message : null;
    const checked = told instanceof Refusal ? this.checked : told;
    if (!(told instanceof Refusal)) this.#asChecked = typed;
    this.checked = checked && { ...checked, faults: [...unread, ...checked.faults] };
    this.redraw();
    if (checked && this.key && checked.version > (this.newer?.version ?? this.base)) this.#lookAfterFault();
  }

  async #lookAfterFault() {
    await this.lookAgain().catch(() => {}); // what fails now comes with the next refresh
    this.redraw();
  }

  /** @param {any} definition @returns {Promise<Checked | Refusal>} */
  async #ask(definition) {
    try {
      return await check(this.kind, { definition, base: this.base });
    } catch (error) {
      if (error instanceof Refusal) return error;
      throw error;
    }
  }

  get faults() {
    return this.checked?.faults ?? [];
  }

  /** What is told at a place: its faults and those of its parts, but for the parts that tell their own.
   * @param {Path} path @param {(string | number)[]} parts @returns {Fault[]} */
  faultsAt(path, parts = []) {
    const place = pathText(path);
    return this.faults.filter(
      (fault) =>
        isWithin(fault.path, place) &&
        this.#isTold(fault) &&
        !parts.some((part) => isWithin(fault.path, pathText([...path, part]))),
    );
  }

  /** Not of what has been typed anew since: that is being checked.
   * @param {Fault} fault */
  #isTold({ path }) {
    const place = pathOf(path);
    return (
      (this.isSeen || [...this.#touched].some((touched) => isWithin(path, touched))) &&
      same(at(this.definition, place), at(this.#asChecked, place))
    );
  }
}

/** @param {string} path @param {string} place */
export const isWithin = (path, place) =>
  place === "" || path === place || (path.startsWith(place) && /^[.[]/.test(path.slice(place.length)));
