//! Whether the signatures of a delivery fit a token: what a receiver checks (docs/delivery.md, "The
//! request").
//!
//! Decides from values; reads no clock and no network.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use http::HeaderMap;
use ring::hmac;

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const STANDARD_SIGNATURE: &str = "webhook-signature";
const BODY_SIGNATURE: &str = "X-Webhook-Signature";
/// The header fields that a verdict needs, each once.
pub(crate) const SIGNED_FIELDS: [&str; 4] = [ID, TIMESTAMP, STANDARD_SIGNATURE, BODY_SIGNATURE];
/// How far `webhook-timestamp` may be from now, in seconds: that of the Standard Webhooks libraries.
const TOLERANCE_SECONDS: u64 = 5 * 60;

/// What was found about the two signatures of a request. `Display`: `verified…` or `not verified: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is no token to verify with.
    NoToken,
    Checked {
        /// `webhook-signature`.
        standard: Result<(), Fault>,
        /// `X-Webhook-Signature`.
        body: Result<(), Fault>,
    },
}

/// Why a signature is not verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is malformed")]
    Malformed(&'static str),
    #[error("{TIMESTAMP} is {0} s from now, and {TOLERANCE_SECONDS} s are allowed")]
    Time(u64),
    #[error("{0} was not made with this token, or something has changed since")]
    Other(&'static str),
}

impl Verdict {
    /// Checks a request that came at `now` (Unix seconds).
    pub(crate) fn of(token: Option<&str>, headers: &HeaderMap, body: &[u8], now: i64) -> Self {
        let Some(token) = token else { return Self::NoToken };
        Self::Checked {
            standard: check_standard(token, headers, body, now),
            body: check_body(token, headers, body),
        }
    }

    pub(crate) fn is_verified(&self) -> bool {
        matches!(self, Self::Checked { standard: Ok(()), body: Ok(()) })
    }

    /// Which part of the request must be wrong, as far as the two signatures tell.
    pub(crate) fn wrong_part(&self) -> Option<String> {
        const REST: &str = "the body and the key are right";
        let Self::Checked { standard, body } = self else { return None };
        let unread: Vec<String> =
            [standard, body].into_iter().filter_map(|one| one.as_ref().err()?.unread()).collect();
        if !unread.is_empty() {
            let rest = if standard.is_ok() || body.is_ok() { format!("; {REST}") } else { String::new() };
            return Some(format!("a header field: {}{rest}", unread.join("; ")));
        }
        let part = match (standard, body) {
            (Ok(()), Ok(())) => return None,
            (Err(Fault::Time(_)), _) => "the time".to_owned(),
            (Err(_), Ok(())) => format!("{ID} or {TIMESTAMP}: {REST}"),
            (Ok(()), Err(_)) => format!("{BODY_SIGNATURE} itself: {REST}"),
            (Err(_), Err(_)) => "the body or the key".to_owned(),
        };
        Some(part)
    }
}

impl Fault {
    /// What it says, if a header field is missing or can't be read.
    fn unread(&self) -> Option<String> {
        matches!(self, Self::Missing(_) | Self::Malformed(_)).then(|| self.to_string())
    }
}

/// The header fields that sign `body`, in the order in which people read them.
pub(crate) fn signed(token: &str, id: &str, seconds: i64, body: &[u8]) -> [(&'static str, String); 4] {
    let of_standard = hmac::Key::new(hmac::HMAC_SHA256, &key(token));
    let message = [format!("{id}.{seconds}.").as_bytes(), body].concat();
    let of_body = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
    let hex = HEXLOWER.encode(hmac::sign(&of_body, body).as_ref());
    [
        (ID, id.to_owned()),
        (TIMESTAMP, seconds.to_string()),
        (STANDARD_SIGNATURE, format!("v1,{}", STANDARD.encode(hmac::sign(&of_standard, &message)))),
        (BODY_SIGNATURE, format!("sha256={hex}")),
    ]
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = match self {
            Self::NoToken => return f.write_str("not verified: there is no token (--secret TOKEN)"),
            Self::Checked { standard: Ok(()), body: Ok(()) } => {
                return write!(f, "verified: {STANDARD_SIGNATURE} and {BODY_SIGNATURE}");
            }
            Self::Checked { standard, body } => [standard, body],
        };
        let faults: Vec<String> =
            faults.into_iter().filter_map(|result| Some(result.as_ref().err()?.to_string())).collect();
        write!(f, "not verified: {}", faults.join("; "))
    }
}

/// Standard Webhooks 1.0.0: one of the `v1` signatures is the HMAC-SHA256 of `{id}.{timestamp}.{body}`.
fn check_standard(token: &str, headers: &HeaderMap, body: &[u8], now: i64) -> Result<(), Fault> {
    let signatures = header(headers, STANDARD_SIGNATURE)?;
    let (id, timestamp) = (header(headers, ID)?, header(headers, TIMESTAMP)?);
    let seconds: i64 = timestamp.parse().map_err(|_| Fault::Malformed(TIMESTAMP))?;
    if seconds.abs_diff(now) > TOLERANCE_SECONDS {
        return Err(Fault::Time(seconds.abs_diff(now)));
    }
    let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key(token));
    let fits = signatures.split(' ').filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok());
    if fits.into_iter().any(|signature| hmac::verify(&key, &signed, &signature).is_ok()) {
        return Ok(());
    }
    Err(Fault::Other(STANDARD_SIGNATURE))
}

