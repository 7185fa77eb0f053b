// Numbers: how they are written. Always with their unit, and "–" where there is none.

const NONE = "–";
const MINUS = "−";

const plain = new Intl.NumberFormat("en");
const decimals = (least, most) =>
  new Intl.NumberFormat("en", { minimumFractionDigits: least, maximumFractionDigits: most });
const two = decimals(2, 2);
const significant = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

const missing = (value) => value === null || value === undefined;
const signed = (value, text) => (value < 0 ? `${MINUS}${text}` : `+${text}`);

export const count = (value) => (missing(value) ? NONE : plain.format(value));

/** A share as it is: 0.1234 is 12.3%. */
export const share = (value, places = 1) =>
  missing(value) ? NONE : `${decimals(places, places).format(value * 100)}%`;

/** A relative lift, with its sign. */
export const lift = (value) => (missing(value) ? NONE : signed(value, share(Math.abs(value))));

/** A metric's mean over units: a share for a conversion. */
export const mean = (value, isShare) => (missing(value) ? NONE : isShare ? share(value, 2) : two.format(value));

/** A difference in the metric's own unit; of shares in percentage points. */
export function difference(value, isShare) {
  if (missing(value)) return NONE;
  const size = Math.abs(value);
  return signed(value, isShare ? `${two.format(size * 100)} pp` : significant.format(size));
}

/** What lies between two ends, of which one may be open. */
export function interval(lower, upper, write) {
  if (missing(lower) && missing(upper)) return NONE;
  if (missing(lower)) return `at most ${write(upper)}`;
  if (missing(upper)) return `at least ${write(lower)}`;
  return `[${write(lower)}, ${write(upper)}]`;
}

export function pValue(value) {
  if (missing(value)) return NONE;
  return value < 0.0001 ? "< 0.0001" : value.toFixed(4);
}

const DAY = 86_400_000;
const AGES = [
  [DAY, "day", "days"],
  [3_600_000, "hour", "hours"],
  [60_000, "min", "min"],
  [1_000, "s", "s"],
];

/** How long, in the largest unit of which there are two: "3 days", "90 min", "0.8 s". */
export function duration(ms) {
  const [size, one, many] = AGES.find(([size]) => ms >= 2 * size) ?? AGES[3];
  const number = ms / size;
  return size === 1_000 && number < 10
    ? `${Math.max(0, number).toFixed(1)} s`
    : `${plain.format(Math.round(number))} ${Math.round(number) === 1 ? one : many}`;
}

/** A moment, UTC, to the second; `moment.day` the date alone. */
export const moment = (ms) => (missing(ms) ? NONE : new Date(ms).toISOString().slice(0, 19).replace("T", " "));
moment.day = (ms) => (missing(ms) ? NONE : moment(ms).slice(0, 10));
moment.clock = (ms) => (missing(ms) ? NONE : moment(ms).slice(11));
