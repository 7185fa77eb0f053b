// Zones: a moment as the wall clocks of a time zone show it, and as the viewer's does.

import { h } from "../dom.js";

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/** @param {string} timezone */
function format(timezone) {
  const known = formats.get(timezone);
  if (known) return known;
  const made = make(timezone);
  formats.set(timezone, made);
  return made;
}

/** @param {string} timezone */
function make(timezone) {
  const options = /** @type {const} */ ({ dateStyle: "short", timeStyle: "short" });
  try {
    return new Intl.DateTimeFormat("sv", { ...options, timeZone: timezone }); // Swedes write 2026-03-02 08:00
  } catch {
    return new Intl.DateTimeFormat("sv", { ...options, timeZone: "UTC" }); // which this browser does not know
  }
}

/** The time zone of the viewer. */
export const ownZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

/** A moment (ms) in a time zone; the pointer finds it by the viewer's clock.
 * @param {number} ms @param {string} timezone */
export function zoned(ms, timezone) {
  const own = ownZone();
  return h(
    "time",
    { datetime: new Date(ms).toISOString(), title: `${format(own).format(ms)} ${own}, where you are` },
    format(timezone).format(ms),
  );
}
