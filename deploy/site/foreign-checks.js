// Try It on the pages of a service that is not athook: a field of each kind, with a token that was pasted.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { ZONE } from "./browser.js";
import { checkPages, checkWatch } from "./every-page.js";
import { HOSTILE, LOOK, PLANT, describe, startGarden } from "./foreign.js";
import { Program } from "./program.js";

const ORIGIN = "http://127.0.0.1:8081";
const SERVICE = "did:web:garden.test";

/** Opens a method's page and pastes a token for it. */
async function open(world, nsid, lxm = nsid) {
  const { data } = await world.alice.com.atproto.server.getServiceAuth({ aud: SERVICE, lxm });
  const page = await world.browser.page(ORIGIN);
  await page.goto(`${ORIGIN}/docs/${nsid}`);
  await page.getByLabel("Service token").fill(data.token);
  return { page, token: data.token };
}

const field = (page, path) => page.locator(`#try-it [name="${path}"]`);
const add = (page, path) => page.getByRole("button", { name: `Add an entry to ${path}`, exact: true }).click();

/** Presses Call. Returns the request, and the answer as the page shows it. */
async function call(page, nsid) {
  await page.locator(".answer").evaluate((answer) => answer.replaceChildren());
  const [request] = await Promise.all([
    page.waitForRequest((one) => one.url().startsWith(`${ORIGIN}/xrpc/${nsid}`)),
    page.getByRole("button", { name: "Call", exact: true }).click(),
  ]);
  await page.locator(".answer .badge").waitFor();
  const status = await page.locator(".answer .badge").textContent();
  const body = await page.locator(".answer-body").textContent();
  return { request, status, shown: JSON.parse(body) };
}

/** The error that stands beside a field, which is marked. */
async function errorBeside(page, path) {
  const control = field(page, path).first();
  assert.equal(await control.getAttribute("aria-invalid"), "true", `${path} is not marked`);
  const ids = (await control.getAttribute("aria-describedby")).split(" ");
  const id = ids.find((one) => one.endsWith("-error"));
  return page.locator(`[id="${id}"]`).textContent();
}

// 12:00 in UTC.
const NOON = { written: "2026-01-31T21:00", sent: "2026-01-31T12:00:00.000Z" };
assert.equal(ZONE, "Asia/Tokyo");

