// Real accounts at a real PDS write records, and what athook makes of them arrives. See deploy/test-intake.
//
//   node main.js ATHOOK FOLDER AUTHORITY CERTIFICATE KEY

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { AtpAgent } from "@atproto/api";

import { Athook } from "./athook.js";
import { Jetstream } from "./jetstream.js";
import { startDns, startHandles, startPds, startPlc, startRelay } from "./network.js";
import { Receiver, verify } from "./receiver.js";

/** How soon what is written must arrive. */
const WITHIN_MS = 2_000;
const WH = "place.wisp.v2.wh";
const CHAT = "place.stream.chat.message";
const LIVESTREAM = "place.stream.livestream";
const POST = "app.bsky.feed.post";

const [program, folder, authority, certificate, key] = process.argv.slice(2);
let [passed, failed] = [0, 0];

async function check(name, work) {
  const begun = Date.now();
  try {
    await work();
    passed += 1;
    console.log(`ok      ${name} (${Date.now() - begun} ms)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
}

const [plcPort, pdsPort] = [2582, 2583];
const texts = {};
const plcUrl = await startPlc(plcPort);
mkdirSync(join(folder, "pds"));
const { pds, url: pdsUrl } = await startPds(pdsPort, plcUrl, join(folder, "pds"));
const dns = await startDns(texts);
await startHandles(pdsPort, certificate, key);
const relay = await startRelay(pdsUrl);
const jetstream = new Jetstream(pdsUrl, pds.ctx.idResolver);
const stream = await jetstream.start(0);
const receiver = new Receiver();
await receiver.start();

const athook = new Athook(program, folder, [
  ...["--intake", "on", "--relay", relay, "--plc-url", plcUrl, "--dns-servers", dns, "--extra-ca", authority],
]);
const v1 = ["--jetstream", `${stream}/subscribe`];
const v2 = ["--jetstream", `${stream}/xrpc/network.bsky.jetstream.subscribeEvents`];

async function account(name) {
  const agent = new AtpAgent({ service: pdsUrl });
  await agent.createAccount({ handle: `${name}.test`, email: `${name}@mail.test`, password: "password" });
  return agent;
}

const now = () => new Date().toISOString();
const create = (agent, collection, record, rkey) =>
  agent.com.atproto.repo
    .createRecord({ repo: agent.did, collection, rkey, record: { $type: collection, ...record } })
    .then(({ data }) => data);
const put = (agent, collection, rkey, record) =>
  agent.com.atproto.repo
    .putRecord({ repo: agent.did, collection, rkey, record: { $type: collection, ...record } })
    .then(({ data }) => data);
const remove = (agent, collection, rkey) =>
  agent.com.atproto.repo.deleteRecord({ repo: agent.did, collection, rkey });
const rkeyOf = (uri) => uri.split("/").pop();
const say = (agent, text) => create(agent, CHAT, { text, streamer: alice.did, createdAt: now() });
const post = (agent, text, more) => create(agent, POST, { text, createdAt: now(), ...more });
const webhook = (path, scope, more) => ({
  scope: { $type: `${WH}#atUri`, aturi: scope },
  url: `${receiver.url}${path}`,
  createdAt: now(),
  ...more,
});
const isChat = (text) => ({ type, data }) => type === "chat" && data.text === text;

/** Writes, and returns the one request about it, which came in time. */
async function arrivesAt(path, write, fits, token) {
  const begun = Date.now();
  const written = await write();
  const request = await receiver.next(path, (json) => fits(json, written));
  const took = request.at - begun;
  assert.ok(took <= WITHIN_MS, `it arrived after ${took} ms`);
  verify(request, token);
  return { written, ...request };
}

/** That athook has read all that was written so far: what was written last has arrived. */
async function readAll() {
  const text = `read ${Math.random()}`;
  await say(bob, text);
  await receiver.next("/alice", isChat(text));
}

const [alice, bob, carol, dave, mallory] = [
  await account("alice"),
  await account("bob"),
  await account("carol"),
  await account("dave"),
  await account("mallory"),
];
// Bob's handle is confirmed by HTTPS, Mallory's by nobody: DNS says that it is another's.
texts["_atproto.mallory.test"] = [`did=${alice.did}`];
texts["_atproto.alice.test"] = ["v=spf1", `did=${alice.did}`];
const image = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=", "base64");
const upload = async (agent) => (await agent.com.atproto.repo.uploadBlob(image, { encoding: "image/png" })).data.blob;
await create(bob, "app.bsky.actor.profile", { avatar: await upload(bob) }, "self");
// Before athook was ever started.
await create(alice, "app.bsky.graph.block", { subject: mallory.did, createdAt: now() });

const { uri: early } = await create(carol, WH, webhook("/early", `at://${bob.did}/${POST}`, { secretId: "carol" }));
const toAlice = { scope: { $type: `${WH}#atUri`, aturi: `at://${alice.did}/${LIVESTREAM}`, backlinks: true } };
const { uri: daves } = await create(dave, WH, webhook("/dave", "", toAlice));

await athook.start(v2);
const { token } = await athook.call(alice, "place.wisp.v2.secret.create", { name: "alice" });
const { token: carols } = await athook.call(carol, "place.wisp.v2.secret.create", { name: "carol" });
await athook.call(alice, "place.stream.server.createWebhook", {
  url: `${receiver.url}/alice`,
  events: ["chat", "livestream", "follow", "mention"],
  active: true,
  secretId: "alice",
});

await check("a new webhook is told of what is written two seconds after its answer, at the latest", async () => {
  const answered = Date.now();
  for (let text = 0; receiver.all("/alice").length === 0; text += 1) {
    assert.ok(Date.now() - answered < 2 * WITHIN_MS, "nothing arrives");
    await say(bob, `${text}`);
    await new Promise((done) => setTimeout(done, 100));
  }
});

await check("a chat message, with handle and avatar", async () => {
  const { json, written } = await arrivesAt("/alice", () => say(bob, "hello"), isChat("hello"), token);
  const { author, ...data } = json.data;
  assert.deepEqual(data, { streamerDid: alice.did, text: "hello", uri: written.uri });
  assert.deepEqual([author.did, author.handle], [bob.did, "bob.test"]);
  assert.deepEqual(Buffer.from(await (await fetch(author.avatarUrl)).arrayBuffer()), image);
});

await check("a livestream, once, with its picture", async () => {
  const record = {
    title: "drawing",
    url: "https://stream.place/alice.test",
    createdAt: now(),
    thumb: await upload(alice),
  };
  const isLive = ({ type }) => type === "livestream";
  const { json, written } = await arrivesAt("/alice", () => create(alice, LIVESTREAM, record), isLive, token);
  assert.deepEqual([json.data.title, json.data.handle], ["drawing", "alice.test"]);
  assert.deepEqual(Buffer.from(await (await fetch(json.data.thumbnailUrl)).arrayBuffer()), image);
  await put(alice, LIVESTREAM, rkeyOf(written.uri), { ...record, lastSeenAt: now() });
  await readAll();
  assert.equal(receiver.all("/alice", isLive).length, 1);
});

await check("a follow, once in a day", async () => {
  const follow = () => create(bob, "app.bsky.graph.follow", { subject: alice.did, createdAt: now() });
  const isFollow = ({ type }) => type === "follow";
  const { json, written } = await arrivesAt("/alice", follow, isFollow, token);
  assert.equal(json.data.follower.handle, "bob.test");
  await remove(bob, "app.bsky.graph.follow", rkeyOf(written.uri));
  await follow();
  await readAll();
  assert.equal(receiver.all("/alice", isFollow).length, 1);
});

await check("a mention, by its facet alone", async () => {
  const facet = {
    index: { byteStart: 0, byteEnd: 11 },
    features: [{ $type: "app.bsky.richtext.facet#mention", did: alice.did }],
  };
  await post(bob, "@alice.test without a facet");
  const isMention = ({ type }) => type === "mention";
  const { json, written } = await arrivesAt("/alice", () => post(bob, "@alice.test hi", { facets: [facet] }), isMention, token);
  assert.deepEqual([json.data.text, json.data.uri], ["@alice.test hi", written.uri]);
  await readAll();
  assert.equal(receiver.all("/alice", isMention).length, 1);
});

await check("somebody who was blocked before athook was started", async () => {
  await say(mallory, "blocked");
  await readAll();
  assert.equal(receiver.all("/alice", isChat("blocked")).length, 0);
  const { data } = await alice.com.atproto.repo.listRecords({ repo: alice.did, collection: "app.bsky.graph.block" });
  await remove(alice, "app.bsky.graph.block", rkeyOf(data.records[0].uri));
  const { json } = await arrivesAt("/alice", () => say(mallory, "again"), isChat("again"), token);
  assert.deepEqual(json.data.author, { did: mallory.did }, "nobody confirms the handle");
});

/** Waits until the record of a webhook has this state. */
async function becomes(agent, uri, state) {
  for (let tries = 0; tries < 200; tries += 1) {
    const { records } = await athook.call(agent, "internal.athook.record.list");
    const found = records.find((one) => one.uri === uri);
    if (found?.state === state) return found;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`${uri} does not become ${state}`);
}

await check("a record in a scope: made, changed, deleted", async () => {
  const { uri } = await create(carol, WH, webhook("/carol", `at://${bob.did}/${POST}`, { secretId: "carol" }));
  await becomes(carol, uri, "active");
  const of = (event) => (json) => json.event === event;
  const made = await arrivesAt("/carol", () => post(bob, "first"), of("create"), carols);
  const { uri: at, cid } = made.written;
  const { id, timestamp, ...rest } = made.json;
  const { record, ...fields } = rest;
  assert.deepEqual(fields, { event: "create", did: bob.did, collection: POST, rkey: rkeyOf(at), cid });
  assert.deepEqual([record.text, record.$type], ["first", POST]);
  assert.ok(id.length > 0 && Math.abs(Date.parse(timestamp) - Date.now()) < 60_000);
  assert.equal(made.body.toString(), JSON.stringify(sorted(made.json)), "canonical JSON");
  const change = () => put(bob, POST, rkeyOf(at), { text: "second", createdAt: now() });
  const changed = await arrivesAt("/carol", change, of("update"), carols);
  assert.equal(changed.json.record.text, "second");
  const deleted = await arrivesAt("/carol", () => remove(bob, POST, rkeyOf(at)), of("delete"), carols);
  assert.deepEqual([deleted.json.rkey, deleted.json.record], [rkeyOf(at), undefined]);
});

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}

