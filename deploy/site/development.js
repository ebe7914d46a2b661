// The way in that `athook dev` prints: from its link to a delivery that a receiver verified.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";

import { NARROW, ZONE } from "./browser.js";
import * as does from "./console.js";
import { assertGood, checkPages } from "./every-page.js";
import { HOSTILE } from "./foreign.js";
import { checkKept } from "./kept.js";
import { keyboard } from "./keyboard.js";
import { Program } from "./program.js";

const ORIGIN = "http://127.0.0.1:8080";
const LINK = /http:\/\/127\.0\.0\.1:8080\/console#code=[0-9a-f]+/g;
const LIMITS = [["Name", 100], ["Description", 500], ["Prefix", 100], ["Suffix", 100]];

class Dev {
  constructor({ program, folder, seen, browser }) {
    Object.assign(this, { program, browser, seen, cwd: join(folder, "dev") });
    mkdirSync(this.cwd, { recursive: true });
  }

  run(name, args) {
    return new Program(this.program, args, { cwd: this.cwd, log: join(this.seen, `${name}.log`) });
  }

  /** Starts it with its defaults, as a person does. */
  async start() {
    this.dev = this.run("dev", ["dev", "--rate-limit", "0"]);
    [this.link] = await this.dev.prints(LINK);
  }

  async restart() {
    await this.dev.stop();
    await this.start();
  }

  /** Signs in again, where the page asks for it. */
  async useLink(page) {
    const dialog = page.getByRole("dialog", { name: "Sign in" });
    await dialog.getByLabel("The link that athook dev printed").fill(this.link);
    await dialog.getByRole("button", { name: "Use this link" }).click();
    await dialog.waitFor({ state: "detached" });
    await this.keepSession(page);
  }

  /** Each link is good for one page: what that one knows is given to the others. */
  async keepSession(page) {
    this.storage = await page.evaluate(() => JSON.stringify(sessionStorage));
  }

  /** A page that is signed in. */
  async page(options) {
    const page = await this.browser.page(ORIGIN, options);
    if (this.storage === undefined) {
      await page.goto(this.link);
      await does.assertSignedIn(page, "development identity");
      await this.keepSession(page);
      return page;
    }
    await page.addInitScript(
      ([origin, storage]) => {
        if (location.origin !== origin || sessionStorage.length > 0) return;
        for (const [name, value] of Object.entries(JSON.parse(storage))) sessionStorage.setItem(name, value);
      },
      [ORIGIN, this.storage],
    );
    await page.goto(`${ORIGIN}/console`);
    await does.assertSignedIn(page, "development identity");
    return page;
  }
}

