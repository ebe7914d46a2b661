// Service auth, verified on every call by verifyJwt of the reference library.
//
// Owns the callers' keys, read once from a folder of DID documents, and the choice of a signature check.
// Fetches no documents and caches no tokens: the library has no such cache.
//
// verifyJwt can be given a function that checks signatures. There are three:
//
// - `library`: the library's own, in JavaScript, which also parses the key each time;
// - `openssl`: Node's crypto on the main thread, as known services on this library do it;
// - `threads`: the same in Node's thread pool, so that the main thread can serve other calls meanwhile.

import { createPublicKey, verify } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { formatDidKey, parseDidKey, parseMultikey } from '@atproto/crypto';
import { AuthRequiredError, cryptoVerifySignatureWithKey, verifyJwt } from '@atproto/xrpc-server';

const verifyInThePool = promisify(verify);

const BEARER = /^Bearer (\S+)$/i;
/** The curve of each token algorithm. */
const CURVES = { ES256: 'P-256', ES256K: 'secp256k1' };

export class Callers {
  #serviceDid;
  /** The signing key of each DID, as a did:key. */
  #keys = new Map();
  /** The same keys by did:key, parsed for OpenSSL, with their algorithms. */
  #opensslKeys = new Map();
  #verifySignature;

  /** `signatures` is the name of one of the three checks. */
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

  /** The function by which the XRPC server authenticates callers of the method `nsid`. */
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
  // An uncompressed point: a prefix byte, then both coordinates.
  const coordinate = (start) => Buffer.from(keyBytes.subarray(start, start + 32)).toString('base64url');
  const jwk = { kty: 'EC', crv: CURVES[jwtAlg], x: coordinate(1), y: coordinate(33) };
  // The signature of a token is r and s, not DER.
  return { key: { key: createPublicKey({ format: 'jwk', key: jwk }), dsaEncoding: 'ieee-p1363' }, jwtAlg };
}
