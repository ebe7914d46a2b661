// Chromium, and pages that are watched: nothing may break the policy, no script may fail, and nobody else may
// be called.

import axe from "axe-core";
import { chromium } from "playwright-core";

/** How long to wait for anything on a page. */
const WAIT_MS = 10_000;
const POLICY = "the policy is violated:";
/** Chromium says so of answers that are no success. Which of those are right, the checks know. */
const NO_SUCCESS = /^Failed to load resource: the server responded with a status of (400|401|403|404|429) /;

/** What counts as good (https://web.dev/articles/cls). */
const MAX_SHIFT = 0.1;

export const [NARROW, WIDE] = [360, 1280];
/** The zone of whoever reads. */
export const ZONE = "Asia/Tokyo";

export class Browser {
  #chromium;
  #contexts = [];
  #faults = [];

  async start(program) {
    // A sandbox needs a user other than root.
    const args = process.getuid() === 0 ? ["--no-sandbox"] : [];
    this.#chromium = await chromium.launch({ executablePath: program, args, timeout: 30_000 });
  }

  /**
   * A page with nobody's storage.
   *
   * @param {string} origin Of the site.
   * @param {{width?: number, scheme?: "light" | "dark", others?: string[], scripts?: boolean}} [options]
   *   `others`: origins that may be called besides.
   */
  async page(origin, { width = WIDE, scheme = "light", others = [], scripts = true } = {}) {
    const context = await this.#chromium.newContext({
      viewport: { width, height: 800 },
      javaScriptEnabled: scripts,
      colorScheme: scheme,
      timezoneId: ZONE,
      locale: "en-GB",
      permissions: ["clipboard-read", "clipboard-write"],
    });
    context.setDefaultTimeout(WAIT_MS);
    this.#contexts.push(context);
    await context.addInitScript((words) => {
      document.addEventListener("securitypolicyviolation", (event) => {
        const { violatedDirective, blockedURI, sourceFile, lineNumber } = event;
        console.error(words, violatedDirective, blockedURI, `${sourceFile}:${lineNumber}`);
      });
    }, POLICY);
    await context.addInitScript(() => {
      window.shifted = 0;
      new PerformanceObserver((list) => {
        for (const { value, hadRecentInput } of list.getEntries()) window.shifted += hadRecentInput ? 0 : value;
      }).observe({ type: "layout-shift", buffered: true });
    });
    this.#watch(context, origin, [origin, ...others]);
    return context.newPage();
  }

  #watch(context, origin, allowed) {
    const isOurs = (url) => url.startsWith(`${origin}/`);
    context.on("request", (request) => {
      const { protocol, origin: called } = new URL(request.url());
      const inside = protocol === "data:" || protocol === "blob:";
      if (!inside && !allowed.includes(called)) this.#faults.push(`${request.method()} ${request.url()} is elsewhere`);
    });
    context.on("response", (response) => {
      if (isOurs(response.url()) && response.status() >= 500) {
        this.#faults.push(`${response.status()} of ${response.url()}`);
      }
    });
    // Other people's pages have errors of their own.
    context.on("console", (message) => {
      const [page, text] = [message.page()?.url() ?? "", message.text()];
      const mayFail = NO_SUCCESS.test(text) && /\/(xrpc|site|oauth)\//.test(message.location().url);
      if (message.type() === "error" && isOurs(page) && !mayFail) {
        this.#faults.push(`on ${page}: ${text} (${message.location().url})`);
      }
    });
    context.on("weberror", (error) => {
      const page = error.page()?.url() ?? "";
      if (isOurs(page)) this.#faults.push(`on ${page}: ${error.error().stack}`);
    });
  }

  takeFaults() {
    return this.#faults.splice(0);
  }

  assertClean() {
    const faults = this.takeFaults();
    if (faults.length > 0) throw new Error(faults.join("\n"));
  }

  /** Photographs each page that is open. */
  async photograph(name) {
    const pages = this.#contexts.flatMap((context) => context.pages());
    const made = [];
    for (const [index, page] of pages.entries()) {
      const path = `${name}-${index}.png`;
      try {
        await page.screenshot({ path, fullPage: true, timeout: 5_000 });
        made.push(`${path}, of ${page.url()}`);
      } catch (error) {
        made.push(`no picture of ${page.url()}: ${error.message.split("\n")[0]}`);
      }
    }
    return made;
  }

  async closePages() {
    for (const context of this.#contexts.splice(0)) await context.close().catch(() => {});
  }

  async stop() {
    await this.#chromium.close();
  }
}

/**
 * Throws unless axe finds nothing serious, and the page is no wider than its window.
 *
 * @param {import("playwright-core").Page} page
 */
export async function assertUsable(page) {
  const label = `${page.url()} at ${page.viewportSize().width} px`;
  const wide = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    const right = (element) => Math.round(element.getBoundingClientRect().right);
    const inScroller = (element) => element.closest(".table-scroll, pre, textarea, dialog") !== null;
    const out = [...document.body.querySelectorAll("*")].filter((one) => right(one) > clientWidth && !inScroller(one));
    const culprits = out.slice(0, 4).map((one) => `${one.outerHTML.slice(0, 120)} to ${right(one)}`);
    return scrollWidth > clientWidth ? `${scrollWidth} px wide: ${culprits.join("\n")}` : "";
  });
  if (wide !== "") throw new Error(`${label} is ${wide}`);
  // What a transition passes through is nobody's colour.
  await page.evaluate(() => {
    const ends = (animation) => animation.effect?.getComputedTiming().endTime !== Infinity;
    return Promise.all(document.getAnimations().filter(ends).map(({ finished }) => finished.catch(() => {})));
  });
  await page.evaluate(`window.axe === undefined && (() => { const module = undefined; ${axe.source} })()`);
  const violations = await page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
    const places = (nodes) => nodes.slice(0, 3).map(({ html, failureSummary }) => `${html} ${failureSummary}`);
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, help, nodes }) => `${id} (${help}): ${places(nodes).join("; ")}`);
  });
  if (violations.length > 0) throw new Error(`axe, on ${label}:\n${violations.join("\n")}`);
}

/**
 * Throws if what is on the page has jumped since it was opened.
 *
 * @param {import("playwright-core").Page} page
 */
export async function assertSteady(page) {
  const shifted = await page.evaluate(() => window.shifted);
  if (shifted > MAX_SHIFT) throw new Error(`${page.url()} jumps while it loads: a layout shift of ${shifted}`);
}

/** Keeps a picture to be looked at. */
export async function picture(page, folder, name) {
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
}
