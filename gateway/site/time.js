// Times and durations for people.

import { h } from "./dom.js";

const FORMAT = { dateStyle: /** @type {const} */ ("medium"), timeStyle: /** @type {const} */ ("medium") };

/**
 * A time in the reader's zone, to the second.
 *
 * @param {string} datetime RFC 3339
 * @param {{locale?: string, timeZone?: string}} [options] For tests: otherwise the reader's own.
 * @returns {string} The text itself if it is no time.
 */
export function timeText(datetime, { locale, timeZone } = {}) {
  const time = new Date(datetime);
  if (Number.isNaN(time.getTime())) {
    return datetime;
  }
  return new Intl.DateTimeFormat(locale, { ...FORMAT, timeZone }).format(time);
}

/**
 * A time in the reader's zone; the exact one, as the service wrote it, on hover.
 *
 * @param {string} datetime RFC 3339
 */
export function timeElement(datetime) {
  return h("time", { datetime, title: datetime }, timeText(datetime));
}

/**
 * @param {number} milliseconds
 * @returns {string} `12 ms`, `1.5 s`, `2 min`
 */
export function durationText(milliseconds) {
  if (milliseconds < 1_000) {
    return `${Math.round(milliseconds)} ms`;
  }
  if (milliseconds < 59_950) {
    return `${Number((milliseconds / 1_000).toFixed(1))} s`;
  }
  return `${Math.round(milliseconds / 60_000)} min`;
}
