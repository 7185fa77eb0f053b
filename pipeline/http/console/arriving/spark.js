// Spark: how many came over time, as small bars. The numbers stand beside it.

import { h, svg } from "../dom.js";
import { count } from "../parts/numbers.js";

const HEIGHT = 20;

/** @param {number[]} numbers The oldest first. @param {string} of What one bar is of: minute, hour. */
export function spark(numbers, of) {
  const most = Math.max(1, ...numbers);
  const label = `${numbers.length} ${of}s, at most ${count(most)} in one`;
  return h(
    "span",
    { class: "spark" },
    svg(
      "svg",
      { viewBox: `0 0 ${numbers.length} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
      numbers.map((number, at) => {
        const height = number ? Math.max(1, (number / most) * HEIGHT) : 0;
        return svg("rect", { x: at + 0.1, y: HEIGHT - height, width: 0.8, height });
      }),
    ),
  );
}

const rates = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** Messages a second, or a minute where they are few.
 * @param {number} rate */
export const pace = (rate) =>
  rate >= 0.5 ? `${rates.format(rate)} / s` : rate > 0 ? `${rates.format(rate * 60)} / min` : "–";
