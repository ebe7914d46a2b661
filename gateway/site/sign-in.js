// The form to sign in with, in a dialog or in a page.

import { loadConfig } from "./config.js";
import { codeOf, exchange } from "./development.js";
import { openDialog } from "./dialog.js";
import { button, fill, focusOn, h, uniqueId, whileBusy } from "./dom.js";
import { signIn } from "./oauth.js";
import { account } from "./session.js";

/** @typedef {import("./config.js").Config} Config */

/**
 * Whether there is a way to sign in at all.
 *
 * @param {Config} config
 */
export function canSignIn(config) {
  return config.oauth !== null || config.development;
}

/**
 * @param {Config} config
 * @param {() => void} [done] Somebody has signed in without leaving the page.
 * @returns {HTMLElement}
 */
export function signInForm(config, done = () => {}) {
  return h(
    "div",
    { class: "sign-in" },
    config.development && developmentForm(done),
    config.oauth && oauthForm(config),
    !canSignIn(config) &&
      h("p", {}, "Nobody can sign in here: the service's public URL is neither https nor on this machine."),
  );
}

/** @param {Config} config */
function oauthForm(config) {
  const id = uniqueId("account");
  const input = h("input", {
    id,
    name: "account",
    type: "text",
    autocomplete: "username",
    autocapitalize: "off",
    spellcheck: "false",
    placeholder: "alice.example",
    value: account.way?.kind === "oauth" && account.way.did,
    "aria-describedby": `${id}-hint ${id}-error`,
  });
  const error = h("p", { class: "error", id: `${id}-error`, role: "alert" });
  const submit = h("button", { type: "submit", class: "primary" }, "Sign in through your PDS");
  const form = h(
    "form",
    {
      on: {
        submit: async (event) => {
          event.preventDefault();
          fill(error);
          input.removeAttribute("aria-invalid");
          try {
            const here = location.pathname + location.search + location.hash;
            await whileBusy(form, () => signIn(config, input.value, here), submit);
          } catch (failure) {
            error.textContent = /** @type {Error} */ (failure).message;
            input.setAttribute("aria-invalid", "true");
            input.focus();
          }
        },
      },
    },
    h("label", { for: id }, "Handle, DID or PDS host"),
    h(
      "p",
      { class: "hint", id: `${id}-hint` },
      "Your PDS asks whether this page may call this service in your name. It may do nothing else.",
    ),
    input,
    error,
    h("div", { class: "actions" }, submit),
  );
  return form;
}

/** @param {() => void} done */
function developmentForm(done) {
  const id = uniqueId("link");
  const input = h("input", {
    id,
    name: "link",
    type: "text",
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": `${id}-hint ${id}-error`,
  });
  const error = h("p", { class: "error", id: `${id}-error`, role: "alert" });
  const submit = h("button", { type: "submit", class: "primary" }, "Use this link");
  const form = h(
    "form",
    {
      on: {
        submit: async (event) => {
          event.preventDefault();
          fill(error);
          const code = codeOf(input.value);
          if (!code) {
            error.textContent = "This is no link of athook dev. Such a link ends with #code= and letters and digits.";
            input.focus();
            return;
          }
          try {
            account.signedIn(await whileBusy(form, () => exchange(code), submit));
            done();
          } catch (failure) {
            error.textContent = /** @type {Error} */ (failure).message;
            input.focus();
          }
        },
      },
    },
    h("label", { for: id }, "The link that athook dev printed"),
    h(
      "p",
      { class: "hint", id: `${id}-hint` },
      "Open it, or paste it here. It is good once, for 10 minutes.",
    ),
    input,
    error,
    h("div", { class: "actions" }, submit),
  );
  return form;
}

/**
 * Opens the form before the page.
 *
 * @param {Config} config
 * @param {string} [why] Why somebody is asked to.
 * @returns {Promise<boolean>} Whether they have signed in.
 */
export function openSignIn(config, why) {
  return new Promise((resolve) => {
    const close = openDialog(
      "Sign in",
      [
        why && h("p", { class: "notice", role: "alert" }, why),
        signInForm(config, () => close(true)),
        h(
          "div",
          { class: "actions" },
          button("Cancel", () => close(false)),
        ),
      ],
      (answer) => {
        account.removeEventListener("change", changed);
        resolve(answer === true);
      },
    );
    // The link of athook dev may be opened in this tab, or somebody signs in in another.
    const changed = () => account.way && close(true);
    account.addEventListener("change", changed);
  });
}

/**
 * Shows in the header who is signed in.
 *
 * @param {HTMLElement} place
 */
export async function showAccount(place) {
  const config = await loadConfig();
  const show = () => {
    const { way } = account;
    if (way) {
      fill(
        place,
        h("span", { class: "who", title: way.did }, h("bdi", {}, way.name)),
        button("Sign out", async () => {
          await account.signOut();
          place.querySelector("button")?.focus();
        }),
      );
    } else {
      fill(place, canSignIn(config) && button("Sign in", () => openSignIn(config)));
    }
  };
  account.askWith((why) => openSignIn(config, why));
  account.addEventListener("change", show);
  show();
}

/**
 * Tells something at the top of the page.
 *
 * @param {string} text
 */
export function showNotice(text) {
  const notice = h("div", { class: "notice", role: "alert" }, h("p", {}, text));
  notice.append(
    button("Close", () => {
      notice.remove();
      const main = document.getElementById("main");
      if (main) {
        focusOn(main);
      }
    }),
  );
  document.getElementById("main")?.prepend(notice);
}
