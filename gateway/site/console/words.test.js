import assert from "node:assert/strict";
import { test } from "node:test";

import {
  hashOf,
  outcomeText,
  partsOfUri,
  progressText,
  reasonText,
  routeOf,
  stateOf,
  titleOf,
} from "./words.js";

const URI = "at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/place.wisp.v2.wh/3jzfcijpj2z2a";
const delivery = { id: "1", eventId: "2", type: "chat", state: "pending", createdAt: "", attempts: 0 };

test("a route goes into the address and comes back", () => {
  /** @type {import("./words.js").Route[]} */
  const routes = [
    { view: "webhooks", id: "" },
    { view: "new", id: "" },
    { view: "webhook", id: "01a22953-3877-7606-abf6-4cc0e7335947" },
    { view: "secrets", id: "" },
    { view: "records", id: "" },
    { view: "deliveries", id: URI },
    { view: "delivery", id: "01a22953-3877-7606-abf6-4cc0e7335947" },
  ];
  for (const route of routes) {
    assert.deepEqual(routeOf(hashOf(route.view, route.id)), route);
  }
});

test("what is no route is the list of webhooks", () => {
  for (const hash of ["", "#", "#nothing", "#deliveries", "#delivery/", "#deliveries/%", "#secrets2"]) {
    assert.equal(routeOf(hash).view, "webhooks", hash);
  }
});

test("the parts of an at-uri", () => {
  assert.deepEqual(partsOfUri(URI), {
    did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
    collection: "place.wisp.v2.wh",
    rkey: "3jzfcijpj2z2a",
  });
  for (const uri of [
    "at://alice.example/a.b.c/x",
    "at://did:web:a.example/a.b.c",
    "https://a.example/b/c",
    "",
  ]) {
    assert.equal(partsOfUri(uri), undefined, uri);
  }
});

test("what webhooks are called", () => {
  assert.equal(titleOf({ name: "mine", url: "https://a.example/x" }), "mine");
  assert.equal(titleOf({ url: "https://a.example:8443/x" }), "a.example:8443");
  assert.equal(titleOf({ url: "no url" }), "no url");
});

test("what becomes of a delivery", () => {
  /** @type {[Partial<import("./methods.js").Delivery>, string][]} */
  const cases = [
    [{}, "An attempt is under way …"],
    [{ nextAttemptAt: "x" }, "It is due …"],
    [{ state: "delivered", attempts: 1, lastOutcome: "ok" }, "Delivered at the first attempt."],
    [{ state: "delivered", attempts: 3, lastOutcome: "ok" }, "Delivered after 3 attempts."],
    [
      { attempts: 1, lastOutcome: "http", lastStatus: 500, nextAttemptAt: "x" },
      "The last attempt: refused by the receiver (500). It is tried again.",
    ],
    [
      { attempts: 1, lastOutcome: "timeout" },
      "An attempt is under way … The last one: the receiver took too long.",
    ],
    [{ lastOutcome: "secret", nextAttemptAt: "x" }, "It waits: the webhook's secret is missing."],
    [
      { state: "failed", lastOutcome: "cancelled" },
      "Failed: cancelled: the webhook is off or gone, or mutes it.",
    ],
    [{ state: "failed" }, "Failed."],
  ];
  for (const [change, text] of cases) {
    assert.equal(progressText({ ...delivery, ...change }), text);
  }
});

test("words that this page does not know are shown as they are", () => {
  assert.equal(outcomeText("new"), "new");
  assert.equal(reasonText("new"), "new");
  assert.deepEqual(stateOf("new"), { text: "new", tone: "off" });
});
