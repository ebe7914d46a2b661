//! Sealing: the encryption of tokens, webhook URLs and the index key at rest.
//!
//! Owns the seal keys, the envelope, and what each sealed value is bound to. Knows no table.
//!
//! ```text
//! version (1 byte: 1) │ key id (8) │ nonce (12, random) │ ciphertext │ tag (16)
//! ```
//!
//! The cipher is AES-256-GCM. The key id is the start of the key's SHA-256. The first line of the key file
//! seals, all lines open; the key id says which. [`reseal`](crate::store::operator::reseal) moves everything
//! to the first key.
//!
//! The associated data is the kind of the value (`token`, `url`, `index-key`), the owner's DID, and the
//! secret's name or the webhook's id, each with its length before it as a 64-bit big-endian number. So a
//! value does not open in another row. A rotation moves the envelope of the previous token to another column
//! unchanged: owner and name are the same.
//!
//! The database must see that two URLs are equal, but not the URLs: it has their HMAC-SHA-256 under the index
//! key (`store/index_key.rs`), which is made at the first start and kept in the database, sealed.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prometheus_client::metrics::counter::Counter;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest;
use uuid::Uuid;

use crate::domain::did::Did;
use crate::domain::secret::SecretName;

/// The first byte of every envelope.
const VERSION: u8 = 1;
/// The length of a nonce in bytes.
pub(crate) const NONCE_BYTES: usize = NONCE_LEN;
/// The length of a key id in bytes.
const KEY_ID_BYTES: usize = 8;
/// The length of version and key id in bytes: the prefix that tells the key of an envelope.
pub(crate) const PREFIX_BYTES: usize = 1 + KEY_ID_BYTES;
/// The length of everything before the ciphertext, in bytes.
const HEADER_BYTES: usize = PREFIX_BYTES + NONCE_BYTES;

/// What a sealed value is, and whose. It opens for the same purpose only.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// The token of a secret.
    Token { owner: &'a Did, name: &'a SecretName },
    /// The URL of a webhook.
    Url { owner: &'a Did, webhook: Uuid },
    /// The secret in a record that is a webhook.
    RecordSecret { owner: &'a Did, webhook: Uuid },
    /// The key of the URLs' HMAC.
    IndexKey,
}

impl Purpose<'_> {
    /// Each part has its length before it, so that no two purposes have the same bytes.
    fn associated_data(self) -> Vec<u8> {
        let (kind, owner, of): (&str, &str, &[u8]) = match &self {
            Self::Token { owner, name } => ("token", owner.as_str(), name.as_str().as_bytes()),
            Self::Url { owner, webhook } => ("url", owner.as_str(), webhook.as_bytes()),
            Self::RecordSecret { owner, webhook } => ("record-secret", owner.as_str(), webhook.as_bytes()),
            Self::IndexKey => ("index-key", "", &[]),
        };
        let mut data = Vec::with_capacity(3 * size_of::<u64>() + kind.len() + owner.len() + of.len());
        for part in [kind.as_bytes(), owner.as_bytes(), of] {
            data.extend_from_slice(&(part.len() as u64).to_be_bytes());
            data.extend_from_slice(part);
        }
        data
    }
}

/// The keys in `--seal-keys-file`: the first seals, all open. Never printed.
pub(crate) struct SealKeys {
    first: SealKey,
    others: Vec<SealKey>,
    /// Counts values that did not open.
    unopened: Counter,
}

struct SealKey {
    id: [u8; KEY_ID_BYTES],
    key: LessSafeKey,
}

/// A key file that can't be used. `Display` names the line, never its content.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealKeysError {
    #[error("line {line}: must be the standard base64 of 32 bytes")]
    NotAKey { line: usize },
    #[error("line {line}: this key is in the file twice")]
    Duplicate { line: usize },
    #[error("the file has no key")]
    NoKey,
}

/// A sealed value that does not open.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("sealed with a key that is not in the file of seal keys")]
    UnknownKey,
    #[error("not a sealed value of this place, or changed since it was sealed")]
    Broken,
}