export async function checkForeign(world) {
  const { program, folder, seen, runner, flags } = world;
  mkdirSync(join(folder, "foreign"));
  const made = describe(join(folder, "foreign"), join(folder, "proto"), join(folder, "node_modules/.bin/buf"));
  const garden = await startGarden();
  const args = ["gateway", "--listen", "127.0.0.1:8081", "--public-url", ORIGIN, "--service-did", SERVICE];
  const gateway = new Program(program, [...args, "--core-url", garden, "--service-ids", "garden", ...made, ...flags], {
    cwd: folder,
    log: join(seen, "foreign.log"),
  });
  await gateway.serves(`${ORIGIN}/readyz`);

  await checkWatch(world, ORIGIN);
  await checkPages(world, "foreign", ORIGIN);

  await runner.check("a hostile description stays text", async () => {
    const page = await world.browser.page(ORIGIN);
    page.on("dialog", (dialog) => void dialog.dismiss());
    await page.goto(`${ORIGIN}/docs/${PLANT}`);
    await page.locator("#try-it form").waitFor();
    assert.match(await page.title(), /com\.example\.garden\.plant/);
    assert.equal(await page.locator("img, #main script, [onload], [onerror]").count(), 0);
    // Of the method, of two fields, of a definition, of an error; and in the form.
    assert.ok((await page.getByText(HOSTILE).count()) >= 6);
    await page.goto(ORIGIN);
    assert.ok((await page.getByText(HOSTILE).count()) >= 1);
  });

  await runner.check("without scripts the page can be read", async () => {
    const page = await world.browser.page(ORIGIN, { scripts: false });
    await page.goto(`${ORIGIN}/docs/${PLANT}`);
    await page.getByRole("heading", { level: 1, name: PLANT }).waitFor();
    for (const heading of ["Input", "Output", "Errors"]) await page.getByRole("heading", { name: heading }).waitFor();
    await page.getByText("GroundFrozen").first().waitFor();
  });

  await runner.check("the console is not there, as its methods are not bound", async () => {
    assert.equal((await fetch(`${ORIGIN}/console`)).status, 404);
    const page = await world.browser.page(ORIGIN);
    await page.goto(ORIGIN);
    assert.equal(await page.getByRole("link", { name: "Console" }).count(), 0);
  });

  await runner.check("a procedure with a field of each kind", async () => {
    const { page, token } = await open(world, PLANT);
    await page.getByText(/^Good for \d+ s more/).waitFor();
    await field(page, "name").fill("rosé");
    await page.getByText("5 of 10 bytes").waitFor();
    await field(page, "rows").fill("3");
    await field(page, "sunny").selectOption("false");
    await add(page, "tags");
    await field(page, "tags[0]").fill("red");
    await add(page, "tags");
    await field(page, "tags[1]").fill("");
    await field(page, "season").selectOption("autumn");
    await field(page, "plantedAt").fill(NOON.written);
    await page.getByText(`sent as ${NOON.sent}`).waitFor();
    await page.getByRole("button", { name: "Add soil" }).click();
    await field(page, "soil.kind").fill("clay");
    await field(page, "soil.acidity").fill("-7");
    await add(page, "beds");
    await field(page, "beds[0].name").fill("north");
    await page.getByRole("button", { name: /^Add an entry to widths/ }).click();
    await field(page, "beds[0].widths[0]").fill("40");
    const input = {
      name: "rosé",
      rows: 3,
      sunny: false,
      tags: ["red", ""],
      season: "autumn",
      plantedAt: NOON.sent,
      soil: { kind: "clay", acidity: -7 },
      beds: [{ name: "north", widths: [40] }],
    };
    const { request, status, shown } = await call(page, PLANT);
    assert.deepEqual([request.method(), request.url()], ["POST", `${ORIGIN}/xrpc/${PLANT}`]);
    assert.deepEqual(request.postDataJSON(), input);
    assert.equal((await request.allHeaders()).authorization, `Bearer ${token}`);
    assert.deepEqual([status, shown], ["200", { gardener: world.alice.did, ...input }]);
    await page.screenshot({ path: join(seen, "try-it.png"), fullPage: true });
  });

  await runner.check("fields that are left out, and one that is empty", async () => {
    const { page } = await open(world, PLANT);
    await field(page, "name").fill("x");
    const { request, shown } = await call(page, PLANT);
    assert.deepEqual(request.postDataJSON(), { name: "x" });
    assert.deepEqual([shown.name, shown.rows], ["x", undefined]);
  });

  await runner.check("a query with parameters of each kind", async () => {
    const { page } = await open(world, LOOK);
    await field(page, "name").fill("a b&c=é");
    await field(page, "rows").fill("0012");
    await field(page, "sunny").selectOption("true");
    await add(page, "tags");
    await field(page, "tags[0]").fill("+1");
    await add(page, "tags");
    await field(page, "tags[1]").fill("?");
    await field(page, "season").selectOption("spring");
    await field(page, "plantedAt").fill(NOON.written);
    const { request, status, shown } = await call(page, LOOK);
    assert.equal(request.method(), "GET");
    const { searchParams } = new URL(request.url());
    assert.deepEqual(searchParams.getAll("tags"), ["+1", "?"]);
    const value = { name: "a b&c=é", rows: 12, sunny: true, tags: ["+1", "?"], season: "spring" };
    assert.deepEqual([status, shown], ["200", { gardener: world.alice.did, ...value, plantedAt: NOON.sent }]);
  });

  await runner.check("errors stand beside their fields, in the service's words", async () => {
    const { page } = await open(world, PLANT);
    await field(page, "name").fill("x");
    await add(page, "tags");
    await add(page, "beds");
    await page.getByRole("button", { name: "Add soil" }).click();
    for (const path of ["name", "tags[0]", "soil.kind", "beds[0].name"]) {
      await field(page, path).fill("no");
      const { status, shown } = await call(page, PLANT);
      assert.deepEqual([path, status, shown.error], [path, "400", "InvalidRequest"]);
      assert.equal(await errorBeside(page, path), shown.message);
      assert.equal(await page.locator("#try-it [aria-invalid]").count(), 1, path);
      assert.equal(await field(page, path).evaluate((one) => one === document.activeElement), true, `focus of ${path}`);
      await field(page, path).fill("x");
    }
    const { status } = await call(page, PLANT);
    assert.equal(status, "200");
    assert.equal(await page.locator("#try-it [aria-invalid]").count(), 0);
  });

  await runner.check("what is no whole number is not sent", async () => {
    const { page } = await open(world, PLANT);
    let sent = 0;
    page.on("request", (request) => (sent += request.url().includes("/xrpc/") ? 1 : 0));
    await field(page, "name").fill("x");
    for (const text of ["1.5", "one", "1e3", "9007199254740993"]) {
      await field(page, "rows").fill(text);
      await page.getByRole("button", { name: "Call", exact: true }).click();
      assert.match(await errorBeside(page, "rows"), /whole number/);
    }
    assert.equal(sent, 0);
  });

  await runner.check("the input as JSON, and back", async () => {
    const { page } = await open(world, PLANT);
    await field(page, "name").fill("x");
    await page.getByRole("button", { name: "Edit as JSON" }).click();
    const json = page.getByLabel("The input as JSON");
    assert.deepEqual(JSON.parse(await json.inputValue()), { name: "x" });
    await json.fill("{");
    await page.getByRole("button", { name: "Call", exact: true }).click();
    await page.getByText("This is not JSON").waitFor();
    await json.fill('{"name": "y", "tags": ["z"], "rows": 2}');
    const { request } = await call(page, PLANT);
    assert.deepEqual(request.postDataJSON(), { name: "y", tags: ["z"], rows: 2 });
    await page.getByRole("button", { name: "Edit in fields" }).click();
    assert.deepEqual(
      [await field(page, "name").inputValue(), await field(page, "tags[0]").inputValue()],
      ["y", "z"],
    );
  });

  await runner.check("a token for another method, and none", async () => {
    const { page } = await open(world, PLANT, LOOK);
    await page.getByText(`This token is for ${LOOK}, and good for nothing else.`).waitFor();
    await field(page, "name").fill("kept");
    for (const spoil of [() => {}, () => page.getByLabel("Service token").fill("")]) {
      await spoil();
      const { status, shown } = await call(page, PLANT);
      assert.deepEqual([status, shown.error], ["401", "AuthenticationRequired"]);
      await page.locator(".answer .error", { hasText: shown.message }).waitFor();
    }
    assert.equal(await field(page, "name").inputValue(), "kept");
  });

  await gateway.stop();
}
