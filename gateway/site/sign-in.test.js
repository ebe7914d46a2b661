// What signing in reads: links, paths, and what people write to say who they are.

import assert from "node:assert/strict";
import { test } from "node:test";

import { codeOf } from "./development.js";
import { accountInput, explain, refusalOf } from "./oauth-words.js";
import { loopbackAddress, returnPath } from "./return-path.js";
import { XrpcError } from "./xrpc.js";

const ORIGIN = "https://hooks.example";
const CODE = "0123456789abcdef0123456789abcdef";

test("the way back is a path of this service", () => {
  const cases = {
    "/console#webhooks/new": "/console#webhooks/new",
    "/docs/a.b.c?x=1": "/docs/a.b.c?x=1",
    "/": "/",
    "": "/",
    "https://evil.example/": "/",
    "//evil.example/": "/",
    "/\\evil.example/": "/",
    "/.//evil.example/": "/",
    "/a/..//evil.example/": "/",
    "/\t/evil.example/": "/",
    "javascript:alert(1)": "/",
    console: "/",
    "https://hooks.example/console": "/",
  };
  for (const [path, expected] of Object.entries(cases)) {
    assert.equal(returnPath(path, ORIGIN), expected, path);
  }
  assert.equal(returnPath(null, ORIGIN), "/");
});

test("a page on localhost belongs to 127.0.0.1", () => {
  assert.equal(loopbackAddress("http://localhost:8080/console?a#b"), "http://127.0.0.1:8080/console?a#b");
  assert.equal(loopbackAddress("http://127.0.0.1:8080/console"), undefined);
  assert.equal(loopbackAddress("https://localhost.example/"), undefined);
});

test("the code of a link of athook dev", () => {
  for (const link of [
    `#code=${CODE}`,
    `http://127.0.0.1:8080/console#code=${CODE}`,
    ` ${CODE} `,
    `code=${CODE}`,
  ]) {
    assert.equal(codeOf(link), CODE, link);
  }
  const others = [
    "",
    "#webhooks",
    "#code=",
    "#code=xyz",
    `#code=${CODE}&state=x`,
    `#state=x&iss=y&code=${CODE}`,
    "#code=<script>",
  ];
  for (const link of others) {
    assert.equal(codeOf(link), undefined, link);
  }
});

test("who somebody says they are", () => {
  /** @type {[string, boolean, string[]][]} */
  const cases = [
    ["alice.example", false, ["alice.example", "https://alice.example"]],
    [" @Alice.Example ", false, ["alice.example", "https://alice.example"]],
    ["at://alice.example/", false, ["alice.example", "https://alice.example"]],
    ["did:plc:ewvi7nxzyoun6zhxrhs64oiz", false, ["did:plc:ewvi7nxzyoun6zhxrhs64oiz"]],
    ["did:web:alice.example", false, ["did:web:alice.example"]],
    ["https://pds.example/path", false, ["https://pds.example"]],
    ["pds.example:8443", false, ["https://pds.example:8443"]],
    ["http://pds.example", false, []],
    ["http://pds.example", true, []],
    ["http://localhost:2583", true, ["http://localhost:2583"]],
    ["localhost:2583", true, ["http://localhost:2583"]],
    ["localhost:2583", false, []],
    ["did:key:z6Mk", false, []],
    ["alice", false, []],
    ["alice@example.com", false, []],
    ["", false, []],
    ["javascript:alert(1)", true, []],
  ];
  for (const [text, loopback, inputs] of cases) {
    assert.deepEqual(accountInput(text, loopback), inputs, text);
  }
});

class OAuthCallbackError extends Error {
  /** @param {Record<string, string>} params @param {string} [message] @param {unknown} [cause] */
  constructor(params, message, cause) {
    super(message, { cause });
    this.params = new URLSearchParams(params);
  }
}
class OAuthResolverError extends Error {}
class OAuthResponseError extends Error {
  errorDescription = "scope rpc:a.b.c is not known";
}

test("what people read when signing in fails", () => {
  const errors = { OAuthCallbackError, OAuthResolverError, OAuthResponseError };
  /** @type {[unknown, RegExp][]} */
  const cases = [
    [new OAuthCallbackError({ error: "access_denied" }), /^You did not agree at your PDS/],
    [
      new OAuthCallbackError({ error: "server_error", error_description: "broken" }),
      /^Your PDS ended the sign-in: broken$/,
    ],
    [
      new OAuthCallbackError({}, 'Unknown authorization session "x"'),
      /^This sign-in was begun in another browser/,
    ],
    [
      new OAuthCallbackError({}, "x", new OAuthResponseError("y")),
      /^Your PDS refused: scope rpc:a.b.c is not known$/,
    ],
    [new OAuthResolverError("Failed to resolve identity: a.example"), /^No account was found for a.example/],
    [
      new OAuthResolverError("Failed to resolve OAuth server metadata", {
        cause: new TypeError("Failed to fetch"),
      }),
      /^The PDS of a.example can't be reached/,
    ],
    [
      new OAuthResolverError("Failed to resolve identity", {
        cause: Object.assign(new Error("too many"), { status: 429 }),
      }),
      /^Too many handles were looked up: too many/,
    ],
    [
      new OAuthCallbackError({ error: "access_denied" }, 'Unknown authorization session "x"'),
      /^This sign-in was begun in another browser/,
    ],
    [
      new OAuthResolverError("Failed to resolve identity: a.example", {
        cause: new XrpcError(503, "UpstreamFailure", "DNS did not answer."),
      }),
      /^Looking up the handle failed: DNS did not answer. Try again/,
    ],
    [new Error("something"), /^Signing in failed: something$/],
    ["text", /^Signing in failed: text$/],
  ];
  for (const [error, expected] of cases) {
    assert.match(explain(error, /** @type {any} */ (errors), "a.example"), expected);
  }
});

test("why a PDS gave no token", () => {
  const audience = "did:web:hooks.example#wisp_place";
  const scope = "Missing required scope rpc:a.b.c?aud=did:web:hooks.example";
  /** @type {[number, any, RegExp, boolean][]} */
  const cases = [
    [401, { message: "expired" }, /any more \(expired\)/, true],
    [500, undefined, /too old .* here #wisp_place, .* a token for did:web:hooks\.example that/, false],
    [400, { error: "InvalidRequest", message: "aud" }, /too old/, false],
    [400, { error: "AccountDeactivated", message: "gone" }, /: gone$/, false],
    [403, { error: "ScopeMissingError", message: scope }, /too old/, false],
    [403, { error: "ScopeMissingError", message: `${scope}#wisp_place` }, /agree to it/, true],
    [503, undefined, /: it answered 503$/, false],
  ];
  for (const [status, body, words, signIn] of cases) {
    const refusal = refusalOf({ status, body, nsid: "a.b.c", audience });
    assert.match(refusal.text, words);
    assert.equal(refusal.signIn, signIn, refusal.text);
  }
  // On loopback there is no service id.
  const bare = { status: 500, body: undefined, nsid: "a.b.c", audience: "did:web:hooks.example" };
  assert.doesNotMatch(refusalOf(bare).text, /too old/);
});
