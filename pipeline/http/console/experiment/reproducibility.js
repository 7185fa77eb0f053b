// Reproducibility: what a look rests on, so that its numbers can be made again, and its files.

/** @import { Look } from "#api" */

import { save } from "../api.js";
import { fact, h } from "../dom.js";
import { analysisOf } from "../flag/definition.js";
import { field, titled } from "../parts/meanings.js";
import { count, written } from "../parts/numbers.js";

export class Reproducibility {
  /** @type {string | null} */
  #unsaved = null; // why a file cannot be had

  /** @param {string} path @param {() => void} redraw */
  constructor(path, redraw) {
    this.path = path;
    this.redraw = redraw;
  }

  /** @param {Look} look */
  view(look) {
    const { experiment, run, look: number } = look;
    const name = `${experiment}-${run}-${number}`;
    return h(
      "section",
      { "aria-labelledby": "again", class: "again" },
      h(
        "div",
        { class: "head" },
        h("h2", { id: "again" }, "Make these numbers again"),
        h(
          "div",
          { class: "actions" },
          this.#file("CSV", `.csv?run=${run}&look=${number}`, `${name}.csv`),
          this.#file("JSON", `/looks/${number}?run=${run}`, `${name}.json`),
        ),
      ),
      this.#unsaved && h("p", { class: "refusal", role: "alert" }, this.#unsaved),
      facts(look),
      h(
        "p",
        null,
        "The same records give the same bytes: ",
        h("code", null, "peekproof replay"),
        " folds the archived log again up to these offsets and compares every published look, byte for byte.",
      ),
    );
  }

  /** @param {string} kind @param {string} address @param {string} name */
  #file(kind, address, name) {
    const download = async () => {
      this.#unsaved = await save(`${this.path}/results${address}`, name).then(
        () => null,
        (error) => error.message,
      );
      this.redraw();
    };
    return h("button", { type: "button", onclick: download }, kind);
  }
}

/** @param {Look} look @param {"look" | "revision" | "catalog_version" | "time"} name */
const number = (look, name) => fact(titled(`Look.${name}`), written(look[name], field(`Look.${name}`).unit));

/** @param {Look} look */
function facts(look) {
  const offsets = Object.entries(look.offsets).sort(([one], [other]) => Number(one) - Number(other));
  const settings = Object.entries(analysisOf(look.analysis)).filter(([, value]) => value !== null);
  const written = (/** @type {unknown} */ value) => (typeof value === "object" ? JSON.stringify(value) : value);
  return h(
    "dl",
    { class: "facts" },
    fact(titled("Look.run"), `${look.experiment}/${look.run}`),
    number(look, "look"),
    number(look, "revision"),
    number(look, "catalog_version"),
    number(look, "time"),
    fact(titled("Look.offsets"), offsets.map(([at, offset]) => `${at}: ${count(offset)}`).join(" · ")),
    fact(
      titled("Look.analysis"),
      settings.map(([name, value]) => `${name.replaceAll("_", " ")} ${written(value)}`).join(" · "),
    ),
  );
}
