// Goals: what an experiment wants of its metrics, each found by text and shown with what it counts.

/** @import { Form, Place } from "./form.js" */
/** @import { Group, List } from "./shapes.js" */

import { h, useEffect, useState } from "../dom.js";
import { inWords } from "../metrics/wording.js";
import { matches } from "../parts/search.js";
import { readDocument } from "./documents.js";
import { Fields } from "./form.js";
import { Rows } from "./rows.js";
import { one } from "./wording.js";

/** @typedef {{ metric: string, role?: string, direction?: string }} Goal */

const MOST_FOUND = 8;
const ALWAYS = ["metric", "role", "direction", "minimum_effect"];
const OF_GUARDRAILS = "margin";

/** @param {Place} place */
export function GoalsField({ form, path, shape, title }) {
  const of = /** @type {Group} */ (/** @type {List} */ (shape).of);
  /** @type {Goal[]} */
  const goals = form.edited.at(path) ?? [];
  const prediction = form.edited.at(["hypothesis", "prediction"]);
  /** @param {string} metric */
  const add = (metric) => {
    const role = goals.some((goal) => goal.role === "primary") ? undefined : "primary";
    form.edited.write(path, [...goals, { metric, ...(role && { role }) }]);
  };
  return h(Rows, {
    form,
    path,
    title,
    one: one("metrics"),
    add: h(MetricSearch, { form, taken: goals.map(({ metric }) => metric), add }),
    row: (index) => {
      const goal = goals[index];
      const isGuardrail = goal?.role === "guardrail" || form.edited.at([...path, index, OF_GUARDRAILS]) !== undefined;
      const others = Object.keys(of.fields).filter((name) => !ALWAYS.includes(name) && name !== OF_GUARDRAILS);
      return [
        goal?.role === "primary" &&
          prediction &&
          h("p", null, "The prediction, as a number: ", h("q", null, prediction)),
        h(Fields, {
          form,
          path: [...path, index],
          shape: of,
          names: [...ALWAYS, ...(isGuardrail ? [OF_GUARDRAILS] : []), ...others],
        }),
        goal?.metric && h(MetricPreview, { key: goal.metric, form, metric: goal.metric }),
      ];
    },
  });
}

/** @param {{ form: Form, taken: string[], add: (metric: string) => void }} props */
function MetricSearch({ form, taken, add }) {
  const [text, type] = useState("");
  const found = form.known
    .of("metric")
    .filter(({ key, name, owner, tags }) => !taken.includes(key) && matches(text, [key, name, owner, ...tags]));
  return h(
    "div",
    { class: "search" },
    h(
      "div",
      { class: "field" },
      h("label", { for: "metric-search" }, "Add a metric: find it by key, name or owner"),
      h("input", {
        id: "metric-search",
        type: "search",
        autocomplete: "off",
        value: text,
        oninput: ({ target }) => type(target.value),
      }),
      h(
        "small",
        { role: "status" },
        `${found.length} found${found.length > MOST_FOUND ? `; the first ${MOST_FOUND} are shown` : ""}`,
      ),
    ),
    h(
      "ul",
      { class: "found" },
      found
        .slice(0, MOST_FOUND)
        .map(({ key, name }) =>
          h(
            "li",
            { key },
            h("button", { type: "button", onclick: () => add(key), "aria-label": `Add ${key}` }, "Add"),
            h("span", null, h("b", null, key), name && ` ${name}`),
            h(MetricPreview, { form, metric: key }),
          ),
        ),
    ),
    h(
      "p",
      { class: "quiet" },
      h("a", { href: "#/new/metric" }, "Make another metric"),
      "; what you have typed here stays in this browser.",
    ),
  );
}

/** What a metric counts, and what came of it.
 * @param {{ form: Form, metric: string }} props */
function MetricPreview({ form, metric }) {
  const [told, tell] = useState(/** @type {string | null} */ (null));
  useEffect(() => {
    let isHere = true;
    readDocument("metric", metric).then(
      ({ definition }) => isHere && tell([definition.name, inWords(definition)].filter(Boolean).join(": ")),
      () => isHere && tell(null), // the fault of the field says it
    );
    return () => {
      isHere = false;
    };
  }, [metric]);
  return h("small", { class: "preview" }, [told, form.known.heardOf(metric)].filter(Boolean).join(" "));
}
