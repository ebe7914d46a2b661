import assert from "node:assert/strict";
import { test } from "node:test";

import { TokenCache, claimsOf } from "./token-cache.js";

/** @param {object} claims */
function jwt(claims) {
  const part = (/** @type {object} */ value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "ES256K" })}.${part(claims)}.signature`;
}

/** @param {object} [claims] */
function cacheOf(claims = { iat: 1_000, exp: 1_060 }) {
  const clock = { now: 5_000_000 };
  let minted = 0;
  const cache = new TokenCache(
    async (nsid) => {
      minted += 1;
      return jwt({ ...claims, lxm: nsid, minted });
    },
    () => clock.now,
  );
  return { cache, clock, minted: () => minted };
}

test("claims of tokens", () => {
  assert.deepEqual(claimsOf(jwt({ lxm: "a.b.c", iss: "did:web:é.example" })), {
    lxm: "a.b.c",
    iss: "did:web:é.example",
  });
  for (const text of ["", "nonsense", "a.b.c", `x.${Buffer.from("1").toString("base64url")}.y`]) {
    assert.equal(claimsOf(text), undefined, text);
  }
});

test("a token is kept until shortly before its end, by the reader's clock", async () => {
  const { cache, clock, minted } = cacheOf();
  await cache.get("a.b.c");
  clock.now += 49_999;
  await cache.get("a.b.c");
  assert.equal(minted(), 1);
  clock.now += 1;
  await cache.get("a.b.c");
  assert.equal(minted(), 2);
});

test("each method has its own", async () => {
  const { cache, minted } = cacheOf();
  const [one, other] = [await cache.get("a.b.c"), await cache.get("a.b.d")];
  assert.equal(claimsOf(one)?.lxm, "a.b.c");
  assert.equal(claimsOf(other)?.lxm, "a.b.d");
  assert.equal(minted(), 2);
});

test("a fresh one is made anew", async () => {
  const { cache, minted } = cacheOf();
  await cache.get("a.b.c");
  await cache.get("a.b.c", { fresh: true });
  assert.equal(minted(), 2);
});

test("calls at the same time share one", async () => {
  const { cache, minted } = cacheOf();
  const [one, other] = await Promise.all([cache.get("a.b.c"), cache.get("a.b.c")]);
  assert.equal(one, other);
  assert.equal(minted(), 1);
});

test("a token without an end is not kept", async () => {
  const { cache, minted } = cacheOf({});
  await cache.get("a.b.c");
  await cache.get("a.b.c");
  assert.equal(minted(), 2);
});

test("a failure is not kept", async () => {
  let tries = 0;
  const cache = new TokenCache(async () => {
    tries += 1;
    if (tries === 1) {
      throw new Error("unreachable");
    }
    return jwt({ iat: 0, exp: 60 });
  });
  await assert.rejects(cache.get("a.b.c"), /unreachable/);
  await cache.get("a.b.c");
  assert.equal(tries, 2);
});
