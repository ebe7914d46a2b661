// What a person does in the console, in the words that stand there.

import assert from "node:assert/strict";

import { Webhook } from "standardwebhooks";

import { verify } from "../intake/receiver.js";

/** Opens a view of the console by its tab. */
export async function tab(page, name) {
  await page.getByRole("navigation", { name: "Console" }).getByRole("link", { name }).click();
  await page.getByRole("heading", { level: 2, name: name === "Records" ? "wh records" : name }).waitFor();
}

/** The card of a secret or of a webhook. */
export const card = (page, label) => page.getByRole("article", { name: label, exact: true });

/** The token that is shown, which the button copies. */
export async function shownToken(page) {
  const token = await page.locator(".token-shown .token code").textContent();
  await page.getByRole("button", { name: "Copy the token" }).click();
  await page.getByText("Copied").first().waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), token);
  for (const language of ["Node", "Python", "Rust"]) {
    await page.locator(".token-shown summary", { hasText: language }).waitFor();
  }
  await page.getByRole("button", { name: /^I have kept the token/ }).click();
  assert.equal(await page.getByText(token).count(), 0, "the token is shown still");
  return token;
}

/** Creates a secret. Returns its token. */
export async function createSecret(page, name) {
  await tab(page, "Secrets");
  await page.getByLabel("Name").fill(name);
  await page.getByRole("button", { name: "Create secret" }).click();
  await page.getByRole("heading", { name: `The secret ${name} is made.` }).waitFor();
  await card(page, `Secret ${name}`).waitFor();
  return shownToken(page);
}

/** Gives a secret a new token, which it returns. */
export async function rotateSecret(page, name) {
  await tab(page, "Secrets");
  await page.getByRole("button", { name: `Rotate ${name}`, exact: true }).click();
  await answer(page, `Rotate ${name}?`, "Rotate");
  await page.getByRole("heading", { name: `The secret ${name} has a new token.` }).waitFor();
  return shownToken(page);
}

/** Answers a question that stands before the page. */
export async function answer(page, title, button) {
  const dialog = page.getByRole("dialog", { name: title });
  await dialog.getByRole("button", { name: button, exact: true }).click();
  await dialog.waitFor({ state: "detached" });
}

/** The box of a type of event in a webhook's form. */
export const eventBox = (page, event) => page.locator(`[name="events"][value="${event}"]`);

/** Opens the form of a new webhook and fills it. */
export async function fillWebhook(page, { url, name, secret, events = ["chat"] }) {
  await tab(page, "Webhooks");
  await page.getByRole("link", { name: "Create webhook" }).click();
  await page.getByLabel("URL").fill(url);
  await page.getByLabel("Name").fill(name);
  for (const event of events) await eventBox(page, event).check();
  if (secret) await page.getByLabel("Secret").selectOption(secret);
}

export async function createWebhook(page, webhook) {
  await fillWebhook(page, webhook);
  await page.getByRole("button", { name: "Create webhook" }).click();
  await card(page, `Webhook ${webhook.name}`).waitFor();
}

/** Sends a test and waits until it is shown as delivered. */
export async function sendTest(page, name) {
  const shown = card(page, `Webhook ${name}`);
  await shown.getByRole("button", { name: `Send test to ${name}`, exact: true }).click();
  await shown.getByText("Delivered at the first attempt.").waitFor();
  await shown.locator("dt", { hasText: "Last delivered" }).locator("+ dd time").waitFor();
}

/** Goes to the deliveries of a webhook and opens the newest. */
export async function openDelivery(page, name) {
  await tab(page, "Webhooks");
  await page.getByRole("link", { name: `Deliveries of ${name}`, exact: true }).click();
  await page.getByRole("heading", { level: 2, name: "Deliveries" }).waitFor();
  const newest = page.locator("details.card").first();
  await newest.locator("summary").click();
  await newest.getByRole("heading", { name: "The body sent" }).waitFor();
  return newest;
}

/** Makes the newest delivery of a webhook once more. */
export async function redeliver(page, name) {
  const newest = await openDelivery(page, name);
  await newest.getByRole("button", { name: "Redeliver", exact: true }).click();
  await newest.locator(".attempts > li").nth(1).waitFor();
  await newest.getByText("Delivered after 2 attempts.").waitFor();
  return newest;
}

export async function deleteWebhook(page, name) {
  await tab(page, "Webhooks");
  await page.getByRole("button", { name: `Delete ${name}`, exact: true }).click();
  await answer(page, `Delete ${name}?`, "Delete");
  await card(page, `Webhook ${name}`).waitFor({ state: "detached" });
}

export async function deleteSecret(page, name) {
  await tab(page, "Secrets");
  await page.getByRole("button", { name: `Delete ${name}`, exact: true }).click();
  await answer(page, `Delete ${name}?`, "Delete");
  await card(page, `Secret ${name}`).waitFor({ state: "detached" });
}

/** The delivery number `count` that arrived at `path`, which a receiver takes that has `token`. */
export async function received(receiver, path, count, token) {
  await receiver.next(path, () => receiver.all(path).length >= count);
  const arrived = receiver.all(path);
  assert.equal(arrived.length, count);
  const { headers, body } = arrived[count - 1];
  verify({ headers, body }, token);
  new Webhook(token).verify(body.toString(), headers);
  return arrived[count - 1];
}

/** Who is signed in, as the header says. */
export async function assertSignedIn(page, name) {
  await page.locator("#account .who", { hasText: name }).waitFor();
}
