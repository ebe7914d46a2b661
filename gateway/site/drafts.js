// Keeps what was written in forms while the person is away to sign in at their PDS. It stays in this tab.

const KEY = "athook.drafts";

/** @typedef {{[key: string]: import("./values.js").Json}} Value */
/** @typedef {{value: Value}} Draftable Such as a `Form`. */

/** @type {Map<string, {form: Draftable, element: HTMLElement}>} */
const forms = new Map();

/**
 * Fills a form with what was written in it before, and keeps it from now on.
 *
 * @param {string} key Which form this is.
 * @param {Draftable & {element: HTMLElement}} form
 * @returns {boolean} Whether there was something.
 */
export function keepDraft(key, form) {
  forms.set(key, { form, element: form.element });
  const drafts = read();
  const value = drafts[key];
  if (value === undefined) {
    return false;
  }
  delete drafts[key];
  write(drafts);
  form.value = value;
  return true;
}

/** To be called before the page is left for a while. */
export function saveDrafts() {
  const drafts = read();
  for (const [key, { form, element }] of forms) {
    if (element.isConnected) {
      drafts[key] = form.value;
    }
  }
  write(drafts);
}

/** To be called when somebody signs out. */
export function forgetDrafts() {
  sessionStorage.removeItem(KEY);
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