impl SealKeys {
    /// Seals `plaintext`. The envelope opens for the same purpose only. Every call needs a fresh random
    /// nonce.
    pub(crate) fn seal(&self, nonce: [u8; NONCE_BYTES], purpose: Purpose<'_>, plaintext: &[u8]) -> Vec<u8> {
        let SealKey { id, key } = &self.first;
        let mut envelope = Vec::with_capacity(HEADER_BYTES + plaintext.len() + AES_256_GCM.tag_len());
        envelope.push(VERSION);
        envelope.extend_from_slice(id);
        envelope.extend_from_slice(&nonce);
        envelope.extend_from_slice(plaintext);
        let aad = Aad::from(purpose.associated_data());
        let tag = key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                aad,
                &mut envelope[HEADER_BYTES..],
            )
            .expect("AES-GCM refuses only plaintexts of more than 64 GiB");
        envelope.extend_from_slice(tag.as_ref());
        envelope
    }

    /// Opens an envelope that [`seal`](Self::seal) made for the same purpose.
    ///
    /// # Errors
    ///
    /// The key is not in the file; or the envelope was sealed for another purpose, or has changed.
    pub(crate) fn open(&self, purpose: Purpose<'_>, envelope: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.try_open(purpose, envelope).inspect_err(|_| {
            self.unopened.inc();
        })
    }

    /// The counter of values that did not open.
    pub(crate) fn unopened(&self) -> Counter {
        self.unopened.clone()
    }

    fn try_open(&self, purpose: Purpose<'_>, envelope: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (&[version], rest) = envelope.split_first_chunk().ok_or(OpenError::Broken)?;
        let (id, rest) = rest.split_first_chunk::<KEY_ID_BYTES>().ok_or(OpenError::Broken)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError::Broken)?;
        if version != VERSION {
            return Err(OpenError::Broken);
        }
        let key = self.key_with_id(*id).ok_or(OpenError::UnknownKey)?;
        let mut text = ciphertext.to_vec();
        let aad = Aad::from(purpose.associated_data());
        let length = key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut text)
            .map_err(|_| OpenError::Broken)?
            .len();
        text.truncate(length);
        Ok(text)
    }

    /// The prefix of every envelope that the first key sealed.
    pub(crate) fn first_prefix(&self) -> [u8; PREFIX_BYTES] {
        let mut prefix = [VERSION; PREFIX_BYTES];
        prefix[1..].copy_from_slice(&self.first.id);
        prefix
    }

    /// Whether `envelope` has the prefix of the first key. It need not open.
    pub(crate) fn is_first(&self, envelope: &[u8]) -> bool {
        envelope.starts_with(&self.first_prefix())
    }

    fn key_with_id(&self, id: [u8; KEY_ID_BYTES]) -> Option<&LessSafeKey> {
        let mut keys = std::iter::once(&self.first).chain(&self.others);
        keys.find(|key| key.id == id).map(|key| &key.key)
    }
}

impl FromStr for SealKeys {
    type Err = SealKeysError;

    fn from_str(text: &str) -> Result<Self, SealKeysError> {
        let mut keys: Vec<SealKey> = Vec::new();
        for (index, content) in text.lines().enumerate() {
            let line = index + 1;
            let content = content.trim();
            if content.is_empty() {
                continue;
            }
            let bytes = STANDARD.decode(content).map_err(|_| SealKeysError::NotAKey { line })?;
            let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| SealKeysError::NotAKey { line })?;
            let id = key_id(&bytes);
            if keys.iter().any(|known| known.id == id) {
                return Err(SealKeysError::Duplicate { line });
            }
            keys.push(SealKey { id, key: LessSafeKey::new(key) });
        }
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or(SealKeysError::NoKey)?;
        Ok(Self { first, others: keys.collect(), unopened: Counter::default() })
    }
}

impl fmt::Debug for SealKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

