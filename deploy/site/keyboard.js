// A way through the console without a mouse.

import assert from "node:assert/strict";

/** After so many presses of Tab there is nothing new. */
const MAX_TABS = 60;

/** Presses Tab until what has the focus is called `name`. */
async function tabTo(page, name) {
  const seen = [];
  for (let presses = 0; presses < MAX_TABS; presses += 1) {
    await page.keyboard.press("Tab");
    const focused = await page.evaluate(() => {
      const { activeElement: one } = document;
      const { outlineStyle, boxShadow } = getComputedStyle(one);
      const label = one.getAttribute("aria-label") ?? (one.labels?.[0] ?? one).textContent;
      return { label: label.trim(), visible: outlineStyle !== "none" || boxShadow !== "none", tag: one.tagName };
    });
    seen.push(focused.label.slice(0, 40));
    if (focused.tag !== "BODY") assert.ok(focused.visible, `no one sees that ${focused.label} has the focus`);
    if (focused.label === name) return;
  }
  throw new Error(`Tab does not lead to ${name}, but to ${seen.join(", ")}`);
}

/** Waits until a heading has the focus, so that the next press of Tab goes on from there. */
const arrivesAt = (page, text) =>
  page.waitForFunction((text) => {
    const { tagName, textContent } = document.activeElement;
    return /^H\d$/.test(tagName) && textContent === text;
  }, text);

/** Secret, webhook, test, and all deleted again. */
export async function keyboard(page, receiver) {
  const press = async (name) => {
    await tabTo(page, name);
    await page.keyboard.press("Enter");
  };
  await page.reload();
  await press("Skip to the content");
  await press("Secrets");
  await page.getByRole("button", { name: "Create secret" }).waitFor();
  await arrivesAt(page, "Secrets");
  await tabTo(page, "Name required");
  await page.keyboard.type("keys");
  await page.keyboard.press("Enter");
  await arrivesAt(page, "The secret keys is made.");
  await press("Copy the token");
  await page.getByText("Copied").first().waitFor();
  await press("I have kept the token of keys");
  await arrivesAt(page, "Secrets");
  await press("Webhooks");
  await arrivesAt(page, "Webhooks");
  await press("Create webhook");
  await arrivesAt(page, "Create a webhook");
  await page.getByLabel("URL").waitFor();
  await tabTo(page, "URL required");
  await page.keyboard.type(`${receiver.url}/keys`);
  await tabTo(page, "Name");
  await page.keyboard.type("by keys");
  await tabTo(page, "chat: somebody writes in the chat");
  await page.keyboard.press("Space");
  await tabTo(page, "Secret");
  await page.keyboard.type("k");
  await press("Create webhook");
  await arrivesAt(page, "Webhooks");
  await page.getByRole("article", { name: "Webhook by keys" }).waitFor();
  await press("Send test to by keys");
  await page.getByText("Delivered at the first attempt.").waitFor();
  assert.equal(receiver.all("/keys").length, 1);
  await page.keyboard.press("Home");
  await press("Delete by keys");
  await page.getByRole("dialog").waitFor();
  // Escape changes nothing, and the focus is where it was.
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Delete by keys");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await press("Delete");
  await page.getByRole("article", { name: "Webhook by keys" }).waitFor({ state: "detached" });
  await arrivesAt(page, "Webhooks");
  await press("Secrets");
  await arrivesAt(page, "Secrets");
  await page.getByRole("button", { name: "Delete keys" }).waitFor();
  await press("Delete keys");
  await press("Delete");
  await page.getByRole("article", { name: "Secret keys" }).waitFor({ state: "detached" });
}
