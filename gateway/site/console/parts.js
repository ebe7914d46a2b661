// Parts that several views of the console have.

import { button, fill, h, whileBusy } from "../dom.js";
import { timeElement } from "../time.js";
import { stateOf } from "./words.js";

/** @typedef {import("../dom.js").Child} Child */
/** @typedef {{element: HTMLElement, ready: Promise<void>, reload: () => Promise<void>}} Paged */

/** @param {string} state */
export function badge(state) {
  const { text, tone } = stateOf(state);
  return h("span", { class: `badge ${tone}` }, text);
}

/**
 * Names and what they have, those that have nothing left out.
 *
 * @param {[name: string, value: Child | Child[]][]} rows
 */
export function facts(rows) {
  const given = rows.filter(
    ([, value]) => value !== undefined && value !== "" && value !== false && value !== null,
  );
  return h(
    "dl",
    { class: "facts" },
    ...given.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

/** @param {string | undefined} datetime @returns {Child} */
export function timeOr(datetime) {
  return datetime && timeElement(datetime);
}

/**
 * An error, with a way to try once more.
 *
 * @param {unknown} error
 * @param {() => void} [again]
 */
export function problem(error, again) {
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("p", { class: "error" }, /** @type {Error} */ (error).message),
    again && button("Try again", again),
  );
}

/**
 * A list that is loaded in pages.
 *
 * @template T
 * @param {object} options
 * @param {(cursor?: string) => Promise<{entries: T[], cursor?: string}>} options.load
 * @param {(entry: T) => HTMLElement} options.show
 * @param {Child[]} options.empty What stands there when there is nothing.
 * @param {string} [options.label]
 * @returns {Paged}
 */
export function pagedList({ load, show, empty, label }) {
  const list = h("ul", { class: "cards", "aria-label": label });
  const below = h("div", { class: "actions" });
  const element = h("div", {}, list, below);
  /** Counts loads from the start: an answer to an earlier one is too late. */
  let generation = 0;

  /** @type {(cursor?: string, pressed?: HTMLButtonElement) => Promise<void>} */
  const page = async (cursor, pressed) => {
    const mine = cursor === undefined ? (generation += 1) : generation;
    try {
      const { entries, cursor: next } = await whileBusy(element, () => load(cursor), pressed);
      if (mine !== generation) {
        return;
      }
      const items = entries.map((entry) => h("li", {}, show(entry)));
      if (cursor === undefined) {
        fill(list, ...items);
      } else {
        list.append(...items);
        /** @type {HTMLElement | null | undefined} */ (
          items[0]?.querySelector("a, button, summary")
        )?.focus();
      }
      list.hidden = list.childElementCount === 0;
      const more = button("Show more", () => void page(next, more));
      fill(below, next ? more : list.hidden && h("div", { class: "empty" }, ...empty));
    } catch (error) {
      if (mine === generation) {
        fill(
          below,
          problem(error, () => void page(cursor)),
        );
      }
    }
  };
  const reload = () => page();
  return { element, ready: reload(), reload };
}

/**
 * A link to another view that looks like what it does.
 *
 * @param {string} hash
 * @param {Child} text
 * @param {Record<string, unknown>} [attributes]
 */
export function link(hash, text, attributes = {}) {
  return h("a", { href: hash, ...attributes }, text);
}

/**
 * Does something that a button starts; its error stands in `place`.
 *
 * @param {HTMLElement} place
 * @param {HTMLElement} busy
 * @param {HTMLButtonElement | undefined} pressed
 * @param {() => Promise<void>} work
 */
export async function attempt(place, busy, pressed, work) {
  fill(place);
  try {
    await whileBusy(busy, work, pressed);
  } catch (error) {
    fill(place, problem(error));
  }
}
