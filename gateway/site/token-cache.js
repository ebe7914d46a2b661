// Service tokens, kept until shortly before they expire.

/** How long before its end a token is no longer used: it must still be good when it arrives. */
const MARGIN_MS = 10_000;

/**
 * The claims of a JWT. Its signature is not checked: whoever takes the token does that.
 *
 * @param {string} token
 * @returns {{iss?: string, aud?: string, lxm?: string, iat?: number, exp?: number} | undefined}
 */
export function claimsOf(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return claims && typeof claims === "object" ? claims : undefined;
  } catch {
    return undefined;
  }
}

/** Tokens by the method that they are for. */
export class TokenCache {
  /** @type {Map<string, {token: string, until: number}>} */
  #tokens = new Map();
  /** @type {Map<string, Promise<string>>} */
  #underWay = new Map();
  #mint;
  #now;

  /**
   * @param {(nsid: string) => Promise<string>} mint Makes a token.
   * @param {() => number} [now] In milliseconds. For tests.
   */
  constructor(mint, now = Date.now) {
    this.#mint = mint;
    this.#now = now;
  }

  /**
   * A token for a method. Calls at the same time share one.
   *
   * @param {string} nsid
   * @param {{fresh?: boolean}} [options] `fresh`: not one that is kept.
   * @returns {Promise<string>}
   */
  get(nsid, { fresh = false } = {}) {
    const kept = this.#tokens.get(nsid);
    if (kept && !fresh && this.#now() < kept.until) {
      return Promise.resolve(kept.token);
    }
    let minting = this.#underWay.get(nsid);
    if (!minting) {
      minting = this.#make(nsid).finally(() => this.#underWay.delete(nsid));
      this.#underWay.set(nsid, minting);
    }
    return minting;
  }

  /** @param {string} nsid */
  async #make(nsid) {
    const begun = this.#now();
    const token = await this.#mint(nsid);
    this.#tokens.set(nsid, { token, until: begun + lifetimeMs(token, begun) - MARGIN_MS });
    return token;
  }
}

/**
 * How long a token is good. Where it says when it was made, the reader's clock need not be right.
 *
 * @param {string} token
 * @param {number} now
 */
function lifetimeMs(token, now) {
  const { iat, exp } = claimsOf(token) ?? {};
  if (typeof exp !== "number") {
    return 0;
  }
  return typeof iat === "number" ? (exp - iat) * 1_000 : exp * 1_000 - now;
}