fn key_id(key: &[u8]) -> [u8; KEY_ID_BYTES] {
    let mut id = [0; KEY_ID_BYTES];
    id.copy_from_slice(&digest::digest(&digest::SHA256, key).as_ref()[..KEY_ID_BYTES]);
    id
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn line(byte: u8) -> String {
        STANDARD.encode([byte; 32])
    }

    fn keys(bytes: &[u8]) -> SealKeys {
        let lines: Vec<String> = bytes.iter().copied().map(line).collect();
        lines.join("\n").parse().unwrap()
    }

    fn did(text: &str) -> Did {
        text.parse().unwrap()
    }

    fn name(text: &str) -> SecretName {
        text.parse().unwrap()
    }

    #[test]
    fn envelope_is_what_other_implementations_make() {
        // Computed with another library: AES-256-GCM of "hello" with a key of 32 bytes 0x01, a nonce of 12
        // bytes 0x02, and the associated data below.
        let (owner, name) = (did("did:plc:a"), name("n"));
        let purpose = Purpose::Token { owner: &owner, name: &name };
        let data = b"\0\0\0\0\0\0\0\x05token\0\0\0\0\0\0\0\x09did:plc:a\0\0\0\0\0\0\0\x01n";
        assert_eq!(purpose.associated_data(), data);
        let sealed = keys(&[1]).seal([2; NONCE_BYTES], purpose, b"hello");
        assert_eq!(
            data_encoding::HEXLOWER.encode(&sealed),
            "0172cd6e8422c407fb0202020202020202020202026fb3a52525f474800761936aca054e88f5cd4b367d"
        );
    }

    #[test]
    fn every_key_opens_and_the_first_seals() {
        let (owner, name) = (did("did:plc:a"), name("n"));
        let purpose = Purpose::Token { owner: &owner, name: &name };
        let old = keys(&[1]).seal([0; NONCE_BYTES], purpose, b"text");
        let both = keys(&[2, 1]);
        assert_eq!(both.open(purpose, &old).as_deref(), Ok(&b"text"[..]));
        let new = both.seal([0; NONCE_BYTES], purpose, b"text");
        assert_eq!(keys(&[1]).open(purpose, &new), Err(OpenError::UnknownKey));
        assert_eq!(keys(&[2]).open(purpose, &new).as_deref(), Ok(&b"text"[..]));
        assert!(both.is_first(&new) && !both.is_first(&old));
        assert!(keys(&[1, 2]).is_first(&old) && !both.is_first(&[]));
    }

    #[test]
    fn moved_values_do_not_open() {
        let keys = keys(&[1]);
        let (owner, other_owner) = (did("did:plc:a"), did("did:plc:b"));
        let (one, other) = (name("n"), name("m"));
        let (webhook, other_webhook) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let purposes = [
            Purpose::Token { owner: &owner, name: &one },
            Purpose::Token { owner: &owner, name: &other },
            Purpose::Token { owner: &other_owner, name: &one },
            Purpose::Url { owner: &owner, webhook },
            Purpose::Url { owner: &owner, webhook: other_webhook },
            Purpose::Url { owner: &other_owner, webhook },
            Purpose::IndexKey,
        ];
        for (from, sealed_for) in purposes.into_iter().enumerate() {
            let sealed = keys.seal([0; NONCE_BYTES], sealed_for, b"text");
            for (to, opened_for) in purposes.into_iter().enumerate() {
                let expected = if from == to { Ok(b"text".to_vec()) } else { Err(OpenError::Broken) };
                assert_eq!(keys.open(opened_for, &sealed), expected, "{sealed_for:?} as {opened_for:?}");
            }
        }
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let keys = keys(&[1]);
        let sealed = keys.seal([7; NONCE_BYTES], Purpose::IndexKey, b"text");
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let in_key_id = (8..8 * (1 + KEY_ID_BYTES)).contains(&bit);
            let expected = if in_key_id { OpenError::UnknownKey } else { OpenError::Broken };
            assert_eq!(keys.open(Purpose::IndexKey, &flipped), Err(expected), "bit {bit}");
        }
    }

    #[test]
    fn any_shortened_envelope_is_noticed() {
        let keys = keys(&[1]);
        let sealed = keys.seal([7; NONCE_BYTES], Purpose::IndexKey, b"text");
        for length in 0..sealed.len() {
            assert_eq!(keys.open(Purpose::IndexKey, &sealed[..length]), Err(OpenError::Broken), "{length}");
        }
    }

    proptest! {
        #[test]
        fn opens_to_what_was_sealed(text in any::<Vec<u8>>(), nonce in any::<[u8; NONCE_BYTES]>()) {
            let keys = keys(&[1]);
            let sealed = keys.seal(nonce, Purpose::IndexKey, &text);
            prop_assert_eq!(keys.open(Purpose::IndexKey, &sealed), Ok(text));
        }
    }

    proptest! {
        #[test]
        fn nothing_else_opens(bytes in any::<Vec<u8>>(), start in 0_usize..40) {
            let keys = keys(&[1]);
            prop_assert!(keys.open(Purpose::IndexKey, &bytes).is_err());
            // After the start of a valid envelope.
            let sealed = keys.seal([7; NONCE_BYTES], Purpose::IndexKey, b"text");
            let start = &sealed[..start.min(sealed.len() - 1)];
            let spliced = [start, &bytes].concat();
            prop_assert_eq!(keys.open(Purpose::IndexKey, &spliced).is_ok(), spliced == sealed);
        }
    }

    #[test]
    fn files_that_are_refused() {
        let parse = |text: &str| text.parse::<SealKeys>().map(|_| ()).unwrap_err();
        assert_eq!(parse("\n \n"), SealKeysError::NoKey);
        assert_eq!(parse(&format!("{}\n\n{}\n", line(1), line(1))), SealKeysError::Duplicate { line: 3 });
        for odd in ["garbage", &line(2)[1..], &STANDARD.encode([0; 31]), &STANDARD.encode([0; 33])] {
            let error = parse(&format!("{}\n{odd}", line(1)));
            assert_eq!(error, SealKeysError::NotAKey { line: 2 });
            assert!(!error.to_string().contains(odd));
        }
    }

    #[test]
    fn keys_are_not_printed() {
        assert_eq!(format!("{:?}", keys(&[1])), "[redacted]");
    }
}
