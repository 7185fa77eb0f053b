// Explore: what anybody asks of a run afterwards, in words, and the answer of the archive, slice by slice.

/** @import { Answered, AskedBefore, Exploration, ExploredCell } from "#api" */
/** @import { Child } from "../dom.js" */
/** @import { Page, Surroundings } from "../main.js" */
/** @import { Route } from "../parts/route.js" */

import { get, Refusal, send } from "../api.js";
import { h, table } from "../dom.js";
import { amount, asOf, count, interval, lift, moment, pValue, share } from "../parts/numbers.js";
import { addressOf } from "../parts/route.js";
import { mark, sentence, standing, warning } from "../parts/words.js";

/** What is asked, one a line, by its name in an address. */
const ASKED = /** @type {const} */ ({
  metric: [
    "Metrics, or any event",
    "page_view:count\npurchase:sum:revenue@7d",
    "Keys of metrics, or EVENT:TYPE:PROPERTY.",
  ],
  by: [
    "Split units by",
    "country\nplan,platform",
    "Properties at their entry; day and hour too. With a comma: both at once.",
  ],
  by_event: ["Split events by", "category", "A property of the metrics’ events."],
  where: ["Of these alone", "plan is pro\nevent_properties.price greater 10", "Conditions: of units, or of events."],
});
/** @typedef {keyof typeof ASKED} Field */
const FIELDS = /** @type {Field[]} */ (Object.keys(ASKED));

/** @implements {Page} */
export class ExplorePage {
  /** @type {Exploration | null} */
  #answer = null;
  /** @type {AskedBefore | null} */
  #asked = null;
  #refused = "";
  #isReading = false;
  #turn = 0; // an answer to an earlier question than the last comes too late

  /** @param {Route} route @param {Pick<Surroundings, "redraw" | "say">} surroundings */
  constructor({ of, query }, { redraw, say }) {
    this.key = of[0] ?? "";
    this.run = query.get("run");
    this.said = /** @type {Record<Field, string>} */ (
      Object.fromEntries(FIELDS.map((name) => [name, query.getAll(name).join("\n")]))
    );
    this.isSplit = query.has("split");
    this.isLive = query.has("live");
    this.redraw = redraw;
    this.say = say;
    this.isNew = true;
  }

  get title() {
    return `Explore ${this.key} – Peekproof`;
  }

  /** What opens the same question. */
  get address() {
    const query = new URLSearchParams(this.run ? { run: this.run } : {});
    for (const name of FIELDS) for (const line of this.#lines(name)) query.append(name, line);
    if (this.isSplit) query.set("split", "");
    if (this.isLive) query.set("live", "");
    return addressOf({ at: "explore", of: [this.key], query });
  }

  get path() {
    const of = `experiments/${encodeURIComponent(this.key)}/explore`;
    return this.run ? `${of}?${new URLSearchParams({ run: this.run })}` : of;
  }

  async refresh() {
    if (!this.isNew) return;
    this.isNew = false;
    this.#asked = await get(this.path);
    if (this.isSplit || this.#lines("by").length > 0) void this.#ask();
  }

  /** @param {Field} name */
  #lines(name) {
    const lines = this.said[name].split("\n").map((line) => line.trim());
    return lines.filter((line) => line);
  }

  async #ask() {
    this.#turn += 1;
    const turn = this.#turn;
    this.#answer = null;
    this.#refused = "";
    this.#isReading = true;
    this.redraw();
    try {
      const metrics = this.#lines("metric");
      /** @type {Answered} */
      const told = await (
        await send("POST", this.path, {
          metrics: metrics.filter((each) => !each.includes(":")),
          any_event: metrics.filter((each) => each.includes(":")),
          by: this.#lines("by").map((line) => line.split(",").map((each) => each.trim())),
          by_event: this.#lines("by_event"),
          conditions: this.#lines("where"),
          reading: this.isLive ? "live" : "deciding",
          split: this.isSplit,
        })
      ).json();
      if (turn !== this.#turn) return;
      this.#answer = told.answer;
      this.#asked = told.asked;
      this.say(`Answered: ${told.answer.cells.length} comparisons.`);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (turn !== this.#turn) return;
      this.#refused = error.message;
    }
    this.#isReading = false;
    this.redraw();
  }

  view() {
    return [
      h("h1", null, `Explore ${this.key}`),
      h(
        "p",
        { class: "quiet" },
        "Ask the archive what nobody planned: it is folded once more, by the code that makes the results. ",
        h("a", { href: addressOf({ at: "experiments", of: [this.key], query: new URLSearchParams() }) }, "Its results"),
      ),
      this.#form(),
      this.#asked?.warning && h("p", { class: "warn", role: "note" }, mark(warning(sentence(this.#asked.warning)))),
      this.#refused && h("p", { class: "refusal", role: "alert" }, this.#refused),
      this.#isReading && h("p", { class: "quiet", role: "status" }, "Reading the archive …"),
      this.#answer && answered(this.#answer),
    ];
  }

  #form() {
    return h(
      "form",
      {
        class: "look-up",
        onsubmit: (event) => {
          event.preventDefault();
          void this.#ask();
        },
      },
      FIELDS.map((name) => {
        const [label, example, hint] = ASKED[name];
        return h(
          "div",
          { class: "field", key: name },
          h(
            "label",
            null,
            label,
            h("textarea", {
              rows: 2,
              placeholder: example,
              value: this.said[name],
              oninput: ({ target }) => {
                this.said[name] = target.value;
              },
            }),
          ),
          h("small", { class: "quiet" }, hint),
        );
      }),
      h(
        "div",
        { class: "field" },
        this.#choice("Which slice explains a broken split?", this.isSplit, (is) => {
          this.isSplit = is;
        }),
        this.#choice("Also units whose window is still open", this.isLive, (is) => {
          this.isLive = is;
        }),
      ),
      h("div", { class: "actions" }, h("button", { type: "submit", class: "main" }, "Ask")),
    );
  }

  /** @param {string} label @param {boolean} checked @param {(is: boolean) => void} take */
  #choice(label, checked, take) {
    return h(
      "label",
      { class: "choice" },
      h("input", { type: "checkbox", checked, onchange: ({ target }) => take(target.checked) }),
      ` ${label}`,
    );
  }
}

