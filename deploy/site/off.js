// With `--site off` there are no pages.

import assert from "node:assert/strict";
import { join } from "node:path";

import { Program } from "./program.js";

const ORIGIN = "http://127.0.0.1:8082";
const PATHS = [
  ...["/", "/console", "/docs/place.wisp.v2.secret.create", "/lexicons/place.wisp.v2.secret.create.json"],
  ...["/openapi.json", "/oauth-client-metadata.json", "/assets/page.js", "/site/config.json"],
  "/site/resolve-handle?handle=alice.test",
];

export async function checkSwitchedOff({ program, folder, seen, runner }) {
  const flags = ["gateway", "--listen", "127.0.0.1:8082", "--site", "off"];
  const gateway = new Program(program, flags, { cwd: folder, log: join(seen, "off.log") });
  await gateway.serves(`${ORIGIN}/livez`);
  await runner.check("a site that is switched off", async () => {
    for (const path of PATHS) {
      const answer = await fetch(ORIGIN + path);
      assert.deepEqual([path, answer.status, (await answer.json()).error], [path, 404, "NotFound"]);
      assert.equal(answer.headers.get("content-security-policy"), null);
    }
    for (const path of ["/site/development/session", "/site/development/token"]) {
      const answer = await fetch(ORIGIN + path, { method: "POST", body: "{}" });
      assert.deepEqual([path, answer.status], [path, 404]);
    }
  });
  await gateway.stop();
}
