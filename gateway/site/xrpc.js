// Calls of this service, and their errors.

/** What to tell when there is no answer at all. */
export const NO_ANSWER = "The service did not answer. Is it running, and are you online?";

/** A call that did not succeed. `message` is the service's own. */
export class XrpcError extends Error {
  /**
   * @param {number} status Of HTTP. 0: there was no answer.
   * @param {string} error The name, such as `InvalidRequest`.
   * @param {string} message
   * @param {string | null} [retryAfter] In seconds.
   */
  constructor(status, error, message, retryAfter = null) {
    super(message);
    this.name = "XrpcError";
    this.status = status;
    this.error = error;
    this.retryAfter = retryAfter;
  }
}

/** There is no token to call with, and only the person can change that. `message` says why. */
export class SignInNeeded extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = "SignInNeeded";
  }
}

/**
 * @typedef {object} Call
 * @property {string} nsid
 * @property {"query" | "procedure"} type
 * @property {{[key: string]: unknown}} [params] Of the query string.
 * @property {unknown} [input] The body.
 * @property {string} [token]
 */

/**
 * @typedef {object} Answer
 * @property {number} status
 * @property {Headers} headers
 * @property {string} text The body as it came.
 * @property {number} milliseconds How long it took.
 */

/**
 * Parameters as a query string with its question mark, or nothing. An array gives its name once for each
 * entry.
 *
 * @param {{[key: string]: unknown}} params
 */
export function queryString(params) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined) {
        query.append(name, String(one));
      }
    }
  }
  return query.size === 0 ? "" : `?${query}`;
}

/**
 * The request of a call: for `fetch`, and to be shown.
 *
 * @param {Call} call
 * @returns {{path: string, init: {method: string, headers: Record<string, string>, body?: string}}}
 */
export function requestOf({ nsid, type, params = {}, input, token }) {
  /** @type {Record<string, string>} */
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const path = `/xrpc/${nsid}${queryString(params)}`;
  if (type === "query") {
    return { path, init: { method: "GET", headers } };
  }
  if (input === undefined) {
    return { path, init: { method: "POST", headers } };
  }
  headers["content-type"] = "application/json";
  return { path, init: { method: "POST", headers, body: JSON.stringify(input) } };
}

/**
 * Gets what belongs to the pages, as JSON.
 *
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<any>}
 * @throws {XrpcError}
 */
export async function getJson(path, init) {
  const response = await fetch(path, init).catch(() => {
    throw new XrpcError(0, "NoAnswer", NO_ANSWER);
  });
  if (!response.ok) {
    throw new XrpcError(response.status, "UnknownError", `The service answered ${response.status} when asked for ${path}.`);
  }
  return response.json();
}

/**
 * Sends a call and gives whatever is answered, errors too.
 *
 * @param {Call} call
 * @param {typeof fetch} [fetcher] For tests.
 * @returns {Promise<Answer>}
 * @throws {XrpcError} There was no answer.
 */
export async function send(call, fetcher = fetch) {
  const { path, init } = requestOf(call);
  const begun = performance.now();
  try {
    const response = await fetcher(path, {
      ...init,
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
    });
    const text = await response.text();
    const milliseconds = performance.now() - begun;
    return { status: response.status, headers: response.headers, text, milliseconds };
  } catch {
    throw new XrpcError(0, "NoAnswer", NO_ANSWER);
  }
}

/**
 * What an answer says: the output of a success.
 *
 * @param {Answer} answer
 * @returns {any} `undefined` if the body is empty.
 * @throws {XrpcError}
 */
export function outputOf({ status, headers, text }) {
  const body = parse(text);
  if (status < 200 || status > 299) {
    const { error, message } = body && typeof body === "object" ? /** @type {any} */ (body) : {};
    throw new XrpcError(
      status,
      typeof error === "string" ? error : "UnknownError",
      typeof message === "string" ? message : `The service answered ${status}.`,
      headers.get("retry-after"),
    );
  }
  return body;
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Who calls.
 *
 * @typedef {object} Caller
 * @property {(nsid: string, options?: {fresh?: boolean}) => Promise<string>} tokenFor A token for one method;
 *   with `fresh` one that is newly made.
 * @property {(why: string) => Promise<boolean>} signInAgain Asks the person. Whether they are signed in now.
 */

/**
 * Calls a method for somebody. A token that is refused is made anew once; if that does not help the person is
 * asked to sign in, while the page stays as it is, and then the call is made again.
 *
 * @param {Caller} caller
 * @param {Omit<Call, "token">} call
 * @param {typeof fetch} [fetcher]
 * @returns {Promise<Answer>} Errors of the method too, but no 401.
 * @throws {XrpcError} No answer, or the person did not sign in.
 */
export async function sendAs(caller, call, fetcher = fetch) {
  for (let round = 0; ; round += 1) {
    let why;
    try {
      const token = await caller.tokenFor(call.nsid, { fresh: round > 0 });
      const answer = await send({ ...call, token }, fetcher);
      if (answer.status !== 401) {
        return answer;
      }
      if (round === 0) {
        continue;
      }
      why = messageOf(answer);
    } catch (error) {
      if (!(error instanceof SignInNeeded)) {
        throw error;
      }
      why = error.message;
    }
    if (!(await caller.signInAgain(why))) {
      throw new XrpcError(401, "AuthenticationRequired", why);
    }
  }
}

/** @param {Answer} answer */
function messageOf(answer) {
  try {
    outputOf(answer);
    return "";
  } catch (error) {
    return /** @type {Error} */ (error).message;
  }
}
