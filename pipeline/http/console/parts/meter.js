// Meter: a part of a whole as a bar; its number stands beside it.

import { h } from "../dom.js";

/** @param {number} part */
export const meter = (part) => h("progress", { max: 1, value: part, "aria-hidden": "true", tabindex: -1 });
