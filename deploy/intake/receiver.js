// A receiver of webhooks, which keeps what arrives and verifies signatures as receivers do.

import { createHmac } from "node:crypto";
import { createServer } from "node:http";

export class Receiver {
  /** What has arrived: {path, at, id, key, headers, body, json}. */
  arrived = [];
  #waiting = [];

  async start() {
    const server = createServer((request, response) => {
      const at = Date.now();
      const chunks = [];
      request.on("data", (chunk) => chunks.push(chunk));
      request.on("end", () => {
        response.writeHead(204).end();
        const body = Buffer.concat(chunks);
        const { headers } = request;
        const [id, key] = [headers["webhook-id"], headers["idempotency-key"]];
        this.arrived.push({ path: request.url, at, id, key, headers, body, json: JSON.parse(body) });
        for (const look of this.#waiting.splice(0)) look();
      });
    });
    await new Promise((done) => server.listen(0, "127.0.0.1", done));
    this.url = `http://127.0.0.1:${server.address().port}`;
  }

  /** The first request at `path` that fits, once it is there. */
  async next(path, fits, limitMs = 20_000) {
    const end = Date.now() + limitMs;
    for (;;) {
      const found = this.arrived.find((one) => one.path === path && fits(one.json));
      if (found) return found;
      const left = end - Date.now();
      if (left <= 0) throw new Error(`nothing that fits arrived at ${path} within ${limitMs} ms`);
      await new Promise((done) => {
        const timer = setTimeout(done, left);
        this.#waiting.push(() => (clearTimeout(timer), done()));
      });
    }
  }

  all(path, fits = () => true) {
    return this.arrived.filter((one) => one.path === path && fits(one.json));
  }
}

/** Throws unless both signatures are those of `token`, a `whsec_` one. */
export function verify({ headers, body }, token) {
  const signed = Buffer.concat([Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`), body]);
  const key = Buffer.from(token.replace("whsec_", ""), "base64");
  const standard = `v1,${createHmac("sha256", key).update(signed).digest("base64")}`;
  const simple = `sha256=${createHmac("sha256", token).update(body).digest("hex")}`;
  if (headers["webhook-signature"] !== standard) throw new Error(`webhook-signature: ${headers["webhook-signature"]}`);
  if (headers["x-webhook-signature"] !== simple) throw new Error(`x-webhook-signature: ${headers["x-webhook-signature"]}`);
  if (Math.abs(Date.now() / 1000 - headers["webhook-timestamp"]) > 60) throw new Error("webhook-timestamp");
}
