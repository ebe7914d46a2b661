// Who is signed in on this page, by whichever way: `tokenFor(nsid)` gives a token to call a method with.

import { loadConfig } from "./config.js";
import { codeOf, exchange, restoreDevelopment } from "./development.js";
import { forgetDrafts } from "./drafts.js";
import { finish, isCallback, restoreOauth, watchOtherTabs } from "./oauth.js";
import { loopbackAddress, returnPath } from "./return-path.js";
import { claimsOf } from "./token-cache.js";
import { SignInNeeded } from "./xrpc.js";

/**
 * A way to call.
 *
 * @typedef {object} Way
 * @property {"token" | "oauth" | "development"} kind
 * @property {string} did Who calls. Empty: the token does not say.
 * @property {string} name The same for people.
 * @property {(nsid: string, options?: {fresh?: boolean}) => Promise<string>} tokenFor
 * @property {() => Promise<void>} signOut
 */

/** What the next page is to tell, after a way through other pages. */
const NOTICE = "athook.notice";

/** @implements {Way} */
export class PastedToken {
  kind = /** @type {const} */ ("token");
  #token;

  /** @param {string} text What was pasted, with or without `Bearer`. */
  constructor(text) {
    this.#token = text.trim().replace(/^bearer\s+/i, "");
    this.did = claimsOf(this.#token)?.iss ?? "";
    this.name = this.did;
  }

  /** The token as it is, for whichever method: the service tells what is wrong with it. */
  async tokenFor() {
    return this.#token;
  }

  async signOut() {}

  /**
   * What the token is for, for people.
   *
   * @param {string} nsid The method to be called.
   * @param {number} [now]
   * @returns {string} Empty: it is no token.
   */
  describe(nsid, now = Date.now()) {
    const claims = claimsOf(this.#token);
    if (!claims) {
      return this.#token === "" ? "" : "This is no service token.";
    }
    const { lxm, exp } = claims;
    if (lxm !== nsid) {
      return lxm ? `This token is for ${lxm}, and good for nothing else.` : "This token names no method.";
    }
    const seconds = Math.round((exp ?? 0) - now / 1_000);
    return seconds > 0 ? `Good for ${seconds} s more, as ${claims.iss}.` : "This token has expired.";
  }
}

/** Tells the other tabs whose session of `athook dev` has ended: each tab has its own. */
const CHANNEL = "athook.sign-out";

/**
 * The account of this page. Tells of changes by the events `change` and `notice`, and by `leave` once somebody
 * has signed out or another has signed in, here or elsewhere: what belongs to them is to go.
 */
class Account extends EventTarget {
  /** @type {Way | undefined} */
  #way;
  /** @type {Promise<void> | undefined} */
  #starting;
  /** @type {((why: string) => Promise<boolean>) | undefined} */
  #asks;
  /** @type {Promise<boolean> | undefined} */
  #asking;
  /** @type {BroadcastChannel | undefined} */
  #others;
  /** What the page is to tell. */
  notice = "";

  /** Who is signed in, if anybody is. */
  get way() {
    return this.#way;
  }

  /** Finds out who is signed in. Once for a page. */
  start() {
    this.#starting ??= this.#start();
    return this.#starting;
  }

  async #start() {
    const callback = isCallback();
    const href = location.href;
    const code = callback ? undefined : takeCode();
    const config = await loadConfig();
    const address = config.oauth?.loopback || config.development ? loopbackAddress(href) : undefined;
    if (address) {
      location.replace(address);
      return new Promise(() => {});
    }
    if (callback && config.oauth) {
      return this.#finish(config);
    }
    this.notice = sessionStorage.getItem(NOTICE) ?? "";
    sessionStorage.removeItem(NOTICE);
    this.#restore(config);
    watchOtherTabs(() => this.#restore(config));
    addEventListener("pageshow", ({ persisted }) => {
      const did = this.#way?.did;
      if (persisted) {
        this.#restore(config);
        if (this.#way?.did !== did) {
          location.reload();
        }
      }
    });
    if (config.development) {
      this.#others = new BroadcastChannel(CHANNEL);
      this.#others.addEventListener("message", () => {
        if (this.#way?.kind === "development") {
          void this.#end();
        }
      });
      // The link may be opened where the page is open already, which loads nothing.
      addEventListener("hashchange", (event) => {
        const code = takeCode(event.oldURL);
        if (code) {
          // The view that is shown stays.
          event.stopImmediatePropagation();
          void this.#exchange(code);
        }
      });
      await this.#exchange(code);
    }
  }

  /** @param {string | undefined} code */
  async #exchange(code) {
    if (!code) {
      return;
    }
    try {
      this.signedIn(await exchange(code));
    } catch (error) {
      this.notice = `This link can't be used: ${/** @type {Error} */ (error).message}`;
      this.dispatchEvent(new Event("notice"));
    }
  }

  /** @param {import("./config.js").Config} config */
  async #finish(config) {
    const { returnTo, problem } = await finish(config);
    if (problem) {
      sessionStorage.setItem(NOTICE, problem);
    }
    location.replace(returnPath(returnTo, location.origin));
    if (returnPath(returnTo, location.origin).startsWith("/#")) {
      location.reload();
    }
    return new Promise(() => {});
  }

  /** @param {import("./config.js").Config} config */
  #restore(config) {
    const way = (config.development ? restoreDevelopment() : undefined) ?? restoreOauth(config);
    if (way?.did !== this.#way?.did) {
      this.#set(way);
    } else {
      this.#way = way;
    }
  }

  /**
   * Somebody has signed in without leaving the page.
   *
   * @param {Way} way
   */
  signedIn(way) {
    this.#set(way);
  }

  async signOut() {
    if (this.#way?.kind === "development") {
      this.#others?.postMessage("");
    }
    await this.#end();
  }

  async #end() {
    const way = this.#way;
    this.#set(undefined);
    await way?.signOut();
  }

  /** @param {Way | undefined} way */
  #set(way) {
    const before = this.#way?.did;
    this.#way = way;
    if (before !== undefined && before !== way?.did) {
      forgetDrafts();
      this.dispatchEvent(new Event("leave"));
    }
    this.dispatchEvent(new Event("change"));
  }

  /**
   * @param {string} nsid
   * @param {{fresh?: boolean}} [options]
   * @returns {Promise<string>}
   */
  async tokenFor(nsid, options) {
    if (!this.#way) {
      throw new SignInNeeded("You are not signed in.");
    }
    return this.#way.tokenFor(nsid, options);
  }

  /**
   * Sets how to ask somebody to sign in.
   *
   * @param {(why: string) => Promise<boolean>} ask
   */
  askWith(ask) {
    this.#asks = ask;
  }

  /**
   * Asks somebody to sign in again. The page stays as it is.
   *
   * @param {string} why
   */
  signInAgain(why) {
    // Calls that are refused at the same time are one question.
    this.#asking ??= this.#ask(why).finally(() => (this.#asking = undefined));
    return this.#asking;
  }

  /** @param {string} why */
  async #ask(why) {
    return (await this.#asks?.(why)) ?? false;
  }
}

/**
 * The code of `athook dev` in the address bar, from which it is taken out at once: nobody who looks at the
 * screen or at the history later shall see it.
 *
 * @param {string} [address] What is put there instead.
 */
function takeCode(address = location.pathname + location.search) {
  const code = codeOf(location.hash);
  if (code) {
    history.replaceState(null, "", address);
  }
  return code;
}

export const account = new Account();
