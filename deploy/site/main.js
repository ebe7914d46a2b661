// The gateway's pages in chromium. See deploy/test-site.
//
//   node main.js ATHOOK CHROMIUM FOLDER SEEN [PICTURE]
//
// SEEN gets pictures and logs to be looked at, PICTURE that of the console for the README.

import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { AtpAgent } from "@atproto/api";

import { Jetstream } from "../intake/jetstream.js";
import { startDns, startHandles, startPds, startPlc, startRelay } from "../intake/network.js";
import { Receiver } from "../intake/receiver.js";
import { Browser } from "./browser.js";
import { checkDevelopment } from "./development.js";
import { checkForeign } from "./foreign-checks.js";
import { checkOauth } from "./oauth.js";
import { checkSwitchedOff } from "./off.js";
import { Runner } from "./runner.js";

const [program, chromium, folder, seen, readme] = process.argv.slice(2);
const [plcPort, pdsPort] = [2582, 2583];

const texts = {};
const plcUrl = await startPlc(plcPort);
mkdirSync(join(folder, "pds"));
const { pds, url: pdsUrl } = await startPds(pdsPort, plcUrl, join(folder, "pds"));
const dns = await startDns(texts);
await startHandles(pdsPort, join(folder, "cert.pem"), join(folder, "key.pem"));

async function account(name) {
  const agent = new AtpAgent({ service: pdsUrl });
  await agent.createAccount({ handle: `${name}.test`, email: `${name}@mail.test`, password: "password" });
  return agent;
}
const [alice, bob] = [await account("alice"), await account("bob")];
// The other's handle is confirmed by HTTPS.
texts["_atproto.alice.test"] = [`did=${alice.did}`];

const relay = await startRelay(pdsUrl);
const stream = await new Jetstream(pdsUrl, pds.ctx.idResolver).start(0);
const intake = ["--intake", "on", "--relay", relay, "--jetstream", `${stream}/subscribe`];

const receiver = new Receiver();
await receiver.start();

const browser = new Browser();
await browser.start(chromium);
const runner = new Runner(browser, seen);
const flags = [
  ...["--plc-url", plcUrl, "--dns-servers", dns, "--extra-ca", join(folder, "ca.pem")],
  ...["--allow-private-ranges", "127.0.0.0/8"],
];
const world = {
  ...{ program, folder, seen, readme, flags, intake },
  ...{ pds, pdsUrl, plcUrl, alice, bob, browser, runner, receiver },
};

for (const part of [checkSwitchedOff, checkForeign, checkDevelopment, checkOauth]) {
  await runner.part(part.name, () => part(world));
}

await browser.stop();
console.log(`\n${runner.passed} passed, ${runner.failed} failed; pictures are in ${seen}`);
process.exit(runner.failed === 0 ? 0 : 1);
