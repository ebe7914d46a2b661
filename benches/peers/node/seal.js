// Random ids and tokens, and the encryption of tokens and URLs for the database.
//
// Owns the keys and the envelope, which has exactly the format of athook's core-service (`seal.rs` there).
// Keys are generated at each start: the bench never reads what an earlier process encrypted.

import { createCipheriv, createHash, createHmac, createSecretKey, randomBytes } from 'node:crypto';

const VERSION = 1;
const KEY_BYTES = 32;
const KEY_ID_BYTES = 8;
const NONCE_BYTES = 12;
const GENERATED_TOKEN_BYTES = 24;

const sealKeyBytes = randomBytes(KEY_BYTES);
const sealKey = createSecretKey(sealKeyBytes);
const indexKey = createSecretKey(randomBytes(KEY_BYTES));
const envelopePrefix = Buffer.concat([
  Buffer.of(VERSION),
  createHash('sha256').update(sealKeyBytes).digest().subarray(0, KEY_ID_BYTES),
]);

/** A token in the form of a Standard Webhooks secret. */
export function newToken() {
  return `whsec_${randomBytes(GENERATED_TOKEN_BYTES).toString('base64')}`;
}

/** The 16 bytes of a UUIDv7. */
export function newUuid(unixMs) {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(unixMs, 0, 6);
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  return bytes;
}

export function uuidText(bytes) {
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Encrypts `text` with AES-256-GCM; `kind`, `owner` and `of` are the associated data. */
export function seal(kind, owner, of, text) {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', sealKey, nonce);
  cipher.setAAD(associatedData([kind, owner, of]));
  const sealed = cipher.update(text, 'utf8');
  cipher.final();
  return Buffer.concat([envelopePrefix, nonce, sealed, cipher.getAuthTag()]);
}

/** The hash by which the database finds duplicate URLs. */
export function urlHash(url) {
  return createHmac('sha256', indexKey).update(url).digest();
}

/** Each part after its length in eight bytes. */
function associatedData(parts) {
  return Buffer.concat(
    parts.flatMap((part) => {
      const bytes = Buffer.from(part);
      const length = Buffer.alloc(8);
      length.writeUInt32BE(bytes.length, 4);
      return [length, bytes];
    }),
  );
}
