// What holds for every page: the policy, no error, nobody else is called, axe finds nothing serious, and it
// fits into a narrow window.

import assert from "node:assert/strict";

import { NARROW, WIDE, assertSteady, assertUsable, picture } from "./browser.js";

/**
 * Looks at a page that is open, narrow and wide, light and dark.
 *
 * @param {import("playwright-core").Page} page
 * @param {string} seen
 * @param {string} name Of the pictures.
 */
export async function assertGood(page, seen, name) {
  for (const width of [NARROW, WIDE]) {
    await page.setViewportSize({ width, height: 800 });
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await assertUsable(page);
      // Each width and each scheme once, to be looked at.
      if ((width === NARROW) === (colorScheme === "dark")) await picture(page, seen, `${name}-${width}`);
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
}

/** That the watch over pages sees what it is for. */
export async function checkWatch({ browser, runner }, origin) {
  await runner.check("what a page must not do is noticed", async () => {
    const page = await browser.page(origin);
    await page.goto(origin);
    await page.evaluate(() => {
      const script = document.createElement("script");
      try {
        script.textContent = "document.title = 'owned'";
      } catch {
        // Trusted Types keep text from it.
      }
      document.body.append(script);
    });
    await page.evaluate(() => void fetch("https://elsewhere.invalid/").catch(() => {}));
    await page.waitForTimeout(300);
    const faults = browser.takeFaults().join("\n");
    for (const words of ["the policy is violated", "https://elsewhere.invalid/ is elsewhere"]) {
      assert.ok(faults.includes(words), `${words} is not in ${faults}`);
    }
    assert.notEqual(await page.title(), "owned");
  });
}

/** Checks `/` and the page of each method of a service. */
export async function checkPages({ browser, runner, seen }, name, origin) {
  const { methods } = await (await fetch(`${origin}/site/config.json`)).json();
  const pages = [["index", "/"], ...methods.map(({ nsid }) => [nsid, `/docs/${nsid}`])];
  for (const [title, path] of pages) {
    await runner.check(`${name}: the page ${path}`, async () => {
      const page = await browser.page(origin);
      await page.goto(origin + path);
      if (path !== "/") await page.locator("#try-it form").waitFor();
      await page.locator("#account > *").first().waitFor();
      await assertSteady(page);
      await assertGood(page, seen, `${name}-${title}`);
    });
  }
  return methods;
}
