// Randomness and sealing: ids, tokens, and what the database keeps of tokens and URLs.
//
// Owns the keys and the envelope, which is byte by byte the one that athook's core-service writes (`seal.rs` there).
// The keys are new with each start: the bench reads nothing that an earlier process sealed.

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

/** `text` in an envelope of AES-256-GCM; `kind`, `owner` and `of` say what it is and whose. */
export function seal(kind, owner, of, text) {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', sealKey, nonce);
  cipher.setAAD(associatedData([kind, owner, of]));
  const sealed = cipher.update(text, 'utf8');
  cipher.final();
  return Buffer.concat([envelopePrefix, nonce, sealed, cipher.getAuthTag()]);
}

/** What stands for a URL in the database: the same for the same URL. */
export function urlHash(url) {
  return createHmac('sha256', indexKey).update(url).digest();
}

/** Each part with its length before it, in eight bytes. */
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
