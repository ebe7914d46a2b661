// Tokens that can't be seen again. They stand outside of the views, each until somebody says that they have kept
// it: another view, or another token, takes none away.

import { copyButton } from "../copy.js";
import { button, fill, focusOn, h, uniqueId } from "../dom.js";
import { account } from "../session.js";
import { verifyLines } from "../verify-lines.js";

/** @typedef {{name: string, token: string}} Made */

/** Where they are shown, the newest first. */
export const shownTokens = h("div", { class: "shown" });

/** Counts those whose tokens they are. */
let people = 0;

const forget = () => {
  people += 1;
  fill(shownTokens);
};
account.addEventListener("leave", forget);
// A page that one comes back to shows none.
addEventListener("pagehide", forget);

/**
 * To be called before a token is asked for: whose token it is counts then.
 *
 * @returns {(made: Made, title: string) => void} Shows it, unless somebody has signed out since.
 */
export function tokenShower() {
  const asked = people;
  return (made, title) => {
    if (asked === people) {
      showToken(made, title);
    }
  };
}

/**
 * @param {Made} made
 * @param {string} title
 */
function showToken({ name, token }, title) {
  const heading = h("h3", { id: uniqueId("token") }, title);
  const element = h(
    "section",
    { class: "card token-shown", "aria-labelledby": heading.id },
    heading,
    h(
      "p",
      {},
      "This is its token. ",
      h("strong", {}, "It is shown now and never again:"),
      " put it where the receiver finds it.",
    ),
    h("p", { class: "token" }, h("code", {}, token), copyButton(token, "Copy the token")),
    h("p", {}, "With it a receiver verifies a delivery, from the body as it came and its headers:"),
    ...verifyLines(token).map(({ language, install, code }, index) =>
      h(
        "details",
        { open: index === 0 },
        h("summary", {}, language),
        h("pre", { tabindex: 0 }, h("code", {}, code)),
        h("p", { class: "hint" }, "Install it with ", h("code", {}, install), "."),
        copyButton(code, "Copy the code"),
      ),
    ),
    h(
      "div",
      { class: "actions" },
      button(`I have kept the token of ${name}`, () => {
        element.remove();
        const next = document.querySelector("#console h2");
        if (next instanceof HTMLElement) {
          focusOn(next);
        }
      }),
    ),
  );
  shownTokens.prepend(element);
  focusOn(heading);
}
