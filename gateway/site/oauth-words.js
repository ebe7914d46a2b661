// What people write to say who they are, and what they read when signing in fails.

import { XrpcError } from "./xrpc.js";

/** @typedef {typeof import("./vendor/oauth-client-browser.js")} Package */

/**
 * What to try, in this order, for what somebody wrote: a DID, an origin, or a name, which is a handle or else
 * the host of a PDS.
 *
 * @param {string} text
 * @param {boolean} loopback Whether hosts on this machine are meant to be reached, by http.
 * @returns {string[]} Empty: it is none of these.
 */
export function accountInput(text, loopback) {
  const name = text
    .trim()
    .replace(/^at:\/\//, "")
    .replace(/^@/, "")
    .replace(/\/$/, "");
  if (/^did:(plc:[a-z2-7]{24}|web:[\w.%:-]+)$/.test(name)) {
    return [name];
  }
  const local = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;
  if (/^https?:\/\//i.test(name)) {
    try {
      const { protocol, origin, host } = new URL(name);
      return protocol === "https:" || (loopback && local.test(host)) ? [origin] : [];
    } catch {
      return [];
    }
  }
  if (local.test(name)) {
    return loopback ? [`http://${name}`] : [];
  }
  if (!/^[a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?$/i.test(name)) {
    return [];
  }
  const host = name.toLowerCase();
  return host.includes(":") ? [`https://${host}`] : [host, `https://${host}`];
}

/**
 * What to tell somebody whose sign-in, or session, failed.
 *
 * @param {unknown} error
 * @param {Pick<Package, "OAuthCallbackError" | "OAuthResolverError" | "OAuthResponseError">} errors
 * @param {string} [who] What they wrote.
 * @returns {string}
 */
export function explain(error, errors, who) {
  const chain = chainOf(error);
  if (isUnknown(error)) {
    return "This sign-in was begun in another browser, or has been used or is too old. Sign in once more.";
  }
  if (error instanceof errors.OAuthCallbackError && error.params.get("error") === "access_denied") {
    return "You did not agree at your PDS, so you are not signed in. Nothing has changed; sign in to be asked again.";
  }
  const limited = chain.find((one) => /** @type {any} */ (one).status === 429);
  if (limited) {
    return `Too many handles were looked up: ${limited.message}. Wait a minute, or give your DID or the host of your PDS.`;
  }
  const failed = chain.find((one) => one instanceof XrpcError && (one.status === 0 || one.status >= 500));
  if (failed) {
    return `Looking up the handle failed: ${failed.message} Try again, or give your DID or the host of your PDS.`;
  }
  const refused = chain.find((one) => one instanceof errors.OAuthResponseError);
  if (refused instanceof errors.OAuthResponseError) {
    const words = refused.errorDescription ?? refused.error ?? refused.message;
    return `Your PDS refused: ${words}`;
  }
  if (error instanceof errors.OAuthCallbackError) {
    const words = error.params.get("error_description") ?? error.params.get("error") ?? error.message;
    return `Your PDS ended the sign-in: ${words}`;
  }
  const unreachable = chain.some((one) => one instanceof TypeError || /fetch|network/i.test(one.message));
  const resolving = error instanceof errors.OAuthResolverError;
  if (resolving && /resolve identity/i.test(chain[0].message) && !unreachable) {
    return `No account was found for ${who ?? "this name"}. Check how it is written, or give the host of your PDS.`;
  }
  if (unreachable || resolving) {
    return who
      ? `The PDS of ${who} can't be reached, or is none. Check the name, or try again later. (${last(chain)})`
      : `Your PDS can't be reached. Try again later. (${last(chain)})`;
  }
  return `Signing in failed: ${last(chain)}`;
}

/**
 * Whether an answer of an authorization server belongs to no sign-in that was begun here.
 *
 * @param {unknown} error
 */
export function isUnknown(error) {
  return chainOf(error).some((one) => /Unknown authorization session/.test(one.message));
}

/**
 * Why a PDS gave no service token.
 *
 * @param {object} answer
 * @param {number} answer.status
 * @param {any} answer.body As JSON, if it was any.
 * @param {string} answer.nsid What the token was to be for.
 * @param {string} answer.audience
 * @returns {{text: string, signIn: boolean}} `signIn`: signing in once more may help.
 */
export function refusalOf({ status, body, nsid, audience }) {
  const words = body?.message ?? body?.error_description ?? `it answered ${status}`;
  if (status === 401) {
    const text = `Your PDS does not take this session any more (${words}). Sign in again to go on.`;
    return { text, signIn: true };
  }
  const [did, serviceId] = audience.split("#");
  // A PDS that leaves the service id out finds that nobody has agreed to the rest.
  const isBare = words.includes(did) && !/(#|%23)/.test(words);
  const isInvalid = status === 400 && [undefined, "InvalidRequest"].includes(body?.error);
  if (serviceId && (status === 500 || isInvalid || (status === 403 && isBare))) {
    const text =
      `Your PDS gave no token for ${nsid} (${words}). It seems too old for this service: it takes no service id, ` +
      `here #${serviceId}, in the audience of a token (atproto pull request 4992). Ask whoever runs it for a newer ` +
      `version. Until then a token for ${did} that you make with an app password works: paste it on a ` +
      "method's page, under Try it.";
    return { text, signIn: false };
  }
  if (status === 403 || body?.error === "insufficient_scope") {
    const text = `Your PDS gives no token for ${nsid} to this session (${words}). Sign in again and agree to it.`;
    return { text, signIn: true };
  }
  return { text: `Your PDS gave no token for ${nsid}: ${words}`, signIn: false };
}

/**
 * An error and its causes.
 *
 * @param {unknown} error
 * @returns {Error[]}
 */
function chainOf(error) {
  const chain = [];
  for (let one = error; one instanceof Error && chain.length < 10; one = one.cause) {
    chain.push(one);
  }
  return chain.length > 0 ? chain : [new Error(String(error))];
}

/** @param {Error[]} chain */
function last(chain) {
  return chain[chain.length - 1].message;
}
