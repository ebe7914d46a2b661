import assert from "node:assert/strict";
import { test } from "node:test";

import {
  byteCount,
  byteLength,
  changes,
  fieldOf,
  parseInteger,
  parseLocalTime,
  pathsAround,
  same,
  toLocalTime,
} from "./values.js";

test("bytes are those of UTF-8", () => {
  const cases = { "": 0, abc: 3, é: 2, "€": 3, "🔴": 4, "👩‍🚀": 11, "\u0000": 1, "\ud800": 3 };
  for (const [text, bytes] of Object.entries(cases)) {
    assert.equal(byteLength(text), bytes, text);
  }
});

test("the count says whether a text fits", () => {
  assert.deepEqual(byteCount("é".repeat(50), { maxLength: 100 }), { text: "100 of 100 bytes", fits: true });
  assert.deepEqual(byteCount("é".repeat(50) + "x", { maxLength: 100 }), {
    text: "101 of 100 bytes",
    fits: false,
  });
  assert.deepEqual(byteCount("x", { minLength: 32, maxLength: 256 }), {
    text: "1 of 256 bytes; at least 32",
    fits: false,
  });
  // Empty is absent, which is another rule.
  assert.equal(byteCount("", { minLength: 32, maxLength: 256 }).fits, true);
  assert.deepEqual(byteCount("a", {}), { text: "1 byte", fits: true });
});

test("integers are whole and exact", () => {
  const cases = {
    5: 5,
    " 5 ": 5,
    "-7": -7,
    9007199254740991: 9_007_199_254_740_991,
    "9007199254740993": undefined,
    "1.0": undefined,
    "1e3": undefined,
    "0x10": undefined,
    x: undefined,
    "": undefined,
  };
  for (const [text, value] of Object.entries(cases)) {
    assert.equal(parseInteger(text), value, text);
  }
});

test("a local time goes out and comes back", () => {
  const sent = parseLocalTime("2026-11-29T12:34:56.789");
  assert.equal(sent, new Date(2026, 10, 29, 12, 34, 56, 789).toISOString());
  assert.equal(toLocalTime(/** @type {string} */ (sent)), "2026-11-29T12:34:56.789");
  assert.equal(parseLocalTime(""), undefined);
  assert.equal(parseLocalTime("tomorrow"), undefined);
  assert.equal(toLocalTime("tomorrow"), "");
});

test("equal JSON is the same", () => {
  assert.ok(same({ a: [1, { b: null }], c: "x" }, { c: "x", a: [1, { b: null }] }));
  assert.ok(!same({ a: 1 }, { a: 1, b: 2 }));
  assert.ok(!same([1, 2], [2, 1]));
  assert.ok(!same([], {}));
  assert.ok(!same(null, {}));
  assert.ok(!same("1", 1));
});

test("an edit sends what has changed, and clears what is gone", () => {
  const before = {
    id: "1",
    url: "https://a.example/",
    name: "old",
    prefix: "p",
    muteWords: ["x"],
    events: ["chat"],
    active: true,
    secretId: "main",
  };
  const after = {
    url: "https://a.example/",
    name: "new",
    events: ["chat", "follow"],
    active: false,
    streamplaceFormat: false,
  };
  const fields = [
    "url",
    "name",
    "prefix",
    "suffix",
    "muteWords",
    "rewrite",
    "events",
    "active",
    "secretId",
    "streamplaceFormat",
  ];
  assert.deepEqual(changes(before, after, fields), {
    name: "new",
    prefix: "",
    muteWords: [],
    events: ["chat", "follow"],
    active: false,
    secretId: "",
  });
  assert.deepEqual(changes(before, before, fields), {});
});

test("a message names its field", () => {
  const cases = {
    "input.url: required": "url",
    "input.rewrite[2].from: must be 1 to 100 bytes": "rewrite[2].from",
    "input.events[1]: must be one of chat, follow: x": "events[1]",
    "params.limit: must be 1 to 100": "limit",
    "input: expected an object": undefined,
    "the limit of 50 webhooks is reached": undefined,
  };
  for (const [message, field] of Object.entries(cases)) {
    assert.equal(fieldOf(message), field, message);
  }
});

test("the fields around a field", () => {
  assert.deepEqual(pathsAround("rewrite[2].from"), ["rewrite[2].from", "rewrite[2]", "rewrite"]);
  assert.deepEqual(pathsAround("url"), ["url"]);
});
