// Makes elements. Text is only ever set as text, and attributes are those listed here: nothing that somebody
// else wrote can become markup or a script.

/** @typedef {Node | string | number | null | undefined | false} Child */

const ATTRIBUTES = new Set(
  (
    "aria-busy aria-controls aria-current aria-describedby aria-expanded aria-hidden aria-invalid aria-label " +
    "aria-labelledby aria-live aria-required autocapitalize autocomplete checked class cols datetime disabled for " +
    "hidden href id inputmode lang max maxlength min name open placeholder readonly rel role rows scope selected " +
    "spellcheck step tabindex target title type value"
  ).split(" "),
);

/**
 * Makes an element.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown> & {on?: Record<string, (event: Event) => unknown>}} [attributes] `false`,
 *   `null` and `undefined` leave one out, `true` sets it empty. `on` holds listeners by the names of their
 *   events.
 * @param {...(Child | Child[])} children Strings become text.
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(/** @type {Record<string, EventListener>} */ (value))) {
        element.addEventListener(event, listener);
      }
    } else if (value !== false && value !== null && value !== undefined) {
      setAttribute(element, name, value === true ? "" : String(value));
    }
  }
  element.append(...nodes(children));
  return element;
}

/**
 * Puts these children in place of the present ones.
 *
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {string} value
 */
function setAttribute(element, name, value) {
  if (!ATTRIBUTES.has(name)) {
    throw new Error(`no attribute ${name} is set here`);
  }
  if (name === "href" && !isSafeLink(value)) {
    return;
  }
  element.setAttribute(name, value);
}

/**
 * Whether a link leads to a page: a path of this service, a fragment, or an http address. No script.
 *
 * @param {string} href
 */
export function isSafeLink(href) {
  return /^(#|\/(?![/\\])|https?:\/\/)/.test(href);
}

/**
 * @param {(Child | Child[])[]} children
 * @returns {(Node | string)[]}
 */
function nodes(children) {
  return children
    .flat()
    .filter((child) => child !== false && child !== null && child !== undefined)
    .map((child) => (typeof child === "number" ? String(child) : /** @type {Node | string} */ (child)));
}

/**
 * A button that submits nothing.
 *
 * @param {string} text
 * @param {(event: Event) => void} onClick
 * @param {Record<string, unknown>} [attributes]
 */
export function button(text, onClick, attributes = {}) {
  return h("button", { type: "button", ...attributes, on: { click: onClick } }, text);
}

/** How long something may take before progress is shown. */
const PATIENCE_MS = 300;

/**
 * Shows that something is under way once it takes long, and keeps its button from being pressed twice.
 *
 * @template T
 * @param {HTMLElement} place Gets `aria-busy`, which the style sheet draws.
 * @param {() => Promise<T>} work
 * @param {HTMLButtonElement} [pressed]
 * @returns {Promise<T>}
 */
export async function whileBusy(place, work, pressed) {
  const timer = setTimeout(() => {
    place.setAttribute("aria-busy", "true");
    announce("Working …");
  }, PATIENCE_MS);
  // Not `disabled`: that would take the focus away.
  pressed?.setAttribute("aria-disabled", "true");
  const stop = (/** @type {Event} */ event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  pressed?.addEventListener("click", stop, { capture: true });
  try {
    return await work();
  } finally {
    clearTimeout(timer);
    place.removeAttribute("aria-busy");
    pressed?.removeAttribute("aria-disabled");
    pressed?.removeEventListener("click", stop, { capture: true });
  }
}

/** @type {HTMLElement | undefined} */
let live;

/**
 * Tells people who use a screen reader.
 *
 * @param {string} text
 */
export function announce(text) {
  if (!live?.isConnected) {
    live = h("div", { class: "visually-hidden", role: "status", "aria-live": "polite" });
    document.body.append(live);
  }
  live.textContent = text;
}

/**
 * Moves the focus to something that is no control, such as a heading.
 *
 * @param {HTMLElement} element
 */
export function focusOn(element) {
  element.setAttribute("tabindex", "-1");
  element.focus({ preventScroll: false });
}

let ids = 0;

/**
 * An id that no other element of the page has.
 *
 * @param {string} prefix
 */
export function uniqueId(prefix) {
  ids += 1;
  return `${prefix}-${ids}`;
}
