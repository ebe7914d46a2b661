import assert from "node:assert/strict";
import { test } from "node:test";

import { referencesOf, resolver, rulesOf } from "./lexicon.js";

const rule = { type: "object", description: "A rule.", properties: { from: { type: "string" } } };
const documents = {
  "a.b.c": {
    id: "a.b.c",
    defs: {
      main: { type: "query", output: { schema: { type: "ref", ref: "a.b.defs#rule" } } },
      own: { type: "ref", ref: "a.b.defs#again" },
      loop: { type: "ref", ref: "#loop" },
    },
  },
  "a.b.defs": { id: "a.b.defs", defs: { rule, again: { type: "ref", ref: "#rule" } } },
};

test("the documents that a document refers to", () => {
  assert.deepEqual(referencesOf(documents["a.b.c"]), ["a.b.defs"]);
  assert.deepEqual(referencesOf(documents["a.b.defs"]), []);
  // A property may be called so.
  assert.deepEqual(
    referencesOf({ id: "x", defs: { main: { properties: { ref: { type: "string" } } } } }),
    [],
  );
});

test("references are followed, each in its own document", () => {
  const resolve = resolver(documents);
  assert.deepEqual(resolve({ type: "ref", ref: "#own" }, "a.b.c"), { schema: rule, within: "a.b.defs" });
  const described = resolve({ type: "ref", ref: "a.b.defs#rule", description: "Here." }, "a.b.c");
  assert.equal(described.schema.description, "Here.");
});

test("what leads nowhere is shown as JSON", () => {
  const resolve = resolver(documents);
  assert.equal(resolve({ type: "ref", ref: "#none" }, "a.b.c").schema.type, "unknown");
  assert.equal(resolve({ type: "ref", ref: "x.y.z" }, "a.b.c").schema.type, "unknown");
  assert.equal(resolve({ type: "ref", ref: "#loop" }, "a.b.c").schema.type, "ref");
});

test("the rules of a field in a line", () => {
  assert.equal(rulesOf({ type: "string", format: "uri" }), "string, uri");
  assert.equal(
    rulesOf({ type: "integer", minimum: 1, maximum: 100, default: 50 }),
    "integer; 1 to 100; default 50",
  );
  assert.equal(rulesOf({ type: "integer", minimum: 0 }), "integer; at least 0");
  assert.equal(rulesOf({ type: "boolean", default: false }), "boolean; default false");
});
