// The way in through a person's own PDS: a real one, with its own pages for password and consent.

import assert from "node:assert/strict";
import { join } from "node:path";

import * as does from "./console.js";
import { assertGood } from "./every-page.js";
import { Program } from "./program.js";

const ORIGIN = "http://127.0.0.1:8080";
const SERVICE = "did:web:hooks.test";
const CREATE = "place.wisp.v2.secret.create";
const WH = "place.wisp.v2.wh";
const PASSWORD = "password";

/** Fills the page's own form. */
async function ask(page, who) {
  await page.getByLabel("Handle, DID or PDS host").fill(who);
  await page.getByRole("button", { name: "Sign in through your PDS" }).click();
}

/** Answers at the PDS, as `handle`: the password, and whether this page may. */
async function answerAtPds(page, pdsUrl, handle, decision = "Authorize") {
  await page.waitForURL(`${pdsUrl}/**`);
  const [identifier, password] = [page.getByRole("textbox", { name: "Identifier" }), page.locator("[type=password]")];
  const begin = page.getByRole("button", { name: "Sign in", exact: true });
  await begin.waitFor();
  // Where it does not know yet who comes, it asks what they want.
  if (!(await password.isVisible())) await begin.click();
  await password.waitFor();
  if (await identifier.isEnabled()) await identifier.fill(handle);
  await password.fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("button", { name: decision, exact: true }).click();
  await page.waitForURL((url) => url.origin === ORIGIN && url.pathname !== "/");
}

/** Makes the session in a page's browser as old as one of another day. */
function age(page) {
  return page.evaluate(async () => {
    const opened = (request) =>
      new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
    let aged = 0;
    for (const { name } of await indexedDB.databases()) {
      const database = await opened(indexedDB.open(name));
      const stores = [...database.objectStoreNames].filter((store) => store === "session");
      for (const store of stores) {
        const objects = database.transaction(store, "readwrite").objectStore(store);
        for (const key of await opened(objects.getAllKeys())) {
          const kept = await opened(objects.get(key));
          kept.value.tokenSet.expires_at = "2020-01-01T00:00:00.000Z";
          await opened(objects.put(kept, key));
          aged += 1;
        }
      }
      database.close();
    }
    return aged;
  });
}

