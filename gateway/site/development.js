// Signing in to `athook dev` by the link that it prints. Its fragment has a code that is good once.

import { TokenCache } from "./token-cache.js";
import { SignInNeeded, XrpcError, outputOf } from "./xrpc.js";

const KEY = "athook.development";
const ENDED =
  "The session of athook dev has ended, perhaps because it was started again. Paste the link that it printed last.";

/** @typedef {{session: string, did: string}} Session */

/**
 * The code of a link that `athook dev` printed, or of its fragment alone. (What a PDS sends people back with
 * has a code too, and a state.)
 *
 * @param {string} link
 * @returns {string | undefined}
 */
export function codeOf(link) {
  const text = link.trim();
  const fragment = text.includes("#") ? text.slice(text.indexOf("#") + 1) : text;
  const params = new URLSearchParams(fragment);
  const code = params.get("code") ?? (fragment === text ? text : "");
  return /^[0-9a-f]{16,}$/i.test(code) && !params.has("state") ? code : undefined;
}

/**
 * Exchanges a code for a session and keeps it in this tab.
 *
 * @param {string} code
 * @returns {Promise<Development>}
 * @throws {XrpcError}
 */
export async function exchange(code) {
  const session = await post("/site/development/session", { code });
  sessionStorage.setItem(KEY, JSON.stringify(session));
  return new Development(session);
}

/**
 * The session of this tab.
 *
 * @returns {Development | undefined}
 */
export function restoreDevelopment() {
  try {
    const session = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
    return session ? new Development(session) : undefined;
  } catch {
    return undefined;
  }
}

/** The development identity calls. */
export class Development {
  kind = /** @type {const} */ ("development");
  #session;
  #tokens = new TokenCache((nsid) => this.#mint(nsid));

  /** @param {Session} session */
  constructor(session) {
    this.#session = session;
  }

  get did() {
    return this.#session.did;
  }

  get name() {
    return "development identity";
  }

  /**
   * @param {string} nsid
   * @param {{fresh?: boolean}} [options]
   */
  tokenFor(nsid, options) {
    return this.#tokens.get(nsid, options);
  }

  async signOut() {
    sessionStorage.removeItem(KEY);
  }

  /** @param {string} nsid */
  async #mint(nsid) {
    try {
      const { token } = await post("/site/development/token", { lxm: nsid }, this.#session.session);
      return token;
    } catch (error) {
      throw error instanceof XrpcError && error.status === 401 ? new SignInNeeded(ENDED) : error;
    }
  }
}

/**
 * @param {string} path
 * @param {object} body
 * @param {string} [session]
 */
async function post(path, body, session) {
  const headers = {
    "content-type": "application/json",
    ...(session && { authorization: `Bearer ${session}` }),
  };
  let response;
  try {
    response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  } catch {
    throw new XrpcError(0, "NoAnswer", "athook dev did not answer. Does it still run?");
  }
  return outputOf({
    status: response.status,
    headers: response.headers,
    text: await response.text(),
    milliseconds: 0,
  });
}