export async function checkDevelopment(world) {
  const { runner, browser, receiver, seen, readme } = world;
  const dev = new Dev(world);
  await dev.start();
  const hook = (path) => `${receiver.url}/${path}`;

  await runner.check("the link signs in once, and its code leaves the address bar", async () => {
    const page = await browser.page(ORIGIN);
    const visited = [];
    page.on("request", (request) => visited.push(`${request.url()} ${request.headers().referer ?? ""}`));
    await page.goto(dev.link);
    await does.assertSignedIn(page, "development identity");
    await page.getByRole("heading", { level: 2, name: "Webhooks" }).waitFor();
    assert.equal(page.url(), `${ORIGIN}/console`);
    assert.equal(await page.evaluate(() => history.length), 2, "beside about:blank");
    assert.deepEqual(visited.filter((one) => one.includes("code")), []);
    await dev.keepSession(page);
    await page.reload();
    await does.assertSignedIn(page, "development identity");

    const second = await browser.page(ORIGIN);
    await second.goto(dev.link);
    const notice = second.getByRole("alert").filter({ hasText: "This link can't be used" });
    await notice.waitFor();
    assert.match(await notice.textContent(), /once|used|start/i);
    await second.getByLabel("The link that athook dev printed").waitFor();
    assert.equal(second.url(), `${ORIGIN}/console`);
  });

  await runner.check("from a secret to a delivery that is verified, and back", async () => {
    const page = await dev.page();
    const token = await does.createSecret(page, "deploys");
    await does.createWebhook(page, { url: hook("dev"), name: "my hook", secret: "deploys" });
    await does.sendTest(page, "my hook");
    const { at } = await does.received(receiver, "/dev", 1, token);
    const shown = await does.card(page, "Webhook my hook").locator("dd time").first();
    assert.ok(Math.abs(Date.parse(await shown.getAttribute("datetime")) - at) < 60_000);
    const clock = new Date(await shown.getAttribute("datetime")).toLocaleTimeString("en-GB", { timeZone: ZONE });
    assert.match(await shown.textContent(), new RegExp(clock), "in the reader's zone");
    assert.equal(await shown.getAttribute("title"), await shown.getAttribute("datetime"));
    await page.screenshot({ path: join(seen, "send-test.png"), fullPage: true });

    const next = await does.rotateSecret(page, "deploys");
    assert.notEqual(next, token);
    const newest = await does.redeliver(page, "my hook");
    const again = await does.received(receiver, "/dev", 2, next);
    await newest.getByText(again.id, { exact: true }).waitFor();
    assert.equal(again.id, receiver.all("/dev")[0].id);
    await page.screenshot({ path: join(seen, "redelivered.png"), fullPage: true });

    await does.tab(page, "Secrets");
    await page.getByRole("button", { name: "Delete deploys" }).click();
    await does.answer(page, "Delete deploys?", "Delete");
    await does.card(page, "Secret deploys").getByRole("alert").waitFor();
    await does.deleteWebhook(page, "my hook");
    await does.deleteSecret(page, "deploys");
  });

  await runner.check("the same with athook listen as the receiver", async () => {
    const page = await dev.page();
    const token = await does.createSecret(page, "listening");
    const listen = dev.run("listen", ["listen", "--secret", token]);
    const [url] = await listen.prints(/http:\/\/127\.0\.0\.1:9100\S*/);
    await does.createWebhook(page, { url: `${new URL(url).origin}/console`, name: "listen", secret: "listening" });
    const before = listen.output.length;
    await does.sendTest(page, "listen");
    await listen.prints(/verified: webhook-signature and X-Webhook-Signature/, before);
    await does.deleteWebhook(page, "listen");
    await listen.stop();
  });

  await runner.check("the webhook that athook listen makes for itself", async () => {
    const listen = dev.run("listen", ["listen"]);
    await listen.prints(/http:\/\/127\.0\.0\.1:9100/);
    const page = await dev.page();
    await page.getByRole("article").first().waitFor();
    const label = await page.getByRole("article").first().getAttribute("aria-label");
    const before = listen.output.length;
    await does.sendTest(page, label.replace("Webhook ", ""));
    await listen.prints(/verified: webhook-signature and X-Webhook-Signature/, before);
    await listen.stop();
  });

  await runner.check("by keyboard alone", async () => keyboard(await dev.page(), receiver));

  await runner.check("errors of the console stand beside their fields", async () => {
    const page = await dev.page();
    await does.tab(page, "Secrets");
    for (const [name, words] of [["a b", /name/], ["", /name/]]) {
      await page.getByLabel("Name").fill(name);
      await page.getByRole("button", { name: "Create secret" }).click();
      await page.locator('[name="name"][aria-invalid="true"]').waitFor();
      assert.match(await page.locator(".field .error").first().textContent(), words);
      await page.getByLabel("Name").fill("x");
    }
    await does.createSecret(page, "twice");
    await page.getByLabel("Name").fill("twice");
    await page.getByRole("button", { name: "Create secret" }).click();
    await page.locator('[name="name"][aria-invalid="true"]').waitFor();

    await does.fillWebhook(page, { url: "http://127.0.0.1:1/closed", name: "no", events: [] });
    const submit = page.getByRole("button", { name: "Create webhook" });
    await submit.click();
    await page.locator('[name="events"][aria-invalid="true"]').first().waitFor();
    await does.eventBox(page, "chat").check();
    await submit.click();
    await page.locator('[name="url"][aria-invalid="true"]').waitFor();
    await page.getByLabel("URL").fill(hook("limits"));
    for (const [label, limit] of LIMITS) {
      const control = page.getByLabel(label, { exact: true });
      await control.fill("é".repeat(limit / 2 + 1));
      await page.getByText(`${limit + 2} of ${limit} bytes`).waitFor();
      await submit.click();
      await page.locator(`[name="${label.toLowerCase()}"][aria-invalid="true"]`).waitFor();
      await control.fill("é".repeat(limit / 2));
    }
    await page.getByRole("button", { name: "Add an entry to Rewrite" }).click();
    await page.locator('[name="rewrite[0].to"]').fill("x");
    await submit.click();
    await page.locator('[name="rewrite[0].from"][aria-invalid="true"]').waitFor();
    await page.locator('[name="rewrite[0].from"]').fill("y");
    await submit.click();
    await does.deleteWebhook(page, "é".repeat(50));
  });

  await runner.check("a hostile name stays text", async () => {
    const page = await dev.page();
    page.on("dialog", (dialog) => void dialog.dismiss());
    await does.tab(page, "Secrets");
    await page.getByLabel("Name").fill(HOSTILE);
    await page.getByRole("button", { name: "Create secret" }).click();
    await page.locator('[name="name"][aria-invalid="true"]').waitFor();
    await does.createWebhook(page, { url: hook(`hostile?'onload='alert(1)&%3Cscript%3E`), name: HOSTILE });
    await does.card(page, `Webhook ${HOSTILE}`).getByRole("heading", { name: HOSTILE }).waitFor();
    await does.sendTest(page, HOSTILE);
    await does.openDelivery(page, HOSTILE);
    await does.deleteWebhook(page, HOSTILE);
    assert.equal(await page.locator("img, main script, [onload], [onerror]").count(), 0);
    assert.match(await page.title(), /Console/);
  });

  await runner.check("a webhook that is edited, turned off and on", async () => {
    const page = await dev.page();
    await does.createWebhook(page, { url: hook("edited"), name: "first", events: ["chat", "follow"] });
    await page.getByRole("link", { name: "Edit first" }).click();
    await page.getByLabel("Name").fill("second");
    await does.eventBox(page, "follow").uncheck();
    await page.getByRole("button", { name: "Save" }).click();
    const shown = does.card(page, "Webhook second");
    await shown.waitFor();
    assert.match(await shown.locator("dl").textContent(), /Events\s*chat(?!.*follow)/);
    await page.getByRole("button", { name: "Turn off second" }).click();
    await shown.getByText("off", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Turn on second" }).click();
    await shown.getByText("active", { exact: true }).waitFor();
    await does.deleteWebhook(page, "second");
  });

  await runner.check("a receiver that refuses, and says hostile things", async () => {
    const refusing = createServer((request, response) => response.writeHead(500).end(HOSTILE));
    await new Promise((done) => refusing.listen(0, "127.0.0.1", done));
    const page = await dev.page();
    const url = `http://127.0.0.1:${refusing.address().port}/`;
    await does.createWebhook(page, { url, name: "refusing" });
    const shown = does.card(page, "Webhook refusing");
    await shown.getByRole("button", { name: "Send test to refusing" }).click();
    await shown.getByText("refused by the receiver (500)").first().waitFor();
    await shown.getByText(HOSTILE).waitFor();
    assert.equal(await page.locator("img, main script").count(), 0);
    await does.deleteWebhook(page, "refusing");
    refusing.close();
  });

  await runner.check("what takes long shows that it does, and is not sent twice", async () => {
    const page = await dev.page();
    await does.tab(page, "Secrets");
    let calls = 0;
    await page.route("**/xrpc/place.wisp.v2.secret.create", async (route) => {
      calls += 1;
      await new Promise((done) => setTimeout(done, 1_000));
      await route.continue();
    });
    await page.getByLabel("Name").fill("slow");
    const submit = page.getByRole("button", { name: "Create secret" });
    await submit.click();
    await submit.click({ force: true });
    await page.locator("form[aria-busy=true]").waitFor();
    await page.getByRole("heading", { name: "The secret slow is made." }).waitFor();
    assert.equal(await page.locator("[aria-busy]").count(), 0);
    assert.equal(calls, 1);
  });

  await runner.check("a service that is away, and back", async () => {
    const page = await dev.page();
    await dev.dev.stop();
    try {
      await page.getByRole("navigation", { name: "Console" }).getByRole("link", { name: "Secrets" }).click();
      await page.getByRole("alert").filter({ hasText: /did not answer/ }).waitFor();
    } finally {
      await dev.start();
      dev.storage = undefined;
    }
    await page.getByRole("button", { name: "Try again" }).click();
    // It has a new session, too.
    await dev.useLink(page);
    await page.getByRole("button", { name: "Create secret" }).waitFor();
    // Chromium says of each request that there was nobody.
    const others = browser.takeFaults().filter((fault) => !fault.includes("net::ERR_CONNECTION_REFUSED"));
    assert.deepEqual(others, []);
  });

  await runner.check("a session that ends while a form is filled", async () => {
    const page = await dev.page();
    await does.fillWebhook(page, { url: hook("kept"), name: "kept" });
    await dev.restart();
    await page.getByRole("button", { name: "Create webhook" }).click();
    await page.getByText("The session of athook dev has ended").waitFor();
    assert.equal(await page.locator('[name="name"]').inputValue(), "kept");
    await dev.useLink(page);
    await does.card(page, "Webhook kept").waitFor();
    await does.deleteWebhook(page, "kept");
  });

  await checkKept({ runner, dev, hook });
  await checkPages(world, "athook", ORIGIN);

  await runner.check("the console, signed out and signed in", async () => {
    const out = await browser.page(ORIGIN);
    await out.goto(`${ORIGIN}/console`);
    await out.getByLabel("The link that athook dev printed").waitFor();
    await assertGood(out, seen, "console-signed-out");

    const page = await dev.page();
    const token = await does.createSecret(page, "moderation");
    const webhook = { name: "Chat to our server", secret: "moderation", events: ["chat", "livestream"] };
    await does.createWebhook(page, { url: hook("chat"), ...webhook });
    await does.sendTest(page, "Chat to our server");
    await does.received(receiver, "/chat", 1, token);
    await assertGood(page, seen, "console-webhooks");
    if (readme) await photographForReadme(page, readme);
    await does.tab(page, "Secrets");
    await does.rotateSecret(page, "moderation");
    await assertGood(page, seen, "console-secrets");
    await page.getByRole("button", { name: "Rotate moderation", exact: true }).click();
    await page.getByRole("dialog").waitFor();
    await assertGood(page, seen, "console-question");
    await does.answer(page, "Rotate moderation?", "Cancel");
    await does.tab(page, "Records");
    await page.getByText("There are none that this service knows of.").waitFor();
    await assertGood(page, seen, "console-records");
    await does.openDelivery(page, "Chat to our server");
    await assertGood(page, seen, "console-deliveries");
    await page.goto(`${ORIGIN}/console#webhooks/new`);
    await page.getByRole("button", { name: "Create webhook" }).waitFor();
    await page.getByRole("button", { name: "Add an entry to Rewrite" }).click();
    await assertGood(page, seen, "console-form");
  });

  await runner.check("opened on localhost, the page goes to 127.0.0.1", async () => {
    const page = await browser.page(ORIGIN, { others: ["http://localhost:8080"], width: NARROW });
    await page.goto("http://localhost:8080/console#secrets");
    await page.waitForURL(`${ORIGIN}/console#secrets`);
  });

  await dev.dev.stop();
}

/** The upper part of the console, small enough for a README. */
async function photographForReadme(page, readme) {
  await page.setViewportSize({ width: 1280, height: 820 });
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: readme });
}
