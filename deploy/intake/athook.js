// athook, both services in one process, and calls of its methods with tokens that the real PDS signs.

import { spawn } from "node:child_process";
import { once } from "node:events";

const GATEWAY = "127.0.0.1:8080";
export const SERVICE = "did:web:hooks.test";

export class Athook {
  constructor(program, folder, settings) {
    Object.assign(this, { program, folder, settings });
  }

  /** Starts it with these settings besides, and returns when it is ready. */
  async start(more = []) {
    const flags = ["--gateway-listen", GATEWAY, "--core-listen", "127.0.0.1:50051", "--service-did", SERVICE];
    flags.push("--database-url", `sqlite://${this.folder}/athook.db?mode=rwc`, "--rate-limit", "0");
    flags.push("--allow-http", "true", "--allow-private-ranges", "127.0.0.0/8", "--log", "info");
    this.child = spawn(this.program, [...flags, ...this.settings, ...more], { stdio: ["ignore", "inherit", "inherit"] });
    for (let tries = 0; tries < 200; tries += 1) {
      if (this.child.exitCode !== null) throw new Error(`athook ended with ${this.child.exitCode}`);
      const ready = await fetch(`http://${GATEWAY}/readyz`).catch(() => null);
      if (ready?.ok) return;
      await new Promise((done) => setTimeout(done, 50));
    }
    throw new Error("athook is not ready");
  }

  async stop() {
    const ended = once(this.child, "exit");
    this.child.kill("SIGTERM");
    const [code] = await ended;
    if (code !== 0) throw new Error(`athook ended with ${code}`);
  }

  /** Calls a method as the account of `agent`. */
  async call(agent, nsid, input) {
    const { data } = await agent.com.atproto.server.getServiceAuth({ aud: SERVICE, lxm: nsid });
    const headers = { authorization: `Bearer ${data.token}`, "content-type": "application/json" };
    const request = input === undefined ? { headers } : { method: "POST", headers, body: JSON.stringify(input) };
    const answer = await fetch(`http://${GATEWAY}/xrpc/${nsid}`, request);
    const json = await answer.json();
    if (!answer.ok) throw new Error(`${nsid}: ${answer.status} ${JSON.stringify(json)}`);
    return json;
  }
}
