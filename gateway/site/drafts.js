// Keeps what was written in forms: in this page while another view is shown, in this tab while the person is away
// to sign in at their PDS. Secrets are not kept.

import { isSecretName } from "./values.js";

const KEY = "athook.drafts";

/** @typedef {import("./values.js").Json} Json */
/** @typedef {{[key: string]: Json}} Value */
/** @typedef {{value: Value}} Draftable Such as a `Form`. */

/** @type {Map<string, {form: Draftable, element: HTMLElement, initial: string}>} */
const forms = new Map();

/** What was written in forms that are not shown now. @type {Map<string, Value>} */
const held = new Map();

/**
 * Fills a form with what was written in it before, and keeps it from now on.
 *
 * @param {string} key Which form this is.
 * @param {Draftable & {element: HTMLElement}} form
 */
export function keepDraft(key, form) {
  forms.set(key, { form, element: form.element, initial: JSON.stringify(form.value) });
  const drafts = read();
  const value = held.get(key) ?? drafts[key];
  held.delete(key);
  delete drafts[key];
  write(drafts);
  if (value !== undefined) {
    form.value = value;
  }
}

/** To be called before another view is shown. */
export function holdDrafts() {
  for (const [key, { form, element, initial }] of forms) {
    if (element.isConnected && JSON.stringify(form.value) !== initial) {
      held.set(key, /** @type {Value} */ (withoutSecrets(form.value)));
    }
  }
}

/** To be called before the page is left for a while. */
export function saveDrafts() {
  const drafts = { ...read(), ...Object.fromEntries(held) };
  for (const [key, { form, element }] of forms) {
    if (element.isConnected) {
      drafts[key] = /** @type {Value} */ (withoutSecrets(form.value));
    }
  }
  write(drafts);
}

/**
 * To be called when a form was sent, or is not to be.
 *
 * @param {string} key
 */
export function dropDraft(key) {
  forms.delete(key);
  held.delete(key);
}

/** To be called when somebody signs out. */
export function forgetDrafts() {
  held.clear();
  sessionStorage.removeItem(KEY);
}

/**
 * A value without what is secret in it, so that it may be kept.
 *
 * @param {Json} value
 * @returns {Json}
 */
export function withoutSecrets(value) {
  if (Array.isArray(value)) {
    return value.map(withoutSecrets);
  }
  if (!value || typeof value !== "object") {
    return value;
  }
  const open = Object.entries(value).filter(([name]) => !isSecretName(name));
  return Object.fromEntries(open.map(([name, one]) => [name, withoutSecrets(one)]));
}

/** @returns {{[key: string]: Value}} */
function read() {
  try {
    const drafts = JSON.parse(sessionStorage.getItem(KEY) ?? "{}");
    return drafts && typeof drafts === "object" ? drafts : {};
  } catch {
    return {};
  }
}

/** @param {{[key: string]: Value}} drafts */
function write(drafts) {
  if (Object.keys(drafts).length === 0) {
    sessionStorage.removeItem(KEY);
  } else {
    sessionStorage.setItem(KEY, JSON.stringify(drafts));
  }
}
