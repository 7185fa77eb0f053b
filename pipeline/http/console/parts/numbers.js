// Numbers: how they are written. Always with their unit, and "–" where there is none.

/** @import { FieldTold } from "#api" */

/** @typedef {number | null | undefined} Maybe */

const NONE = "–";
const MINUS = "−";

const plain = new Intl.NumberFormat("en");
const decimals = (/** @type {number} */ least, /** @type {number} */ most) =>
  new Intl.NumberFormat("en", { minimumFractionDigits: least, maximumFractionDigits: most });
const two = decimals(2, 2);
const significant = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** @param {Maybe} value @returns {value is null | undefined} */
export const missing = (value) => value === null || value === undefined;

/** What is written as 0 has no sign.
 * @param {number} value @param {string} text */
const signed = (value, text) => (/[1-9]/.test(text) ? `${value < 0 ? MINUS : "+"}${text}` : text);

/** @param {Maybe} value */
export const count = (value) => (missing(value) ? NONE : plain.format(value));

/** So many of something that is called so if it is one.
 * @param {number} value @param {string} one */
export const counted = (value, one) => `${count(value)} ${one}${value === 1 ? "" : "s"}`;

/** Bytes, in the largest unit that leaves a number before the point.
 * @param {number} value */
export function bytes(value) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, value)) / 3)));
  return `${decimals(0, power ? 1 : 0).format(value / 1_000 ** power)} ${units[power]}`;
}

/** A share as it is: 0.1234 is 12.3%.
 * @param {Maybe} value */
export const share = (value, places = 1) =>
  missing(value) ? NONE : `${decimals(places, places).format(value * 100)}%`;

/** A relative lift, with its sign.
 * @param {Maybe} value */
export const lift = (value) => (missing(value) ? NONE : signed(value, share(Math.abs(value))));

/** A metric's mean over units: a share for a conversion.
 * @param {Maybe} value @param {boolean} isShare */
export const mean = (value, isShare) => (missing(value) ? NONE : isShare ? share(value, 2) : two.format(value));

/** A number without a unit, to three digits.
 * @param {Maybe} value */
export const amount = (value) => (missing(value) ? NONE : significant.format(value));

/** A difference in the metric's own unit; of shares in percentage points.
 * @param {Maybe} value @param {boolean} isShare */
export function difference(value, isShare) {
  if (missing(value)) return NONE;
  const size = Math.abs(value);
  return signed(value, isShare ? `${two.format(size * 100)} pp` : significant.format(size));
}

/** What lies between two ends, of which one may be open.
 * @param {Maybe} lower @param {Maybe} upper @param {(end: number) => string} write */
export function interval(lower, upper, write) {
  if (!missing(lower) && !missing(upper)) return `[${write(lower)}, ${write(upper)}]`;
  if (!missing(upper)) return `at most ${write(upper)}`;
  return missing(lower) ? NONE : `at least ${write(lower)}`;
}

/** @param {Maybe} value */
export function pValue(value) {
  if (missing(value)) return NONE;
  return value < 0.0001 ? "< 0.0001" : value.toFixed(4);
}

const SECOND = /** @type {const} */ ([1_000, "s", "s"]);
const AGES = /** @type {const} */ ([
  [86_400_000, "day", "days"],
  [3_600_000, "hour", "hours"],
  [60_000, "min", "min"],
]);

/** How long, in the largest unit of which there are two: "3 days", "90 min", "0.8 s".
 * @param {number} ms */
export function duration(ms) {
  const [size, one, many] = AGES.find(([size]) => ms >= 2 * size) ?? SECOND;
  const number = ms / size;
  return size === 1_000 && number < 10
    ? `${Math.max(0, number).toFixed(1)} s`
    : `${plain.format(Math.round(number))} ${Math.round(number) === 1 ? one : many}`;
}

const wallClock = new Intl.DateTimeFormat("sv", { dateStyle: "short", timeStyle: "medium" }); // 2026-03-02 08:00:00
const zoneName = new Intl.DateTimeFormat("en", { timeZoneName: "short" });

/** A moment (ms) in the reader's time zone, to the second, with the zone's name; `moment.bare` without it, where a head
 * says it, `moment.day` the date alone, `moment.clock` the time.
 * @param {Maybe} ms */
export const moment = (ms) => (missing(ms) ? NONE : `${moment.bare(ms)} ${zoneAt(ms)}`);

/** @param {Maybe} ms */
moment.bare = (ms) => (missing(ms) ? NONE : wallClock.format(ms));

/** @param {Maybe} ms */
moment.day = (ms) => moment.bare(ms).slice(0, 10);

/** @param {Maybe} ms */
moment.clock = (ms) => (missing(ms) ? NONE : moment.bare(ms).slice(11));

/** A text of the server's, with its moments in the reader's time zone.
 * @param {string} text */
moment.within = (text) =>
  text.replace(/(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC/g, (_, day, clock) => moment(Date.parse(`${day}T${clock}Z`)));

/** What the reader's zone is called then: it has another name in summer.
 * @param {number} ms */
const zoneAt = (ms) => zoneName.formatToParts(ms).find(({ type }) => type === "timeZoneName")?.value ?? "";

/** As of when a look is; 0 until every partition has a watermark.
 * @template Told @param {number} time @param {(time: number) => Told} write */
export const asOf = (time, write) => (time ? write(time) : "not known yet");

/** @type {{ [Name in Exclude<FieldTold["unit"], `metric${string}`>]: (value: Maybe) => string }} */
const BY_UNIT = {
  none: count,
  units: count,
  exposures: count,
  events: count,
  ids: count,
  people: count,
  share,
  lift,
  probability: share,
  "p-value": pValue,
  "ms UTC": moment,
  days: (value) => (missing(value) ? NONE : `${count(Math.round(value))} days`),
};

/** A number by its unit, unless that is a metric's own.
 * @param {Maybe} value @param {FieldTold["unit"]} unit */
export const written = (value, unit) =>
  unit in BY_UNIT ? BY_UNIT[/** @type {keyof typeof BY_UNIT} */ (unit)](value) : NONE;