await check("a record that breaks a rule is shown with the reason", async () => {
  const { uri } = await create(carol, WH, webhook("/never", "at://bob.test"));
  const { reason } = await becomes(carol, uri, "invalid");
  assert.ok(reason.length > 0);
});

await check("another handle", async () => {
  await bob.com.atproto.identity.updateHandle({ handle: "robert.test" });
  for (let tries = 0; ; tries += 1) {
    const text = `who ${tries}`;
    await say(bob, text);
    const { json } = await receiver.next("/alice", isChat(text));
    if (json.data.author.handle === "robert.test") break;
    assert.ok(tries < 20, json.data.author.handle);
  }
});

await check("what was written while athook was down", async () => {
  const { uri } = await create(carol, WH, webhook("/before", `at://${bob.did}/${CHAT}`, { secretId: "carol" }));
  await becomes(carol, uri, "active");
  await athook.stop();
  const { uri: late } = await create(carol, WH, webhook("/late", `at://${bob.did}/${POST}`, { secretId: "carol" }));
  await say(bob, "while it was down");
  // The other wire, whose cursors are times. Now everybody's records count, and the whole network is read.
  await athook.start([...v1, "--record-owners", "all", "--intake-network", "on"]);
  verify(await receiver.next("/alice", isChat("while it was down")), token);
  verify(await receiver.next("/before", ({ record }) => record?.text === "while it was down"), carols);
  await becomes(carol, late, "active");
  await arrivesAt("/late", () => post(bob, "found"), ({ record }) => record?.text === "found", carols);
});

