// Verifies deliveries with the package `standardwebhooks`: a JSON line of a delivery in, `verified` or why not out.
const assert = require("node:assert");
const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");

const { Webhook, WebhookVerificationError } = createRequire(`${process.argv[2]}/`)("standardwebhooks");

for (const line of readFileSync(0, "utf8").trimEnd().split("\n")) {
  const { token, headers, body } = JSON.parse(line);
  const bytes = Buffer.from(body, "base64");
  try {
    assert.deepStrictEqual(new Webhook(token).verify(bytes, headers), JSON.parse(bytes.toString()));
    console.log("verified");
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    console.log(error.message);
  }
}
