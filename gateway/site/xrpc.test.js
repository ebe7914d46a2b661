import assert from "node:assert/strict";
import { test } from "node:test";

import { SignInNeeded, XrpcError, outputOf, queryString, requestOf, send, sendAs } from "./xrpc.js";

const CALL = { nsid: "a.b.c", type: /** @type {const} */ ("procedure"), input: { x: 1 } };

/**
 * @param {number} status
 * @param {string} text
 * @param {Record<string, string>} [headers]
 */
function answer(status, text, headers = {}) {
  return { status, text, headers: new Headers(headers), milliseconds: 1 };
}

/**
 * A `fetch` that gives these answers in turn, and the tokens that it saw.
 *
 * @param {[status: number, body: string][]} answers
 */
function fetcher(answers) {
  /** @type {(string | undefined)[]} */
  const tokens = [];
  const fake = async (/** @type {any} */ _path, /** @type {any} */ init) => {
    tokens.push(init.headers.authorization);
    const [status, body] = /** @type {[number, string]} */ (answers.shift());
    return new Response(body, { status });
  };
  return { fake: /** @type {typeof fetch} */ (fake), tokens };
}

test("the query string", () => {
  assert.equal(queryString({}), "");
  assert.equal(queryString({ a: undefined }), "");
  assert.equal(queryString({ a: "x&y", b: [1, 2], c: false }), "?a=x%26y&b=1&b=2&c=false");
});

test("a procedure without input has no content type", () => {
  assert.deepEqual(requestOf({ nsid: "a.b.c", type: "procedure" }), {
    path: "/xrpc/a.b.c",
    init: { method: "POST", headers: {} },
  });
  assert.deepEqual(requestOf({ ...CALL, token: "t" }), {
    path: "/xrpc/a.b.c",
    init: {
      method: "POST",
      headers: { authorization: "Bearer t", "content-type": "application/json" },
      body: '{"x":1}',
    },
  });
});

test("an answer's output", () => {
  assert.deepEqual(outputOf(answer(200, '{"a":1}')), { a: 1 });
  assert.equal(outputOf(answer(200, "")), undefined);
});

test("an error has the service's name and words", () => {
  const body = '{"error":"InvalidUrl","message":"input.url: must be https"}';
  assert.throws(
    () => outputOf(answer(400, body)),
    (/** @type {XrpcError} */ error) =>
      error instanceof XrpcError &&
      error.status === 400 &&
      error.error === "InvalidUrl" &&
      error.message === "input.url: must be https",
  );
  assert.throws(
    () => outputOf(answer(429, '{"error":"RateLimitExceeded","message":"m"}', { "retry-after": "7" })),
    (/** @type {XrpcError} */ error) => error.retryAfter === "7",
  );
});

test("an answer of something in between is an error too", () => {
  for (const body of ["<html>Bad Gateway</html>", "", "null", '"text"', '{"error":1}']) {
    assert.throws(
      () => outputOf(answer(502, body)),
      { error: "UnknownError", message: "The service answered 502." },
      body,
    );
  }
});

test("no answer is an error that says so", async () => {
  const failing = /** @type {typeof fetch} */ (async () => Promise.reject(new TypeError("Failed to fetch")));
  await assert.rejects(send(CALL, failing), { name: "XrpcError", error: "NoAnswer", status: 0 });
});

test("a refused token is made anew once", async () => {
  const { fake, tokens } = fetcher([
    [401, "{}"],
    [200, "{}"],
  ]);
  /** @type {unknown[]} */
  const asked = [];
  const caller = {
    tokenFor: async (/** @type {string} */ _nsid, /** @type {{fresh?: boolean}} */ { fresh } = {}) =>
      fresh ? "new" : "old",
    signInAgain: async (/** @type {string} */ why) => asked.push(why) > 0,
  };
  assert.equal((await sendAs(caller, CALL, fake)).status, 200);
  assert.deepEqual(tokens, ["Bearer old", "Bearer new"]);
  assert.deepEqual(asked, []);
});

test("if that does not help the person is asked, and then the call is made", async () => {
  const refusal = '{"error":"AuthenticationRequired","message":"the token has expired"}';
  const { fake } = fetcher([
    [401, refusal],
    [401, refusal],
    [200, '{"a":1}'],
  ]);
  /** @type {string[]} */
  const asked = [];
  const caller = {
    tokenFor: async () => "token",
    signInAgain: async (/** @type {string} */ why) => asked.push(why) > 0,
  };
  assert.deepEqual(outputOf(await sendAs(caller, CALL, fake)), { a: 1 });
  assert.deepEqual(asked, ["the token has expired"]);
});

test("who does not sign in again gets the reason", async () => {
  const caller = {
    tokenFor: async () => {
      throw new SignInNeeded("the session has ended");
    },
    signInAgain: async () => false,
  };
  await assert.rejects(sendAs(caller, CALL, fetcher([]).fake), {
    status: 401,
    message: "the session has ended",
  });
});

test("other errors are answers", async () => {
  const { fake } = fetcher([[400, '{"error":"AlreadyExists","message":"m"}']]);
  const caller = { tokenFor: async () => "token", signInAgain: async () => false };
  assert.equal((await sendAs(caller, CALL, fake)).status, 400);
});