await check("records from before athook was ever started, of an owner whom it knows and of one whom it does not", async () => {
  await becomes(carol, early, "active");
  await becomes(dave, daves, "active");
  const { uri, cid } = (
    await alice.com.atproto.repo.listRecords({ repo: alice.did, collection: LIVESTREAM })
  ).data.records[0];
  const embed = { $type: "app.bsky.embed.record", record: { uri, cid } };
  const isIt = ({ record }) => record?.text === "watch this";
  await arrivesAt("/early", () => post(bob, "watch this", { embed }), isIt, carols);
  const { headers } = await receiver.next("/dave", isIt);
  assert.equal(headers["webhook-signature"], undefined, "it names no secret");
});

await check("an account that is switched off, and on again", async () => {
  await carol.com.atproto.server.deactivateAccount({});
  await readAll();
  await post(bob, "nobody is there");
  await readAll();
  assert.equal(receiver.all("/late", ({ record }) => record?.text === "nobody is there").length, 0);
  await carol.com.atproto.server.activateAccount();
  await readAll();
  await arrivesAt("/late", () => post(bob, "back"), ({ record }) => record?.text === "back", carols);
});

await check("a connection that is cut", async () => {
  jetstream.cut();
  await say(bob, "after the cut");
  await receiver.next("/alice", isChat("after the cut"));
});

await check("nothing came twice", async () => {
  await readAll();
  for (const header of ["id", "key"]) {
    const all = receiver.arrived.map((one) => `${one.path} ${one[header]}`);
    assert.deepEqual(all.filter((one, at) => all.indexOf(one) !== at), []);
  }
});

await athook.stop();
console.log(`\n${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
