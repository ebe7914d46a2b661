//! Named signing secrets.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shrike::syntax::RecordKey;
use uuid::Uuid;

use super::did::Did;
use super::rule::Rule;

/// The shortest token, in bytes (docs/methods.md, secret.create).
const TOKEN_MIN_BYTES: usize = 32;
/// The longest token, in bytes (docs/methods.md, secret.create).
const TOKEN_MAX_BYTES: usize = 256;
/// The random bytes in a generated token.
pub(crate) const GENERATED_TOKEN_BYTES: usize = 24;
/// What a token in the format of a Standard Webhooks secret begins with; standard base64 of its key follows.
const KEY_PREFIX: &str = "whsec_";
/// The shortest key of such a token, in bytes (docs/methods.md, secret.create).
const KEY_MIN_BYTES: usize = 24;
/// The longest key of such a token, in bytes (docs/methods.md, secret.create).
const KEY_MAX_BYTES: usize = 64;

/// The name of a secret: a record key, unique for each owner, case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SecretName(RecordKey);

impl SecretName {
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for SecretName {
    type Err = Rule;

    fn from_str(text: &str) -> Result<Self, Rule> {
        // The library's error contains the value.
        text.parse().map(Self).map_err(|_| Rule::RecordKey)
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The token that signs deliveries: 32 to 256 bytes of printable ASCII without space. One that begins with
/// `whsec_` continues with standard base64 of 24 to 64 bytes, its key. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SigningToken(String);

impl SigningToken {
    /// A token in the format of a Standard Webhooks secret: `whsec_` and standard base64.
    pub(crate) fn generated(random: &[u8; GENERATED_TOKEN_BYTES]) -> Self {
        Self(format!("{KEY_PREFIX}{}", STANDARD.encode(random)))
    }

    /// A token that is stored. It may be older than the rule for `whsec_`.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    /// The token in plaintext, for sealing, signing, and the one response that has it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// The key of `webhook-signature` (docs/delivery.md, "The request"): the bytes after `whsec_`,
    /// base64-decoded. Of a token without `whsec_`, or without base64 after it, all its bytes.
    pub(crate) fn key(&self) -> Vec<u8> {
        let encoded = self.0.strip_prefix(KEY_PREFIX);
        let decoded = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
        decoded.unwrap_or_else(|| self.0.clone().into_bytes())
    }
}

impl FromStr for SigningToken {
    type Err = Rule;

    fn from_str(text: &str) -> Result<Self, Rule> {
        let fits = (TOKEN_MIN_BYTES..=TOKEN_MAX_BYTES).contains(&text.len());
        if !fits || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Rule::Token { min: TOKEN_MIN_BYTES, max: TOKEN_MAX_BYTES });
        }
        if let Some(encoded) = text.strip_prefix(KEY_PREFIX) {
            let key = STANDARD.decode(encoded).ok();
            let fits = key.is_some_and(|key| (KEY_MIN_BYTES..=KEY_MAX_BYTES).contains(&key.len()));
            if !fits {
                return Err(Rule::TokenKey { min: KEY_MIN_BYTES, max: KEY_MAX_BYTES });
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for SigningToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A secret to be stored.
#[derive(Debug, Clone)]
pub(crate) struct NewSecret {
    pub(crate) id: Uuid,
    pub(crate) owner: Did,
    pub(crate) name: SecretName,
    pub(crate) token: SigningToken,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) created_at_ms: i64,
}

/// A stored secret as its owner sees it: without the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Secret {
    pub(crate) name: SecretName,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) created_at_ms: i64,
    /// Milliseconds since 1970-01-01T00:00:00Z; `None` before the first rotation.
    pub(crate) last_rotated_at_ms: Option<i64>,
}

/// A new token for a stored secret.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    pub(crate) owner: Did,
    pub(crate) name: SecretName,
    pub(crate) token: SigningToken,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) rotated_at_ms: i64,
    /// How long the previous token goes on signing beside the new one; zero: it stops at once.
    pub(crate) overlap: Duration,
}

