// A PLC directory and a PDS, as they are published on npm, and what lets athook reach them by name: DNS, and
// TLS on the port of https.

import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { createServer as createHttpServer, request } from "node:http";
import { createRequire } from "node:module";
import { randomBytes } from "node:crypto";
import { join } from "node:path";

// They are CommonJS.
const require = createRequire(import.meta.url);
const { PDS, envToCfg, envToSecrets } = require("@atproto/pds");
const plc = require("@did-plc/server");

/** Handles end so. */
export const HANDLES = ".test";

export async function startPlc(port) {
  const server = plc.PlcServer.create({ db: plc.Database.mock(), port });
  await server.start();
  return `http://localhost:${port}`;
}

export async function startPds(port, plcUrl, folder) {
  const hex = () => randomBytes(32).toString("hex");
  const env = {
    port,
    hostname: "localhost",
    devMode: true,
    dataDirectory: folder,
    blobstoreDiskLocation: join(folder, "blobs"),
    didPlcUrl: plcUrl,
    serviceHandleDomains: [HANDLES],
    inviteRequired: false,
    disableSsrfProtection: true,
    rateLimitsEnabled: false,
    bskyAppViewUrl: "http://localhost:1",
    bskyAppViewDid: "did:web:localhost",
    jwtSecret: hex(),
    dpopSecret: hex(),
    adminPassword: "admin",
    plcRotationKeyK256PrivateKeyHex: hex(),
  };
  const pds = await PDS.create(envToCfg(env), envToSecrets(env));
  await pds.start();
  return { pds, url: `http://localhost:${port}` };
}

/** Answers for every handle with 127.0.0.1, and TXT from `texts`: lists by name. */
export async function startDns(texts) {
  const socket = createSocket("udp4");
  socket.on("message", (query, peer) => socket.send(answer(query, texts), peer.port, peer.address));
  await new Promise((done) => socket.bind(0, "127.0.0.1", done));
  return `127.0.0.1:${socket.address().port}`;
}

function answer(query, texts) {
  const labels = [];
  let at = 12;
  while (query[at] > 0) {
    labels.push(query.toString("latin1", at + 1, at + 1 + query[at]));
    at += 1 + query[at];
  }
  const kind = query.readUInt16BE(at + 1);
  const question = query.subarray(12, at + 5);
  const name = labels.join(".").toLowerCase();
  const records = [];
  if (kind === 16) {
    for (const text of texts[name] ?? []) records.push(Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]));
  } else if (kind === 1 && name.endsWith(HANDLES) && !name.startsWith("_")) {
    records.push(Buffer.from([127, 0, 0, 1]));
  }
  const header = Buffer.alloc(12);
  query.copy(header, 0, 0, 2);
  header.writeUInt16BE(0x8180, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(records.length, 6);
  const answers = records.map((data) => {
    const record = Buffer.alloc(12);
    record.writeUInt16BE(0xc00c, 0);
    record.writeUInt16BE(kind, 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt16BE(data.length, 10);
    return Buffer.concat([record, data]);
  });
  return Buffer.concat([header, question, ...answers]);
}

/** The hosts of handles: passes requests on to the PDS, which knows them by their Host. */
export async function startHandles(pdsPort, certificate, key) {
  const options = { cert: readFileSync(certificate), key: readFileSync(key) };
  const server = createServer(options, (incoming, outgoing) => {
    const { url, headers } = incoming;
    const onwards = request({ host: "127.0.0.1", port: pdsPort, path: url, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode, answer.headers);
      answer.pipe(outgoing);
    });
    onwards.on("error", () => outgoing.destroy());
    onwards.end();
  });
  await new Promise((done) => server.listen(443, "127.0.0.1", done));
}

/** A relay of one PDS: which of its repositories have records of a collection. */
export async function startRelay(pdsUrl) {
  const ask = async (nsid, parameters) => {
    const answer = await fetch(`${pdsUrl}/xrpc/${nsid}?${new URLSearchParams(parameters)}`);
    return answer.ok ? answer.json() : null;
  };
  const server = createHttpServer(async (incoming, outgoing) => {
    const url = new URL(incoming.url, "http://relay");
    if (url.pathname !== "/xrpc/com.atproto.sync.listReposByCollection") return outgoing.writeHead(404).end();
    const repos = [];
    for (const { did } of (await ask("com.atproto.sync.listRepos", { limit: 1000 })).repos) {
      const described = await ask("com.atproto.repo.describeRepo", { repo: did });
      if (described?.collections.includes(url.searchParams.get("collection"))) repos.push({ did });
    }
    outgoing.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ repos }));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return `http://127.0.0.1:${server.address().port}`;
}
