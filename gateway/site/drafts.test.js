import assert from "node:assert/strict";
import { test } from "node:test";

import { withoutSecrets } from "./drafts.js";

test("what is secret is not kept", () => {
  const rule = { token: "x", accessToken: "y", secretId: "main" };
  assert.deepEqual(withoutSecrets({ name: "n", token: "t", secret: "s", fields: { rules: [rule, null, 1] } }), {
    name: "n",
    fields: { rules: [{ secretId: "main" }, null, 1] },
  });
});
