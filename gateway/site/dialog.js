// Questions that stand before the page until they are answered.

import { button, h, uniqueId } from "./dom.js";

/**
 * @typedef {object} Question
 * @property {import("./dom.js").Child | import("./dom.js").Child[]} title
 * @property {import("./dom.js").Child[]} text
 * @property {string} action What the button says that goes on.
 * @property {boolean} [danger] Whether something is lost.
 */

/**
 * Asks before something is done.
 *
 * @param {Question} question
 * @returns {Promise<boolean>} Whether to go on.
 */
export function ask({ title, text, action, danger = false }) {
  return new Promise((resolve) => {
    const close = openDialog(
      title,
      [
        h("div", {}, ...text),
        h(
          "div",
          { class: "actions" },
          button("Cancel", () => close(false)),
          button(action, () => close(true), { class: danger ? "danger" : "primary" }),
        ),
      ],
      (answer) => resolve(answer === true),
    );
  });
}

/**
 * Opens a dialog. Escape closes it, and the focus goes back to where it was.
 *
 * @param {import("./dom.js").Child | import("./dom.js").Child[]} title
 * @param {import("./dom.js").Child[]} content
 * @param {(answer: unknown) => void} onClose Gets what `close` was given, `undefined` after Escape.
 * @returns {(answer?: unknown) => void} `close`.
 */
export function openDialog(title, content, onClose) {
  const heading = uniqueId("dialog");
  const before = /** @type {HTMLElement | null} */ (document.activeElement);
  const dialog = h("dialog", { "aria-labelledby": heading }, h("h2", { id: heading }, title), ...content);
  /** @type {unknown} */
  let answer;
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before?.isConnected) {
      before.focus();
    }
    onClose(answer);
  });
  document.body.append(dialog);
  dialog.showModal();
  return (value) => {
    answer = value;
    dialog.close();
  };
}