impl Rotation {
    /// The millisecond from which the previous token no longer signs; `None`: from this rotation on.
    pub(crate) fn previous_until_ms(&self) -> Option<i64> {
        let overlap_ms = i64::try_from(self.overlap.as_millis()).unwrap_or(i64::MAX);
        (overlap_ms > 0).then(|| self.rotated_at_ms.saturating_add(overlap_ms))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn names() {
        for text in ["a", "...", "A-z_0~9:.", "a".repeat(512).as_str()] {
            assert_eq!(text.parse::<SecretName>().unwrap().to_string(), text);
        }
        for text in ["", ".", "..", "a b", "a/b", "é", "a\0", "a".repeat(513).as_str()] {
            assert_eq!(text.parse::<SecretName>(), Err(Rule::RecordKey), "{text:?}");
        }
    }

    /// The interop test vectors of atproto.
    #[test]
    fn vectors_of_record_keys() {
        for text in [
            "self",
            "example.com",
            "~1.2-3_",
            "dHJ1ZQ",
            "literal:self",
            "pre:fix",
            ":",
            "-",
            "_",
            "~",
            "self.",
            "lang:",
            ":lang",
        ] {
            assert!(text.parse::<SecretName>().is_ok(), "{text}");
        }
        for text in [
            "alpha/beta",
            "#extra",
            "@handle",
            "any space",
            "any+space",
            "number[3]",
            "number(3)",
            "\"quote\"",
            "dHJ1ZQ==",
        ] {
            assert!(text.parse::<SecretName>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn name_is_a_record_key(text in "[ -~é]{0,20}") {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "._~:-".contains(c);
            let expected = !text.is_empty() && text != "." && text != ".." && text.chars().all(allowed);
            prop_assert_eq!(text.parse::<SecretName>().is_ok(), expected);
        }
    }

    #[test]
    fn tokens() {
        for text in ["!".repeat(32), "~".repeat(256)] {
            assert_eq!(text.parse::<SigningToken>().unwrap().expose(), text);
        }
        let with = |odd: &str| format!("{}{odd}", "a".repeat(40));
        for text in ["a".repeat(31), "a".repeat(257), with(" "), with("\x7f"), with("\n"), with("é")] {
            assert_eq!(text.parse::<SigningToken>(), Err(Rule::Token { min: 32, max: 256 }), "{text:?}");
        }
    }

    #[test]
    fn keys_of_tokens() {
        for bytes in [24, 25, 26, 63, 64] {
            let text = format!("whsec_{}", STANDARD.encode(vec![0xfb; bytes]));
            assert_eq!(text.parse::<SigningToken>().unwrap().key(), vec![0xfb; bytes], "{text}");
        }
        let other = "WHSEC_".to_owned() + &"A".repeat(32);
        assert_eq!(other.parse::<SigningToken>().unwrap().key(), other.as_bytes());
        let padded = |bytes| STANDARD.encode(vec![0xfb; bytes]);
        for rest in [
            padded(20),
            padded(23),
            padded(65),
            padded(180),
            padded(25).trim_end_matches('=').to_owned(),
            // URL-safe base64, and bits that belong to no byte.
            "-_".repeat(16),
            "A".repeat(33) + "B==",
            "A".repeat(33),
            "not-base64-but-long-enough-for-a-token!".to_owned(),
            "A".repeat(32) + "_",
        ] {
            let text = format!("whsec_{rest}");
            assert_eq!(text.parse::<SigningToken>(), Err(Rule::TokenKey { min: 24, max: 64 }), "{text}");
        }
        assert_eq!("whsec_".parse::<SigningToken>(), Err(Rule::Token { min: 32, max: 256 }));
    }

    #[test]
    fn keys_of_stored_tokens_older_than_the_rule() {
        let key = |text: &str| SigningToken::stored(text.to_owned()).key();
        let no_base64 = "whsec_this-is-no-base64-but-was-taken-once";
        assert_eq!(key(no_base64), no_base64.as_bytes());
        assert_eq!(key(&format!("whsec_{}", "A".repeat(200))), [0; 150]);
    }

    #[test]
    fn generated_token_is_a_token() {
        let token = SigningToken::generated(&[0xff; GENERATED_TOKEN_BYTES]);
        assert_eq!(token.expose(), format!("whsec_{}", "/".repeat(32)));
        assert_eq!(token.expose().parse::<SigningToken>(), Ok(token));
    }

    #[test]
    fn end_of_the_previous_token() {
        let rotation = |overlap| Rotation {
            owner: "did:plc:a".parse().unwrap(),
            name: "n".parse().unwrap(),
            token: SigningToken::generated(&[0; GENERATED_TOKEN_BYTES]),
            rotated_at_ms: 1_700_000_000_123,
            overlap,
        };
        for (overlap, until_ms) in [
            (Duration::ZERO, None),
            (Duration::from_nanos(999_999), None),
            (Duration::from_millis(1), Some(1_700_000_000_124)),
            (Duration::from_hours(1), Some(1_700_003_600_123)),
            (Duration::MAX, Some(i64::MAX)),
        ] {
            assert_eq!(rotation(overlap).previous_until_ms(), until_ms, "{overlap:?}");
        }
    }

    #[test]
    fn token_is_not_printed() {
        let token: SigningToken = "x".repeat(40).parse().unwrap();
        assert_eq!(format!("{token:?}"), "[redacted]");
    }
}
