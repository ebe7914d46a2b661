// Signing in through the person's own PDS. The tokens of that session stay in this browser's storage; what
// this service gets are service tokens, each for one of its methods and for a minute.

import { saveDrafts } from "./drafts.js";
import { accountInput, explain, isUnknown, refusalOf } from "./oauth-words.js";
import { TokenCache } from "./token-cache.js";
import { NO_ANSWER, SignInNeeded, XrpcError, outputOf } from "./xrpc.js";

/** Whose session this browser has: `{did, name}`. */
const KEY = "athook.oauth";

/** @typedef {import("./config.js").Config} Config */
/** @typedef {typeof import("./vendor/oauth-client-browser.js")} Package */
/** @typedef {import("./vendor/oauth-client-browser.js").BrowserOAuthClient} Client */

/** @type {Promise<{client: Client, errors: Package}> | undefined} */
let loading;

/**
 * Loads the package, which is large, when it is first needed.
 *
 * @param {Config} config
 */
function load(config) {
  loading ??= loadClient(config).catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

/** @param {Config} config */
async function loadClient({ oauth, plcUrl }) {
  if (!oauth) {
    throw new Error("Nobody can sign in by OAuth here.");
  }
  const errors = await import("./vendor/oauth-client-browser.js");
  const client = await errors.BrowserOAuthClient.load({
    clientId: oauth.clientId,
    handleResolver: { resolve: (handle, options) => resolveHandle(handle, options?.signal) },
    plcDirectoryUrl: plcUrl,
    allowHttp: oauth.loopback,
    responseMode: "fragment",
  });
  return { client, errors };
}

/**
 * Asks this service whose a handle is: a browser can't ask DNS.
 *
 * @param {string} handle
 * @param {AbortSignal} [signal]
 * @returns {Promise<string | null>} `null`: nobody's.
 */
async function resolveHandle(handle, signal) {
  const path = `/site/resolve-handle?handle=${encodeURIComponent(handle)}`;
  const response = await fetch(path, { signal }).catch((error) => {
    throw signal?.aborted ? error : new XrpcError(0, "NoAnswer", NO_ANSWER);
  });
  if (response.status === 404) {
    return null;
  }
  const { status, headers } = response;
  return outputOf({ status, headers, text: await response.text(), milliseconds: 0 }).did;
}

/**
 * Sends the person to their authorization server. The page is left if all goes well, and comes back to
 * `returnTo`.
 *
 * @param {Config} config
 * @param {string} text A PDS host, a DID or a handle.
 * @param {string} returnTo A path of this service.
 * @throws {Error} With a text for the person.
 */
export async function signIn(config, text, returnTo) {
  const { client, errors } = await load(config);
  const loopback = config.oauth?.loopback ?? false;
  const inputs = accountInput(text, loopback);
  if (inputs.length === 0) {
    throw new Error("Give a handle such as alice.example, a DID, or the host of a PDS.");
  }
  const options = { state: returnTo, scope: config.oauth?.scope };
  let failure;
  for (const input of inputs) {
    try {
      const url = await client.authorize(input, options);
      saveDrafts();
      location.assign(url);
      return;
    } catch (error) {
      // What looks like a handle may be the host of a PDS: the first answer tells more if neither helps.
      failure ??= error;
    }
  }
  throw new Error(explain(failure, errors, text), { cause: failure });
}

/** Whether the address bar has what an authorization server sends people back with. */
export function isCallback() {
  const params = new URLSearchParams(location.hash.slice(1));
  return location.pathname === "/" && params.has("state") && (params.has("code") || params.has("error"));
}

/**
 * Ends a sign-in. Takes the answer out of the address bar.
 *
 * @param {Config} config
 * @returns {Promise<{returnTo: string | null, problem?: string}>} Where the person was, and why they are not
 *   signed in.
 */
export async function finish(config) {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  const { client, errors } = await load(config);
  try {
    const { session, state } = await client.initCallback();
    localStorage.setItem(KEY, JSON.stringify({ did: session.did, name: await nameOf(config, session.did) }));
    return { returnTo: state };
  } catch (error) {
    // A link that somebody made, or the page of a sign-in that has long ended.
    if (isUnknown(error) && (restoreOauth(config) || !code)) {
      return { returnTo: null };
    }
    const returnTo = error instanceof errors.OAuthCallbackError ? (error.state ?? null) : null;
    return { returnTo, problem: explain(error, errors) };
  }
}

/**
 * What an account is called: the handle that its DID document claims, if that handle names the account as
 * well.
 *
 * @param {Config} config
 * @param {string} did
 */
async function nameOf({ plcUrl }, did) {
  if (!did.startsWith("did:plc:")) {
    return did;
  }
  try {
    const response = await fetch(`${plcUrl}/${encodeURIComponent(did)}`, {
      signal: AbortSignal.timeout(3_000),
    });
    const { alsoKnownAs } = await response.json();
    const handle = alsoKnownAs?.find((/** @type {string} */ alias) => alias.startsWith("at://"))?.slice(5);
    const isItsOwn =
      typeof handle === "string" && (await resolveHandle(handle, AbortSignal.timeout(3_000))) === did;
    return isItsOwn ? handle : did;
  } catch {
    return did;
  }
}

/**
 * The session of this browser. Whether it is still good shows when it is first used.
 *
 * @param {Config} config
 * @returns {Oauth | undefined}
 */
export function restoreOauth(config) {
  if (!config.oauth) {
    return undefined;
  }
  try {
    const { did, name } = JSON.parse(localStorage.getItem(KEY) ?? "null") ?? {};
    return typeof did === "string"
      ? new Oauth(config, did, typeof name === "string" ? name : did)
      : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Calls back when somebody signs in or out in another tab.
 *
 * @param {() => void} changed
 */
export function watchOtherTabs(changed) {
  addEventListener("storage", ({ key }) => {
    if (key === KEY) {
      changed();
    }
  });
}

/** An account calls that has signed in at its PDS. */
export class Oauth {
  kind = /** @type {const} */ ("oauth");
  #config;
  #tokens = new TokenCache((nsid) => this.#mint(nsid));

  /**
   * @param {Config} config
   * @param {string} did
   * @param {string} name A handle, or the DID again where it has none.
   */
  constructor(config, did, name) {
    this.#config = config;
    this.did = did;
    this.name = name;
  }

  /**
   * @param {string} nsid
   * @param {{fresh?: boolean}} [options]
   */
  tokenFor(nsid, options) {
    return this.#tokens.get(nsid, options);
  }

  /** Ends the session here at once, and at the authorization server if that can be reached. */
  async signOut() {
    localStorage.removeItem(KEY);
    try {
      const { client } = await load(this.#config);
      await client.revoke(this.did);
    } catch (error) {
      console.debug("the authorization server was not told", error);
    }
  }

  /** @param {string} nsid */
  async #mint(nsid) {
    const { client, errors } = await load(this.#config);
    let response;
    try {
      const session = await client.restore(this.did);
      const query = new URLSearchParams({ aud: this.#config.audience, lxm: nsid });
      response = await session.fetchHandler(`/xrpc/com.atproto.server.getServiceAuth?${query}`);
    } catch (error) {
      if (
        [errors.TokenInvalidError, errors.TokenRefreshError, errors.TokenRevokedError].some(
          (kind) => error instanceof kind,
        )
      ) {
        throw new SignInNeeded("Your session at your PDS has ended. Sign in again to go on.");
      }
      throw new XrpcError(0, "NoAnswer", explain(error, errors));
    }
    const body = await response.json().catch(() => undefined);
    if (response.ok && typeof body?.token === "string") {
      return body.token;
    }
    const { text, signIn } = refusalOf({ status: response.status, body, nsid, audience: this.#config.audience });
    throw signIn ? new SignInNeeded(text) : new XrpcError(response.status, body?.error ?? "UnknownError", text);
  }
}