/// `sha256=` and the hex HMAC-SHA256 of the body, with the token itself as key.
fn check_body(token: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), Fault> {
    let given = header(headers, BODY_SIGNATURE)?;
    let signature = given
        .strip_prefix("sha256=")
        .and_then(|hex| HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok())
        .ok_or(Fault::Malformed(BODY_SIGNATURE))?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
    hmac::verify(&key, body, &signature).map_err(|_| Fault::Other(BODY_SIGNATURE))
}

fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Fault> {
    let value = headers.get(name).ok_or(Fault::Missing(name))?;
    value.to_str().map_err(|_| Fault::Malformed(name))
}

/// The key of `webhook-signature`: what follows `whsec_`, base64-decoded; of other tokens all bytes.
fn key(token: &str) -> Vec<u8> {
    let decoded = token.strip_prefix("whsec_").and_then(|encoded| STANDARD.decode(encoded).ok());
    decoded.unwrap_or_else(|| token.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_614_265_330;
    const TOKEN: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,O4Gjv1HqPqsMrjmczoggs/sWA8gZD0VyHG+fLh4+ktI=";
    const HEX: &str = "sha256=4685c9d16f64a759d47846eae0e4f6c75bedef25470e9a0e099c5a56f2f5571f";
    const VERIFIED: &str = "verified: webhook-signature and X-Webhook-Signature";

    /// The headers of the vector, with these in place of some of them; an empty value: none.
    fn headers(changed: &[(&'static str, &str)]) -> HeaderMap {
        let vector = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", SIGNATURE),
            ("x-webhook-signature", HEX),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in vector.iter().chain(changed) {
            headers.remove(*name);
            if !value.is_empty() {
                headers.insert(*name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
        }
        headers
    }

    fn verdict(changed: &[(&'static str, &str)], now: i64) -> String {
        Verdict::of(Some(TOKEN), &headers(changed), BODY, now).to_string()
    }

    #[test]
    fn verified() {
        for (changed, now) in [
            ([].as_slice(), NOW),
            (&[], NOW + 300),
            (&[], NOW - 300),
            // Beside that of another token, and of another version.
            (
                &[("webhook-signature", "v2,AAAA v1,AAAA v1,O4Gjv1HqPqsMrjmczoggs/sWA8gZD0VyHG+fLh4+ktI=")],
                NOW,
            ),
        ] {
            assert_eq!(verdict(changed, now), VERIFIED);
        }
    }

    #[test]
    fn what_is_signed_is_the_vector() {
        let fields = signed(TOKEN, "msg_p5jXN8AQM9LWM0D4loKWxJek", NOW, BODY);
        assert_eq!(
            fields[2..],
            [(STANDARD_SIGNATURE, SIGNATURE.to_owned()), (BODY_SIGNATURE, HEX.to_owned())]
        );
    }

    #[test]
    fn which_part_is_wrong() {
        let part = |changed: &[(&'static str, &str)], body: &[u8], now| {
            Verdict::of(Some(TOKEN), &headers(changed), body, now).wrong_part()
        };
        let some = |text: &str| Some(text.to_owned());
        let other = HEX.replace("46", "47");
        assert_eq!(part(&[], BODY, NOW), None);
        assert_eq!(part(&[], BODY, NOW + 301), some("the time"));
        assert_eq!(part(&[], b"{}", NOW), some("the body or the key"));
        let id = [("webhook-id", "msg_other")];
        assert_eq!(
            part(&id, BODY, NOW),
            some("webhook-id or webhook-timestamp: the body and the key are right")
        );
        let hex = [("x-webhook-signature", other.as_str())];
        assert_eq!(part(&hex, BODY, NOW), some("X-Webhook-Signature itself: the body and the key are right"));
        for (changed, expected) in [
            ([("webhook-id", "")].as_slice(), "webhook-id is missing; the body and the key are right"),
            (
                &[("webhook-timestamp", "now")],
                "webhook-timestamp is malformed; the body and the key are right",
            ),
            (
                &[("x-webhook-signature", "")],
                "X-Webhook-Signature is missing; the body and the key are right",
            ),
            (
                &[("webhook-signature", ""), ("x-webhook-signature", "")],
                "webhook-signature is missing; X-Webhook-Signature is missing",
            ),
            (&[("webhook-id", ""), ("x-webhook-signature", &other)], "webhook-id is missing"),
        ] {
            assert_eq!(part(changed, BODY, NOW), Some(format!("a header field: {expected}")), "{changed:?}");
        }
    }

    #[test]
    fn other_kinds_of_tokens() {
        let plain = "~".repeat(40);
        for token in [plain.as_str(), "whsec_this-is-no-base64-but-was-taken-once"] {
            let library = standardwebhooks::Webhook::from_bytes(token.as_bytes().to_vec()).unwrap();
            let signature = library.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", NOW, BODY).unwrap();
            let headers = headers(&[("webhook-signature", &signature)]);
            assert_eq!(check_standard(token, &headers, BODY, NOW), Ok(()));
        }
    }

    #[test]
    fn not_verified() {
        const OTHER: &str = "was not made with this token, or something has changed since";
        let other = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let late = "webhook-timestamp is 301 s from now, and 300 s are allowed";
        for (changed, now, reason) in [
            ([].as_slice(), NOW + 301, late.to_owned()),
            (&[], NOW - 301, late.to_owned()),
            (&[("webhook-signature", "")], NOW, "webhook-signature is missing".to_owned()),
            (&[("webhook-id", "")], NOW, "webhook-id is missing".to_owned()),
            (&[("webhook-timestamp", "")], NOW, "webhook-timestamp is missing".to_owned()),
            (&[("webhook-timestamp", "now")], NOW, "webhook-timestamp is malformed".to_owned()),
            (&[("webhook-id", "msg_\u{e4}")], NOW, "webhook-id is malformed".to_owned()),
            (&[("webhook-id", "msg_other")], NOW, format!("webhook-signature {OTHER}")),
            (&[("webhook-timestamp", "1614265331")], NOW, format!("webhook-signature {OTHER}")),
            (&[("webhook-signature", other)], NOW, format!("webhook-signature {OTHER}")),
            (&[("x-webhook-signature", "")], NOW, "X-Webhook-Signature is missing".to_owned()),
            (&[("x-webhook-signature", "sha256=4")], NOW, "X-Webhook-Signature is malformed".to_owned()),
            (&[("x-webhook-signature", "sha256=46")], NOW, format!("X-Webhook-Signature {OTHER}")),
            (
                &[("webhook-signature", ""), ("x-webhook-signature", "")],
                NOW,
                "webhook-signature is missing; X-Webhook-Signature is missing".to_owned(),
            ),
        ] {
            assert_eq!(verdict(changed, now), format!("not verified: {reason}"), "{changed:?}");
        }
        let verdict = Verdict::of(None, &headers(&[]), BODY, NOW).to_string();
        assert_eq!(verdict, "not verified: there is no token (--secret TOKEN)");
    }
}
