// What the fields of a form hold, as JSON, and back. No document here, so that Node can test it.

/** @typedef {string | number | boolean | null | Json[] | {[key: string]: Json}} Json */

const encoder = new TextEncoder();

/**
 * How many bytes a text has in UTF-8, which is what lexicons count.
 *
 * @param {string} text
 */
export function byteLength(text) {
  // A lone surrogate counts as U+FFFD, as which it is sent.
  return encoder.encode(text).length;
}

/**
 * What stands below a field with a limit.
 *
 * @param {string} text
 * @param {{minLength?: number, maxLength?: number}} limits In bytes.
 * @returns {{text: string, fits: boolean}}
 */
export function byteCount(text, { minLength = 0, maxLength }) {
  const bytes = byteLength(text);
  const fits = (maxLength === undefined || bytes <= maxLength) && (bytes === 0 || bytes >= minLength);
  if (maxLength === undefined) {
    return { text: bytes === 1 ? "1 byte" : `${bytes} bytes`, fits };
  }
  const range = minLength > 1 ? `; at least ${minLength}` : "";
  return { text: `${bytes} of ${maxLength} bytes${range}`, fits };
}

/**
 * Reads a whole number.
 *
 * @param {string} text
 * @returns {number | undefined} `undefined`: it is none that JSON keeps exactly.
 */
export function parseInteger(text) {
  const trimmed = text.trim();
  const value = Number(trimmed);
  return /^[-+]?\d+$/.test(trimmed) && Number.isSafeInteger(value) ? value : undefined;
}

/**
 * The time of an `<input type="datetime-local">`, which is in the reader's zone, in RFC 3339.
 *
 * @param {string} text
 * @returns {string | undefined}
 */
export function parseLocalTime(text) {
  const time = new Date(text);
  return text === "" || Number.isNaN(time.getTime()) ? undefined : time.toISOString();
}

/**
 * The reverse: what such an input shows.
 *
 * @param {string} datetime
 * @returns {string} Empty if it is no time.
 */
export function toLocalTime(datetime) {
  const time = new Date(datetime);
  if (Number.isNaN(time.getTime())) {
    return "";
  }
  const pad = (/** @type {number} */ number, length = 2) => String(number).padStart(length, "0");
  const date = `${pad(time.getFullYear(), 4)}-${pad(time.getMonth() + 1)}-${pad(time.getDate())}`;
  const clock = `${pad(time.getHours())}:${pad(time.getMinutes())}:${pad(time.getSeconds())}`;
  return `${date}T${clock}.${pad(time.getMilliseconds(), 3)}`;
}

/**
 * Whether two values are the same JSON, whatever the order of keys.
 *
 * @param {Json | undefined} one
 * @param {Json | undefined} other
 * @returns {boolean}
 */
export function same(one, other) {
  if (one === other) {
    return true;
  }
  if (typeof one !== "object" || typeof other !== "object" || !one || !other) {
    return false;
  }
  if (Array.isArray(one) !== Array.isArray(other)) {
    return false;
  }
  const keys = Object.keys(one);
  const [left, right] = [/** @type {any} */ (one), /** @type {any} */ (other)];
  return (
    keys.length === Object.keys(other).length &&
    keys.every((key) => key in right && same(left[key], right[key]))
  );
}

/**
 * What to send so that `before` becomes `after`: the fields that differ. A field that is gone is cleared as
 * updateWebhook wants it: a text by `""`, a list by `[]`. What was absent counts as `false` where `false` is
 * given.
 *
 * @param {{[key: string]: Json}} before
 * @param {{[key: string]: Json}} after
 * @param {string[]} fields Those that the form has.
 * @returns {{[key: string]: Json}}
 */
export function changes(before, after, fields) {
  /** @type {{[key: string]: Json}} */
  const changed = {};
  for (const field of fields) {
    const [was, is] = [before[field], after[field]];
    if (is === undefined) {
      if (typeof was === "string" && was !== "") {
        changed[field] = "";
      } else if (Array.isArray(was) && was.length > 0) {
        changed[field] = [];
      }
    } else if (!same(was ?? false, is)) {
      changed[field] = is;
    }
  }
  return changed;
}

/**
 * Whether a field of this name has a secret.
 *
 * @param {string} name
 */
export function isSecretName(name) {
  return /^(token|secret|password|.*(Token|Secret|Password))$/.test(name);
}

/**
 * The field that an error's message names, such as `rewrite[2].from` in `input.rewrite[2].from: required`.
 *
 * @param {string} message
 * @returns {string | undefined}
 */
export function fieldOf(message) {
  return message.match(/^(?:input|params)\.([\w$-]+(?:\.[\w$-]+|\[\d+\])*): /)?.[1];
}

/**
 * The field's path and those of what it lies in, innermost first.
 *
 * @param {string} path `rewrite[2].from`
 * @returns {string[]} `["rewrite[2].from", "rewrite[2]", "rewrite"]`
 */
export function pathsAround(path) {
  const paths = [path];
  for (let end = path.length - 1; end > 0; end -= 1) {
    if (path[end] === "." || path[end] === "[") {
      paths.push(path.slice(0, end));
    }
  }
  return paths;
}
