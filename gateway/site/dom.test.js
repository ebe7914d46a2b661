import assert from "node:assert/strict";
import { test } from "node:test";

import { isSafeLink } from "./dom.js";

test("links lead to pages and start no script", () => {
  for (const href of ["#secrets", "/docs/a.b.c", "https://a.example/", "http://127.0.0.1:8080/"]) {
    assert.ok(isSafeLink(href), href);
  }
  for (const href of [
    "javascript:alert(1)",
    " javascript:alert(1)",
    "data:text/html,x",
    "//evil.example",
    "/\\evil",
    "x",
    "",
  ]) {
    assert.ok(!isSafeLink(href), href);
  }
});
