// What is kept while somebody goes elsewhere in the console, and what is not.

import assert from "node:assert/strict";

import * as does from "./console.js";

/** @param {{runner: import("./runner.js").Runner, dev: any, hook: (path: string) => string}} world */
export async function checkKept({ runner, dev, hook }) {
  await runner.check("tokens are shown until each is said to be kept", async () => {
    const page = await dev.page();
    const shown = page.locator(".token-shown");
    await does.tab(page, "Secrets");
    for (const name of ["one", "two"]) {
      await page.getByLabel("Name").fill(name);
      await page.getByRole("button", { name: "Create secret" }).click();
      await page.getByRole("heading", { name: `The secret ${name} is made.` }).waitFor();
      await does.card(page, `Secret ${name}`).waitFor();
    }
    assert.equal(await shown.count(), 2);
    await page.route("**/xrpc/place.wisp.v2.secret.rotate", async (route) => {
      await new Promise((done) => setTimeout(done, 500));
      await route.continue();
    });
    await page.getByRole("button", { name: "Rotate one", exact: true }).click();
    await does.answer(page, "Rotate one?", "Rotate");
    await does.tab(page, "Webhooks");
    await page.getByRole("heading", { name: "The secret one has a new token." }).waitFor();
    for (let left = 3; left > 0; left -= 1) {
      assert.equal(await shown.count(), left);
      await shown.first().getByRole("button", { name: /^I have kept/ }).click();
    }
    assert.equal(await shown.count(), 0);
    for (const name of ["one", "two"]) await does.deleteSecret(page, name);
  });

  await runner.check("what is written stays while another view is shown, but no token", async () => {
    const page = await dev.page();
    await does.fillWebhook(page, { url: hook("kept"), name: "half" });
    await does.tab(page, "Secrets");
    await page.getByLabel("Name").fill("half-a-secret");
    await page.getByLabel("Token", { exact: true }).fill("x".repeat(40));
    await page.goBack();
    await page.getByRole("button", { name: "Create webhook" }).waitFor();
    assert.equal(await page.locator('[name="name"]').inputValue(), "half");
    await does.tab(page, "Secrets");
    await page.getByRole("button", { name: "Create secret" }).waitFor();
    assert.equal(await page.getByLabel("Name").inputValue(), "half-a-secret");
    assert.equal(await page.getByLabel("Token", { exact: true }).inputValue(), "");
  });

  await runner.check("saving a webhook sends what was edited, and nothing else", async () => {
    const page = await dev.page();
    await does.fillWebhook(page, { url: hook("lines"), name: "lines" });
    await page.getByLabel("Prefix").fill("a\nb");
    await page.getByRole("button", { name: "Create webhook" }).click();
    await page.getByRole("link", { name: "Edit lines" }).click();
    await page.getByLabel("Name").fill("renamed");
    const sent = page.waitForRequest("**/xrpc/place.stream.server.updateWebhook");
    await page.getByRole("button", { name: "Save" }).click();
    const { id, ...changed } = (await sent).postDataJSON();
    assert.deepEqual(changed, { name: "renamed" }, id);
    await does.deleteWebhook(page, "renamed");
  });

  await runner.check("a new link in the address bar lets a call go on, as it is", async () => {
    const page = await dev.page();
    await does.fillWebhook(page, { url: hook("address"), name: "address" });
    await dev.restart();
    await page.getByRole("button", { name: "Create webhook" }).click();
    await page.getByText("The session of athook dev has ended").waitFor();
    await page.evaluate((link) => (location.href = link), dev.link);
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await does.card(page, "Webhook address").waitFor();
    await dev.keepSession(page);
    await does.deleteWebhook(page, "address");
  });

  await runner.check("a page that comes back after a sign-out shows nobody", async () => {
    const page = await dev.page();
    await does.tab(page, "Secrets");
    await page.evaluate(() => {
      sessionStorage.setItem("other", "");
      sessionStorage.removeItem("athook.development");
      dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
    });
    await page.getByLabel("The link that athook dev printed").waitFor();
    assert.equal(await page.getByRole("button", { name: "Create secret" }).count(), 0);
  });
}
