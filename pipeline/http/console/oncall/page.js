// On call: whether the installation works: stages, how far behind, who holds the clock back, and what mends what is wrong.

/** @import { Examined, StagesTold } from "#api" */
/** @import { Page, Surroundings } from "../main.js" */

import { get } from "../api.js";
import { fact, h, table } from "../dom.js";
import { bytes, count, duration, moment } from "../parts/numbers.js";
import { mark, warning } from "../parts/words.js";

/** @typedef {StagesTold["stages"][number]} Stage */

const LATE_MS = 30_000; // as the server judges it

/** @implements {Page} */
export class OnCallPage {
  title = "On call – Peekproof";
  /** @type {StagesTold | null} */
  #told = null;
  /** @type {Examined | null} */
  #found = null;

  /** @param {Pick<Surroundings, "redraw">} surroundings */
  constructor({ redraw }) {
    this.redraw = redraw;
  }

  async refresh() {
    this.#told = await get("stages");
    // It takes some seconds to look; what is known already is shown meanwhile.
    get("doctor").then(
      (found) => {
        this.#found = found;
        this.redraw();
      },
      () => {}, // what fails now comes with the next refresh
    );
  }

  view() {
    if (!this.#told) return [];
    return [
      h("h1", null, "On call"),
      standing(this.#told),
      stages(this.#told),
      h("p", null, h("a", { href: "#/arriving" }, "What arrives, and dead letters by reason")),
      findings(this.#found),
    ];
  }
}

/** @param {StagesTold} told */
const standing = ({ behind, published, disk, time }) =>
  h(
    "section",
    { class: "standing", "aria-label": "Standing" },
    h(
      "p",
      { class: "says" },
      behind
        ? mark(warning(`Looks may not tell everything that has come: ${behind}.`))
        : mark({ sign: "✓", says: "Looks tell everything that has come.", tone: "good" }),
    ),
    h(
      "dl",
      { class: "facts" },
      fact("newest look", published ? `${duration(Math.max(0, time - published))} ago` : "there is none yet"),
      fact("disk", disk ? `${bytes(disk.free)} of ${bytes(disk.total)} are free` : "cannot be seen"),
    ),
  );

/** @param {StagesTold} told */
const stages = ({ stages, time }) =>
  h(
    "section",
    { "aria-labelledby": "stages" },
    h("h2", { id: "stages" }, "Stages"),
    table(
      "Stages",
      ["stage", "workers", "CPU", "memory at most", "records that wait", "clock"],
      stages.map((stage) =>
        h(
          "tr",
          { id: `stage-${stage.stage}` },
          h("th", { scope: "row" }, stage.stage),
          h("td", null, workers(stage)),
          h(
            "td",
            null,
            stage.workers.map(({ worker, cores }) => h("div", { id: `cpu-${worker}` }, percent(cores))),
          ),
          h(
            "td",
            null,
            stage.workers.map(({ worker, memory }) => h("div", { id: `memory-${worker}` }, bytes(memory))),
          ),
          h("td", null, stage.lag === null ? "nobody tells" : count(stage.lag)),
          h("td", null, clock(stage, time)),
        ),
      ),
    ),
  );

/** @param {number | null} cores */
const percent = (cores) => (cores === null ? "–" : `${Math.round(cores * 100)}% of a core`);

/** @param {Stage} stage */
const workers = ({ stage, workers }) =>
  workers.length
    ? workers.map(({ worker, started, counts }) =>
        h(
          "div",
          {
            id: `worker-${worker}`,
            title: Object.entries(counts)
              .map((each) => each.join(" "))
              .join(", "),
          },
          `${worker}, since ${moment(started)}`,
          Boolean(counts["dead letters"]) && `, ${count(counts["dead letters"])} dead letters`,
        ),
      )
    : [
        mark(warning("nobody works on it")),
        "; where it should run: ",
        h("code", null, `peekproof worker ${stage}`),
        ", or ",
        h("code", null, "peekproof up"),
      ];

/** @param {Stage} stage @param {number} time */
function clock({ slowest }, time) {
  if (!slowest) return "–";
  const { topic, partition, watermark, lag } = slowest;
  const place = `${topic}/${partition}`;
  if (watermark === null) return mark(warning(`not known yet: ${place} has told nothing`));
  const late = Math.max(0, time - watermark);
  const says = `${duration(late)} behind, by ${place}`;
  return late > LATE_MS ? mark(warning(`${says}, of which ${count(lag)} records wait`)) : says;
}

const SIGNS = /** @type {const} */ ({
  ok: { sign: "✓", tone: "good" },
  warning: { sign: "!", tone: "warn" },
  wrong: { sign: "✗", tone: "bad" },
  unknown: { sign: "?", tone: "warn" },
});

/** @param {Examined | null} found */
const findings = (found) =>
  h(
    "section",
    { "aria-labelledby": "doctor" },
    h("h2", { id: "doctor" }, "What the doctor says"),
    found?.failure && h("p", { role: "alert" }, `${found.failure}.`),
    found?.time
      ? [
          h("p", { class: "quiet" }, `As of ${moment(found.time)}; it looks once a minute while somebody is here.`),
          h(
            "ul",
            { class: "plain" },
            found.findings.map(({ area, status, what, command }, at) =>
              h(
                "li",
                { id: `finding-${at}` },
                mark({ ...SIGNS[status], says: `${area}: ${status}` }),
                ` ${what}`,
                command && [" → ", h("code", null, command)],
              ),
            ),
          ),
        ]
      : !found?.failure && h("p", { class: "quiet" }, "It is looking …"),
  );