export async function checkOauth(world) {
  const { program, folder, seen, runner, flags, intake, browser, pds, pdsUrl, plcUrl, receiver, alice, bob } = world;
  const args = ["--gateway-listen", "127.0.0.1:8080", "--core-listen", "127.0.0.1:50051", "--public-url", ORIGIN];
  args.push("--service-did", SERVICE, "--allow-http", "true", "--rate-limit", "0");
  args.push("--database-url", `sqlite://${folder}/athook.db?mode=rwc`, ...flags, ...intake);
  const athook = new Program(program, args, { cwd: folder, log: join(seen, "athook.log") });
  await athook.serves(`${ORIGIN}/readyz`);

  const open = async (path) => {
    const page = await browser.page(ORIGIN, { others: [pdsUrl, plcUrl] });
    await page.goto(ORIGIN + path);
    return page;
  };
  const signedIn = async (path, who = "alice.test", handle = "alice.test") => {
    const page = await open(path);
    if (path.startsWith("/docs")) await page.getByRole("button", { name: "Sign in", exact: true }).first().click();
    await ask(page, who);
    await answerAtPds(page, pdsUrl, handle);
    await page.waitForURL(ORIGIN + path);
    await does.assertSignedIn(page, handle);
    return page;
  };
  const field = (page, path) => page.locator(`#try-it [name="${path}"]`);

  await runner.check("by handle: from a secret to a redelivery, and signed out", async () => {
    const page = await signedIn("/console#secrets");
    await page.getByText("You have no secrets yet.").waitFor();
    const token = await does.createSecret(page, "deploys");
    await does.createWebhook(page, { url: `${receiver.url}/oauth`, name: "mine", secret: "deploys" });
    await does.sendTest(page, "mine");
    await does.received(receiver, "/oauth", 1, token);
    const next = await does.rotateSecret(page, "deploys");
    await does.redeliver(page, "mine");
    await does.received(receiver, "/oauth", 2, next);
    await assertGood(page, seen, "console-oauth");
    await page.reload();
    await does.assertSignedIn(page, "alice.test");

    const told = page.waitForResponse((one) => one.url() === `${pdsUrl}/oauth/revoke`);
    await page.getByRole("button", { name: "Sign out" }).click();
    await told;
    await page.getByLabel("Handle, DID or PDS host").waitFor();
    assert.equal(await page.getByText("deploys").count(), 0, "what was shown is there still");
    await page.reload();
    await page.getByLabel("Handle, DID or PDS host").waitFor();
    const kept = await pds.ctx.accountManager.db.db.selectFrom("token").select("id").execute();
    assert.equal(kept.length, 0, "the session is still good at the PDS");
  });

  await runner.check("wh records: one that works, and one that is invalid", async () => {
    const page = await signedIn("/console#records");
    await page.getByText("There are none that this service knows of.").waitFor();
    const record = (rkey, url) => ({
      ...{ repo: alice.did, collection: WH, rkey },
      record: {
        $type: WH,
        scope: { $type: `${WH}#atUri`, aturi: `at://${bob.did}/app.bsky.feed.post` },
        ...{ url, secretId: "deploys", createdAt: new Date().toISOString() },
      },
    });
    await alice.com.atproto.repo.putRecord(record("works", `${receiver.url}/record`));
    await alice.com.atproto.repo.putRecord(record("invalid", "javascript:alert(1)"));
    const [works, invalid] = ["works", "invalid"].map((rkey) => does.card(page, `Record ${rkey}`));
    for (let tries = 0; (await works.count()) === 0 || (await invalid.count()) === 0; tries += 1) {
      assert.ok(tries < 20, "the records do not appear");
      await page.reload();
      await page.locator("#console .view").getByText(/none that this service|place\.wisp\.v2\.wh/).first().waitFor();
    }
    await works.getByText("active", { exact: true }).waitFor();
    await invalid.locator(".badge", { hasText: "invalid" }).waitFor();
    assert.match(await invalid.locator(".notice").textContent(), /url/);
    await works.getByText(`at://${alice.did}/${WH}/works`, { exact: true }).waitFor();
    assert.equal(await page.locator('[href^="javascript"]').count(), 0);
    await works.getByRole("button", { name: "Send test to works" }).click();
    await works.getByText("Delivered at the first attempt.").waitFor();
    assert.equal(receiver.all("/record").length, 1);
    await works.locator("dt", { hasText: "Last delivered" }).locator("+ dd time").waitFor();
    assert.equal(await invalid.getByRole("button", { name: /^Send test/ }).count(), 0);
    await assertGood(page, seen, "console-records-two");
    await works.getByRole("link", { name: "Deliveries of works" }).click();
    await page.locator("details.card").first().waitFor();
    await page.getByText(`at://${alice.did}/${WH}/works`).waitFor();
  });

  await runner.check("by DID, in Try It, and what was written is kept", async () => {
    const page = await open(`/docs/${CREATE}`);
    await field(page, "name").fill("from-try-it");
    await page.getByRole("button", { name: "Sign in instead" }).click();
    await ask(page, alice.did);
    await answerAtPds(page, pdsUrl, "alice.test");
    await page.waitForURL(`${ORIGIN}/docs/${CREATE}`);
    await page.getByText("You call as alice.test").waitFor();
    assert.equal(await field(page, "name").inputValue(), "from-try-it");
    await page.getByRole("button", { name: "Call", exact: true }).click();
    await page.locator(".answer .badge").waitFor();
    const body = JSON.parse(await page.locator(".answer-body").textContent());
    assert.equal(body.name, "from-try-it");
    assert.match(body.token, /^whsec_/);
    await page.goto(`${ORIGIN}/#state=nobody-began-it&error=access_denied`);
    await page.waitForURL(`${ORIGIN}/`);
    await does.assertSignedIn(page, "alice.test");
    assert.equal(await page.getByRole("alert").filter({ hasText: /agree|begun/ }).count(), 0);
    await page.goto(`${ORIGIN}/docs/${CREATE}`);
    await page.getByText("You call as alice.test").waitFor();
    await field(page, "name").fill("shown-once");
    await page.getByRole("button", { name: "Call", exact: true }).click();
    await page.getByText(/whsec_/).waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Service token").waitFor();
    assert.equal(await page.getByText(/whsec_/).count(), 0, "the answer is there still");
  });

  await runner.check("what was written as JSON is kept too", async () => {
    const page = await open(`/docs/${CREATE}`);
    await page.getByRole("button", { name: "Edit as JSON" }).click();
    await page.getByLabel("The input as JSON").fill('{"name": "as-json"}');
    await page.getByRole("button", { name: "Sign in instead" }).click();
    await ask(page, "alice.test");
    await answerAtPds(page, pdsUrl, "alice.test");
    await page.getByText("You call as alice.test").waitFor();
    assert.equal(await page.getByLabel("The input as JSON").inputValue(), '{"name": "as-json"}');
  });

  await runner.check("by the host of the PDS, as somebody else, who sees nothing of the others", async () => {
    const page = await signedIn("/console#secrets", new URL(pdsUrl).host, "bob.test");
    await page.getByText("You have no secrets yet.").waitFor();
    assert.equal(await page.locator("#account .who").getAttribute("title"), bob.did);
  });

  // No PDS can fetch the metadata of that service here; the newest that runs on this Node takes no service id in
  // the audience.
  await runner.check("what a service on https asks for", async () => {
    const flags = ["--listen", "127.0.0.1:8083", "--public-url", "https://hooks.test", "--service-did", SERVICE];
    const gateway = new Program(program, ["gateway", ...flags], { cwd: folder, log: join(seen, "https.log") });
    await gateway.serves("http://127.0.0.1:8083/site/config.json");
    const { audience, methods, oauth } = await (await fetch("http://127.0.0.1:8083/site/config.json")).json();
    const metadata = await (await fetch("http://127.0.0.1:8083/oauth-client-metadata.json")).json();
    await gateway.stop();
    assert.equal(audience, `${SERVICE}#wisp_place`);
    const rights = methods.map(({ nsid }) => `rpc:${nsid}?aud=${audience.replaceAll("#", "%23").replaceAll("%3A", "%253A")}`);
    assert.equal(oauth.scope, ["atproto", ...rights].join(" "));
    assert.equal(metadata.scope, oauth.scope);
  });

  await runner.check("consent that is refused", async () => {
    const page = await open(`/docs/${CREATE}`);
    await field(page, "name").fill("kept");
    await page.getByRole("button", { name: "Sign in instead" }).click();
    await ask(page, "alice.test");
    await answerAtPds(page, pdsUrl, "alice.test", "Deny access");
    await page.getByText("You did not agree at your PDS").waitFor();
    assert.equal(page.url(), `${ORIGIN}/docs/${CREATE}`);
    assert.equal(await field(page, "name").inputValue(), "kept");
    await page.getByRole("button", { name: "Sign in", exact: true }).waitFor();
  });

  await runner.check("whoever is not there", async () => {
    const page = await open("/console");
    const cases = [
      ["nobody.test", /No account was found for nobody\.test/],
      ["did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", /No account was found for did:plc:a{24}/],
      ["localhost:1", /can't be reached/],
      ["what is this?", /Give a handle such as/],
      ["", /Give a handle such as/],
    ];
    for (const [who, words] of cases) {
      await ask(page, who);
      await page.getByRole("alert").filter({ hasText: words }).waitFor();
      assert.equal(await page.getByLabel("Handle, DID or PDS host").inputValue(), who);
      await page.getByLabel("Handle, DID or PDS host").fill("x");
    }
    // Chromium says of each what it could not load.
    browser.takeFaults();
  });

  const ended = [
    ["a session that was revoked, and is to be refreshed", age],
    ["a session that was revoked", () => 1],
  ];
  for (const [name, spoil] of ended) {
    await runner.check(`${name}: the form is kept`, async () => {
      const page = await signedIn("/console");
      await does.fillWebhook(page, { url: `${receiver.url}/${spoil.name}`, name: "kept" });
      await pds.ctx.accountManager.db.db.deleteFrom("token").execute();
      assert.equal(await spoil(page), 1);
      await page.getByRole("button", { name: "Create webhook" }).click();
      const dialog = page.getByRole("dialog", { name: "Sign in" });
      await dialog.getByText(/Sign in again/).waitFor();
      assert.equal(await page.locator('[name="name"]').inputValue(), "kept");
      await ask(page, "alice.test");
      await answerAtPds(page, pdsUrl, "alice.test");
      await page.waitForURL(`${ORIGIN}/console#webhooks/new`);
      await page.getByRole("button", { name: "Create webhook" }).waitFor();
      assert.equal(await page.locator('[name="name"]').inputValue(), "kept");
      await page.getByRole("button", { name: "Create webhook" }).click();
      await does.deleteWebhook(page, "kept");
    });
  }

  await athook.stop();
}
