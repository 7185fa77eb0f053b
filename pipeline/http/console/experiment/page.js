// Experiment: its verdict, whether it can be believed, what each metric says, and how the numbers can be made again.

/** @import { FlagArriving, Look } from "#api" */
/** @import { Told } from "../flag/definition.js" */
/** @import { Page, Surroundings } from "../main.js" */
/** @import { Route } from "../parts/route.js" */
import { best } from "./best.js";
/** @import { Choice } from "./choice.js" */

import { now } from "../api.js";
import { LaunchChecklist } from "../arriving/checklist.js";
import { DocumentLinks } from "../authoring/links.js";
import { Comments } from "../decisions/comments.js";
import { decided, decisionsOn } from "../decisions/decided.js";
import { h } from "../dom.js";
import { actions } from "../flag/actions.js";
import { whoGetsWhat } from "../flag/allocation.js";
import { audience } from "../flag/audience.js";
import { readArriving, readFlag } from "../flag/definition.js";
import { atHome, problem, stateWords } from "../flag/page.js";
import { Versions } from "../flag/versions.js";
import { term } from "../parts/meanings.js";
import { duration, moment } from "../parts/numbers.js";
import { addressOf } from "../parts/route.js";
import { decisionOn, mark, warning } from "../parts/words.js";
import { PlanSection } from "../plan/section.js";
import { shareButton } from "../session/share.js";
import { choiceOf, queryOf } from "./choice.js";
import { dataFaults } from "./datafaults.js";
import { happenings } from "./happenings.js";
import { health } from "./health.js";
import { Histories } from "./histories.js";
import { Looks } from "./looks.js";
import { RecountSection } from "./recount.js";
import { Reproducibility } from "./reproducibility.js";
import { scorecard, toBeMeasured } from "./scorecard.js";
import { segments } from "./segments.js";
import { Shipped } from "./shipped.js";
import { hypothesis, verdict } from "./verdict.js";

/** @implements {Page} */
export class ExperimentPage {
  /** @type {Told | null} */
  #flag = null;
  /** @type {FlagArriving | null} */
  #arriving = null;
  /** @type {string | null} */
  #run = null; // that was chosen; null: the newest
  /** @type {Choice | null} */
  #choice = null; // until the words are learnt in which it is said
  /** @type {Route} */
  #asked;

  /** @param {Route} route @param {Surroundings} surroundings */
  constructor(route, { redraw, say }) {
    this.#asked = route;
    const [key = ""] = route.of;
    const path = `experiments/${encodeURIComponent(key)}`;
    this.key = key;
    this.redraw = redraw;
    this.say = say;
    this.looks = new Looks(path, redraw);
    this.histories = new Histories(path, redraw);
    this.reproducibility = new Reproducibility(path, redraw);
    this.plan = new PlanSection("experiments", key);
    this.recount = new RecountSection(key);
    this.versions = new Versions("experiments", key, redraw);
  }

  get stream() {
    return `results/stream?experiment=${encodeURIComponent(this.key)}`;
  }

  get title() {
    const sign = this.#flag ? `${decisionOn(this.#flag, this.looks.newest(this.run)).sign} ` : "";
    return `${sign}${this.key} – Peekproof`;
  }

