// A program that runs beside the tests, what it prints, and its end.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";

/** How soon a program must be ready, and how soon it must end. */
const WITHIN_MS = 20_000;

export class Program {
  /** What it has printed so far. */
  output = "";
  #child;
  #waiting = [];

  /**
   * @param {string} program
   * @param {string[]} args
   * @param {{cwd: string, log: string}} options `log`: the file that gets what it prints.
   */
  constructor(program, args, { cwd, log }) {
    const file = createWriteStream(log, { flags: "a" });
    this.args = args;
    this.#child = spawn(program, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (text) => {
        file.write(text);
        this.output += text;
        this.#look();
      });
    }
    this.#child.on("exit", () => this.#look());
    this.#child.on("error", (error) => {
      this.output += error.message;
      this.#look();
    });
  }

  #look() {
    for (const look of this.#waiting.splice(0)) look();
  }

  /** The first match of `pattern` in what it prints, after `from` characters, once it is there. */
  async prints(pattern, from = 0) {
    const end = Date.now() + WITHIN_MS;
    for (;;) {
      const found = this.output.slice(from).match(pattern);
      if (found) return found;
      const left = end - Date.now();
      if (left <= 0 || this.#child.exitCode !== null) {
        const printed = this.output.slice(from).slice(-2_000);
        throw new Error(`${this.args[0]} printed nothing like ${pattern}, but:\n${printed}`);
      }
      await new Promise((done) => {
        const timer = setTimeout(done, left);
        this.#waiting.push(() => (clearTimeout(timer), done()));
      });
    }
  }

  /** Returns once `url` is answered with 200. */
  async serves(url) {
    const end = Date.now() + WITHIN_MS;
    for (;;) {
      const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) }).catch(() => null);
      if (answer?.ok) return;
      if (Date.now() > end || this.#child.exitCode !== null) {
        throw new Error(`${this.args[0]} does not serve ${url}:\n${this.output.slice(-2_000)}`);
      }
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), WITHIN_MS);
    this.#child.kill("SIGTERM");
    await ended;
    clearTimeout(timer);
  }
}
