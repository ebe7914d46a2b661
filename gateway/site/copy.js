// A button that copies a text.

import { announce, button } from "./dom.js";

/** How long the button says what it has done. */
const SAID_MS = 2_000;

/**
 * @param {string} text
 * @param {string} [label]
 */
export function copyButton(text, label = "Copy") {
  const control = button(
    label,
    async () => {
      const said = (await copy(text)) ? "Copied" : "Not copied: mark the text and copy it";
      control.textContent = said;
      announce(said);
      setTimeout(() => (control.textContent = label), SAID_MS);
    },
    { class: "copy" },
  );
  return control;
}

/**
 * @param {string} text
 * @returns {Promise<boolean>}
 */
async function copy(text) {
  try {
    // There is no clipboard on pages that came over plain http from another machine.
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
