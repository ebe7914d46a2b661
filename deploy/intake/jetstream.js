// Makes a Jetstream of a firehose, with both wires. The firehose is read by @atproto/sync, which verifies
// signatures. All events are kept in memory, so that no cursor is ever too old. Frames are not compressed:
// athook falls back to that where a host has no dictionary.

import { createServer } from "node:http";

import { Firehose, MemoryRunner } from "@atproto/sync";
import { lexToJson } from "@atproto/lexicon";
import { WebSocketServer } from "ws";

const V1 = "/subscribe";
const V2 = "/xrpc/network.bsky.jetstream.subscribeEvents";
/** A cursor from here on is a time in microseconds, below it a sequence number. */
const TIMES = 1e15;

export class Jetstream {
  /** Every event so far: {seq, timeUs, kind, collection?, v1, v2}. */
  events = [];
  #subscribers = new Set();
  #seq = 0;
  #timeUs = 0;

  constructor(pdsUrl, idResolver) {
    this.firehose = new Firehose({
      service: pdsUrl.replace("http", "ws"),
      idResolver,
      handleEvent: (event) => this.#add(event),
      onError: (error) => console.error("firehose:", error.message, String(error.cause ?? "")),
      runner: new MemoryRunner({ startCursor: 0 }),
      unauthenticatedHandles: true,
    });
  }

  async start(port) {
    const http = createServer((request, response) => response.writeHead(404).end());
    const sockets = new WebSocketServer({ noServer: true });
    http.on("upgrade", (request, socket, head) => {
      const url = new URL(request.url, "http://localhost");
      if (url.pathname !== V1 && url.pathname !== V2) return socket.destroy();
      sockets.handleUpgrade(request, socket, head, (ws) => this.#subscribe(ws, url));
    });
    await new Promise((done) => http.listen(port, "127.0.0.1", done));
    this.firehose.start();
    return `ws://127.0.0.1:${http.address().port}`;
  }

  /** Cuts all connections. */
  cut() {
    for (const subscriber of this.#subscribers) subscriber.ws.terminate();
  }

  #subscribe(ws, url) {
    const isV2 = url.pathname === V2;
    const collections = url.searchParams.getAll(isV2 ? "collections" : "wantedCollections");
    const cursor = url.searchParams.get("cursor");
    const subscriber = { ws, isV2, collections };
    // v2: the event with that number, or of that time, and what follows.
    const from = Number(cursor);
    const key = isV2 && from < TIMES ? "seq" : "timeUs";
    if (cursor !== null) {
      for (const event of this.events) if (event[key] >= from) send(subscriber, event);
    }
    this.#subscribers.add(subscriber);
    ws.on("close", () => this.#subscribers.delete(subscriber));
    ws.on("error", () => {});
  }

  #add(event) {
    this.#seq += 1;
    this.#timeUs = Math.max(Date.now() * 1000, this.#timeUs + 1);
    const [seq, timeUs, did] = [this.#seq, this.#timeUs, event.did];
    const time = `${new Date(timeUs / 1000).toISOString().slice(0, -1)}${String(timeUs % 1000).padStart(3, "0")}Z`;
    const v2 = { seq, did, time };
    const v1 = { did, time_us: timeUs };
    let kind = event.event;
    const upstream = { seq: event.seq, did, time: event.time };
    switch (kind) {
      case "create":
      case "update":
      case "delete": {
        const { rev, collection, rkey } = event;
        const record = kind === "delete" ? {} : { record: lexToJson(event.record), cid: event.cid.toString() };
        Object.assign(v2, { rev, operation: kind, collection, rkey, ...record });
        v1.commit = { rev, operation: kind, collection, rkey, ...record };
        kind = "commit";
        break;
      }
      case "identity":
        v1.identity = v2.identity = { ...upstream, ...(event.handle && { handle: event.handle }) };
        break;
      case "account":
        v1.account = v2.account = { ...upstream, active: event.active, ...(event.status && { status: event.status }) };
        break;
      case "sync":
        v2.sync = { ...upstream, rev: event.rev };
        break;
    }
    const made = {
      seq,
      timeUs,
      kind,
      collection: event.collection,
      v1: kind === "sync" ? null : JSON.stringify({ ...v1, kind }),
      v2: JSON.stringify({
        $type: "message",
        payload: { $type: `network.bsky.jetstream.subscribeEvents#${kind}`, ...v2 },
      }),
    };
    this.events.push(made);
    for (const subscriber of this.#subscribers) send(subscriber, made);
  }
}

function send({ ws, isV2, collections }, event) {
  const wanted = (filter) =>
    filter.endsWith(".*") ? event.collection.startsWith(filter.slice(0, -1)) : event.collection === filter;
  if (event.kind === "commit" && collections.length > 0 && !collections.some(wanted)) return;
  const frame = isV2 ? event.v2 : event.v1;
  if (frame !== null) ws.send(frame);
}
