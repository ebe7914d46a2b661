import assert from "node:assert/strict";
import { test } from "node:test";

import { isStandard, verifyLines } from "./verify-lines.js";

test("tokens of Standard Webhooks", () => {
  assert.ok(isStandard("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
  assert.ok(isStandard("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="));
  for (const token of ["0123456789abcdef0123456789abcdef", "whsec_", "whsec_not!base64", "whsec_abc"]) {
    assert.ok(!isStandard(token), token);
  }
});

test("the lines name a variable, never the token", () => {
  for (const token of ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "0123456789abcdef0123456789abcdef"]) {
    const lines = verifyLines(token);
    assert.deepEqual(
      lines.map(({ language }) => language),
      ["Node", "Python", "Rust"],
    );
    for (const { code } of lines) {
      assert.ok(code.includes("WEBHOOK_SECRET") && !code.includes(token), code);
    }
  }
});

test("other tokens are taken as bytes", () => {
  const [node, python, rust] = verifyLines("0123456789abcdef0123456789abcdef").map(({ code }) => code);
  assert.match(node, /format: "raw"/);
  assert.match(python, /\.encode\(\)/);
  assert.match(rust, /from_bytes/);
});