  get address() {
    const past = this.looks.past(this.run);
    const of = [this.key, ...(past ? [past.run, String(past.look)] : this.#run ? [this.#run] : [])];
    return addressOf({ at: "experiments", of, query: queryOf(this.choice) });
  }

  get choice() {
    this.#choice ??= choiceOf(this.#asked.query);
    return this.#choice;
  }

  get run() {
    return this.#run ?? this.#flag?.run ?? null;
  }

  async refresh() {
    const [told, arriving] = await Promise.all([readFlag(this.key), readArriving(this.key), this.versions.refresh()]);
    await atHome("experiments", told);
    await Promise.all([this.plan.refresh(told.state.definition), this.recount.refresh()]);
    if (this.#flag && this.#flag.run !== told.run) {
      this.#run = null; // another run began: that one is looked at
      this.looks.forget();
    }
    this.#flag = told;
    this.#arriving = arriving;
    this.#open(...this.#asked.of.splice(1));
  }

  /** Go to the run and the look that the address names.
   * @param {string} [run] @param {string} [look] */
  #open(run, look) {
    if (!run) return;
    const runs = this.#flag?.state.runs ?? [];
    if (!runs.some((each) => each.key === run)) this.looks.refusal = `There is no run ${run}; this is the newest.`;
    else {
      this.#run = run;
      if (look) this.looks.open(run, Number(look));
    }
  }

  /** @param {Look} look */
  take(look) {
    const before = this.looks.take(look);
    this.histories.take(look);
    if (!before || look.run !== this.run) return;
    const isDecided = this.#flag !== null && decisionsOn(this.#flag, look.run).length > 0;
    if (!isDecided && before.verdict.decision !== look.verdict.decision)
      this.say(`Verdict: ${look.verdict.decision}. ${look.verdict.reason}`);
    if (before.catalog_version !== look.catalog_version) {
      this.#again();
      return;
    }
    if (this.recount.isUnderWay) this.recount.refresh().then(this.redraw, () => {});
    if (this.#flag?.plan) this.plan.refresh(this.#flag.state.definition).then(this.redraw, () => {});
  }

  view() {
    const flag = this.#flag;
    if (!flag) return [];
    const look = this.looks.shown(this.run);
    const { definition } = flag;
    const { refusal } = this.looks;
    const { choice } = this;
    const choose = (/** @type {Partial<Choice>} */ chosen) => {
      Object.assign(choice, chosen);
      this.redraw();
    };
    return [
      h(
        "div",
        { class: "head" },
        h("h1", null, definition.name ?? this.key),
        actions("experiments", flag, () => this.#again()),
        shareButton(this.key),
      ),
      standing(flag),
      h(DocumentLinks, { kind: "flag", what: "experiment", of: this.key }),
      look && dataFaults(look),
      decided(flag, this.run, look) ?? verdict(flag, look),
      this.looks.timeline(flag, this.run, (run) => this.#choose(run)),
      refusal && h("p", { class: "quiet", role: "alert" }, refusal),
      h(LaunchChecklist, { experiment: this.key, status: flag.status, started: flag.started, time: now() }),
      h(Shipped, { experiment: this.key, holdout: definition.holdout ?? null }),
      hypothesis(definition, look),
      this.recount.view(flag, () => this.#again()),
      this.plan.view(flag, this.versions.all, () => this.#again()),
      look ? health(look) : toBeMeasured(flag),
      look && [
        best(look),
        scorecard(flag, look, choice, choose),
        this.histories.view(flag, look, choice, choose, happenings(look, flag.state.runs ?? [], this.versions.all)),
        segments(flag, look, choice, choose),
      ],
      whoGetsWhat(flag, look, this.#arriving),
      audience(definition),
      h(Comments, { kind: "experiments", of: this.key, seen: look ?? null }),
      this.versions.view(),
      look && this.reproducibility.view(look),
    ];
  }

  drawn() {
    this.histories.draw();
  }

  /** @param {string} run */
  #choose(run) {
    this.#run = run;
    this.redraw();
  }

  #again() {
    this.refresh().then(this.redraw, () => {}); // what fails now comes with the next refresh
  }
}

/** @param {Told} flag */
function standing(flag) {
  const { key, run, owner, tags, overdue } = flag;
  return h(
    "p",
    { class: "quiet" },
    h("code", null, key),
    " · ",
    h("a", { href: `#/briefs/${encodeURIComponent(key)}` }, "brief"),
    ` · ${stateWords(flag)}`,
    run && [" · ", term("Look.run", run), ran(flag)],
    ` · owner ${owner}`,
    tags.length > 0 && ` · ${tags.join(", ")}`,
    overdue && [" ", mark(warning(overdue))],
    problem(flag),
  );
}

/** @param {Told} flag */
function ran({ started, completed, definition: { end } }) {
  if (started === null) return null;
  const planned = end ? ` of ${duration(Date.parse(end) - started)} planned` : "";
  const long = completed ? `ran ${duration(completed - started)}` : `for ${duration(now() - started)}`;
  return ` ${long}${planned}, since ${moment(started)}`;
}
