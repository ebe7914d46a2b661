// Who calls: service auth, verified by the reference library's own verifyJwt on every call.
//
// Owns the callers' keys, read once from a folder of DID documents, and how a signature is checked. Fetches no
// document, and remembers no token: the library has no such memory.
//
// verifyJwt leaves the curve's arithmetic to a function that can be given to it. There are three here:
//
// - `library`: the library's own, in JavaScript, which also parses the key anew each time;
// - `openssl`: Node's crypto on the one thread, as services on this library are known to do it;
// - `threads`: the same in Node's pool of threads, so that the one thread serves other calls meanwhile.

import { createPublicKey, verify } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { formatDidKey, parseDidKey, parseMultikey } from '@atproto/crypto';
import { AuthRequiredError, cryptoVerifySignatureWithKey, verifyJwt } from '@atproto/xrpc-server';

const verifyInThePool = promisify(verify);

const BEARER = /^Bearer (\S+)$/i;
/** The curve of each algorithm of tokens. */
const CURVES = { ES256: 'P-256', ES256K: 'secp256k1' };

export class Callers {
  #serviceDid;
  /** The signing key of each DID, as a did:key. */
  #keys = new Map();
  /** The same keys by did:key, ready for OpenSSL, with their algorithms. */
  #opensslKeys = new Map();
  #verifySignature;

  /** `signatures` is the name of one of the three ways. */
  constructor(folder, serviceDid, signatures) {
    this.#serviceDid = serviceDid;
    for (const file of readdirSync(folder).filter((name) => name.endsWith('.json'))) {
      const document = JSON.parse(readFileSync(join(folder, file), 'utf8'));
      const key = didKey(document);
      this.#keys.set(document.id, key);
      this.#opensslKeys.set(key, opensslKey(key));
    }
    const ways = {
      library: cryptoVerifySignatureWithKey,
      openssl: this.#verifyHere,
      threads: this.#verifyInThePool,
    };
    this.#verifySignature = ways[signatures];
    if (this.#verifySignature === undefined) {
      throw new Error(`--signatures: there is no ${signatures}`);
    }
  }

  /** What the XRPC server asks who calls the method `nsid`. */
  verifier(nsid) {
    return async ({ req }) => {
      const [, token] = req.headers.authorization?.match(BEARER) ?? [];
      if (token === undefined) {
        throw new AuthRequiredError('there is no token');
      }
      const { iss } = await verifyJwt(token, this.#serviceDid, nsid, this.#signingKey, this.#verifySignature);
      return { credentials: { did: iss } };
    };
  }

  #signingKey = (did) => {
    const key = this.#keys.get(did);
    if (key === undefined) {
      throw new AuthRequiredError('the issuer is not known');
    }
    return key;
  };

  #verifyHere = (didKey, message, signature, algorithm) => {
    const { key, jwtAlg } = this.#opensslKeys.get(didKey);
    return algorithm === jwtAlg && verify('sha256', message, key, signature);
  };

  #verifyInThePool = (didKey, message, signature, algorithm) => {
    const { key, jwtAlg } = this.#opensslKeys.get(didKey);
    return algorithm === jwtAlg && verifyInThePool('sha256', message, key, signature);
  };
}

/** The Multikey `#atproto` of a DID document, as a did:key. */
function didKey(document) {
  const ids = [`${document.id}#atproto`, '#atproto'];
  const method = document.verificationMethod.find(({ id, type }) => ids.includes(id) && type === 'Multikey');
  const { jwtAlg, keyBytes } = parseMultikey(method.publicKeyMultibase);
  return formatDidKey(jwtAlg, keyBytes);
}

function opensslKey(didKey) {
  const { jwtAlg, keyBytes } = parseDidKey(didKey);
  // An uncompressed point: a byte that says so, then both coordinates.
  const coordinate = (start) => Buffer.from(keyBytes.subarray(start, start + 32)).toString('base64url');
  const jwk = { kty: 'EC', crv: CURVES[jwtAlg], x: coordinate(1), y: coordinate(33) };
  // A token's signature is the two numbers, not DER.
  return { key: { key: createPublicKey({ format: 'jwk', key: jwk }), dsaEncoding: 'ieee-p1363' }, jwtAlg };
}
