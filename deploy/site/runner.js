// Runs checks one after the other and tells which of them failed, with what it saw.

import { join } from "node:path";

/** How long a check may take. */
const LIMIT_MS = 60_000;

export class Runner {
  passed = 0;
  failed = 0;
  #watched;
  #folder;

  /**
   * @param {import("./browser.js").Browser} watched What is wrong on its pages fails the check that opened them.
   * @param {string} folder Pictures of what failed go there.
   */
  constructor(watched, folder) {
    this.#watched = watched;
    this.#folder = folder;
  }

  /** Runs checks that belong together. One that can't begin fails. */
  async part(name, work) {
    try {
      await work();
    } catch (error) {
      this.failed += 1;
      console.log(`FAILED  ${name}\n${error.stack}`);
      await this.#watched.closePages();
    }
  }

  async check(name, work) {
    const begun = Date.now();
    let timer;
    try {
      const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`not done after ${LIMIT_MS} ms`)), LIMIT_MS);
      });
      await Promise.race([work(), late]);
      this.#watched.assertClean();
      this.passed += 1;
      console.log(`ok      ${name} (${Date.now() - begun} ms)`);
    } catch (error) {
      this.failed += 1;
      console.log(`FAILED  ${name} (${Date.now() - begun} ms)\n${error.stack}`);
      const seen = this.#watched.takeFaults();
      if (seen.length > 0) console.log(`seen besides:\n${seen.join("\n")}`);
      const picture = join(this.#folder, `failed-${this.failed}`);
      for (const where of await this.#watched.photograph(picture)) console.log(`see ${where}`);
    } finally {
      clearTimeout(timer);
      await this.#watched.closePages();
    }
  }
}