/** @param {Exploration} answer @returns {Child[]} */
function answered(answer) {
  const { family, cells, differences, split, notes } = answer;
  return [
    h(
      "p",
      { class: "quiet" },
      `${count(answer.units)} units, ${count(answer.counted)} events counted, up to ${asOf(answer.as_of, moment)}. `,
      family &&
        `${count(family.comparisons)} comparisons were asked for${
          family.correction === "none" ? ", without a correction" : `, corrected by ${family.correction}`
        }: each interval has a confidence of ${share(1 - family.level, 3)}.`,
    ),
    notes.length > 0 &&
      h(
        "ul",
        { class: "faults" },
        notes.map((each) => h("li", null, moment.within(each))),
      ),
    split && h("p", { class: split.causes.length > 0 ? "warn" : "" }, sentence(split.says)),
    cells.length > 0 &&
      table(
        "Comparisons by slice",
        ["slice", "metric", "variant", "units", "control", "lift", "interval", "p, corrected"],
        cells.map((cell, at) => h("tr", { key: String(at) }, row(cell))),
      ),
    differences.length > 0 &&
      h(
        "ul",
        null,
        differences.map((each) =>
          h(
            "li",
            null,
            `${each.metric}, ${each.variant}: by ${each.by.join(", ")} the effect ${
              each.adjusted_p_value < (family?.alpha ?? 0) ? "differs" : "does not differ more than by chance"
            } (Cochran’s Q over ${each.slices} slices, p ${pValue(each.adjusted_p_value)}).`,
          ),
        ),
      ),
  ];
}

/** @param {ExploredCell} explored @returns {Child[]} */
function row({ by, slice, metric, cell, adjusted_p_value }) {
  const name = by.map((each, at) => `${each} ${slice[at]}`).join(", ");
  const isKnown = cell.status === "ok";
  return [
    h("th", { scope: "row" }, name || "everybody"),
    h("td", null, metric),
    h("td", null, cell.variant),
    h("td", null, count(cell.n), h("small", null, amount(cell.mean))),
    h("td", null, count(cell.control_n), h("small", null, amount(cell.control_mean))),
    h("td", null, lift(cell.relative_estimate)),
    h("td", null, isKnown ? interval(cell.relative_lower, cell.relative_upper, lift) : standing(cell)),
    h("td", null, pValue(adjusted_p_value)),
  ];
}
