//! The header fields of a delivery's request, signatures included (docs/delivery.md, "The request").
//!
//! Owns their names and values. Which tokens sign, and when, is decided by the caller.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use data_encoding::HEXLOWER;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;
use url::Url;
use uuid::Uuid;

use crate::domain::secret::SigningToken;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const X_WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("x-webhook-signature");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The tokens of the secret that a webhook names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) newest: SigningToken,
    /// The one before the last rotation, while it goes on signing.
    pub(crate) previous: Option<SigningToken>,
}

/// What the header fields of one attempt are made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) event_id: Uuid,
    pub(crate) delivery_id: Uuid,
    /// The time of this attempt, in seconds since 1970-01-01T00:00:00Z.
    pub(crate) unix_seconds: i64,
    pub(crate) body: &'a [u8],
    /// `None` if the webhook names no secret.
    pub(crate) tokens: Option<&'a Tokens>,
    /// [`user_agent`].
    pub(crate) user_agent: &'a HeaderValue,
}

/// The header fields of the request.
pub(crate) fn headers(request: &Request<'_>) -> HeaderMap {
    let Request { event_id, delivery_id, unix_seconds, body, tokens, user_agent } = *request;
    let id = message_id(event_id);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, user_agent.clone());
    headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(unix_seconds));
    headers.insert(IDEMPOTENCY_KEY, ascii(&delivery_id.to_string()));
    if let Some(tokens) = tokens {
        headers.insert(WEBHOOK_SIGNATURE, ascii(&signatures(tokens, &id, unix_seconds, body)));
        headers.insert(X_WEBHOOK_SIGNATURE, ascii(&hex_signature(&tokens.newest, body)));
    }
    headers.insert(WEBHOOK_ID, ascii(&id));
    headers
}

/// `athook/<version> (+<public-url>)`, the bracket only with a `public_url`.
pub(crate) fn user_agent(version: &str, public_url: Option<&Url>) -> HeaderValue {
    let text = match public_url {
        Some(url) => format!("athook/{version} (+{})", url.as_str().trim_end_matches('/')),
        None => format!("athook/{version}"),
    };
    ascii(&text)
}

/// The `webhook-id` of an event: the same over all attempts of all its deliveries.
pub(crate) fn message_id(event: Uuid) -> String {
    format!("msg_{event}")
}

/// The value of `webhook-signature`: one signature for each token, the newest first.
fn signatures(tokens: &Tokens, id: &str, unix_seconds: i64, body: &[u8]) -> String {
    let Tokens { newest, previous } = tokens;
    let mut text = signature(newest, id, unix_seconds, body);
    if let Some(previous) = previous {
        text.push(' ');
        text.push_str(&signature(previous, id, unix_seconds, body));
    }
    text
}

/// `v1,` and the base64 of HMAC-SHA256 over `{id}.{unix_seconds}.{body}` with the token's key.
fn signature(token: &SigningToken, id: &str, unix_seconds: i64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &token.key()));
    context.update(format!("{id}.{unix_seconds}.").as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign()))
}

/// The value of `X-Webhook-Signature`: `sha256=` and the hex HMAC-SHA256 of the body, with the token itself
/// as key.
fn hex_signature(token: &SigningToken, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.expose().as_bytes());
    format!("sha256={}", HEXLOWER.encode(hmac::sign(&key, body).as_ref()))
}

fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("ids, base64, hex, versions and URLs are printable ASCII")
}

#[cfg(test)]
mod tests {
    use process::clock::Clock;
    use standardwebhooks::Webhook;

    use super::*;
    use crate::domain::secret::GENERATED_TOKEN_BYTES;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SECONDS: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const FIRST: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const THIRD: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn token(text: &str) -> SigningToken {
        text.parse().unwrap()
    }

    #[test]
    fn vectors() {
        for (text, id, seconds, body, expected) in [
            (FIRST, ID, SECONDS, BODY, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
            (
                "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                1_649_367_553,
                br#"{"email":"test@example.com","username":"test_user"}"#,
                "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            ),
            (THIRD, ID, SECONDS, BODY, "v1,O4Gjv1HqPqsMrjmczoggs/sWA8gZD0VyHG+fLh4+ktI="),
        ] {
            assert_eq!(signature(&token(text), id, seconds, body), expected);
        }
        assert_eq!(
            hex_signature(&token(THIRD), BODY),
            "sha256=4685c9d16f64a759d47846eae0e4f6c75bedef25470e9a0e099c5a56f2f5571f"
        );
    }

    #[test]
    fn rotation_overlap_signs_with_both_newest_first() {
        let tokens = Tokens { newest: token(THIRD), previous: Some(token(FIRST)) };
        assert_eq!(
            signatures(&tokens, ID, SECONDS, BODY),
            "v1,O4Gjv1HqPqsMrjmczoggs/sWA8gZD0VyHG+fLh4+ktI= v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    /// The keys that a receiver with the published library has: `from_bytes` for tokens without base64.
    #[test]
    fn published_library_signs_alike() {
        let old = "whsec_this-is-no-base64-but-was-taken-once";
        for (token, library) in [
            (token(FIRST), Webhook::new(FIRST)),
            (token(&"~".repeat(40)), Webhook::from_bytes(vec![b'~'; 40])),
            (SigningToken::stored(old.to_owned()), Webhook::from_bytes(old.as_bytes().to_vec())),
        ] {
            let expected = library.unwrap().sign(ID, SECONDS, BODY).unwrap();
            assert_eq!(signature(&token, ID, SECONDS, BODY), expected);
        }
    }

    #[test]
    fn published_library_verifies_the_request_with_either_token() {
        let (newest, previous) = (
            SigningToken::generated(&[0xfb; GENERATED_TOKEN_BYTES]),
            SigningToken::generated(&[7; GENERATED_TOKEN_BYTES]),
        );
        let tokens = Tokens { newest: newest.clone(), previous: Some(previous.clone()) };
        let user_agent = user_agent("0.1.0", None);
        let headers = headers(&Request {
            event_id: Uuid::from_u128(1),
            delivery_id: Uuid::from_u128(2),
            unix_seconds: Clock::system().unix_seconds(),
            body: BODY,
            tokens: Some(&tokens),
            user_agent: &user_agent,
        });
        let verify = |token: &SigningToken| Webhook::new(token.expose()).unwrap().verify(BODY, &headers);
        assert!(verify(&newest).is_ok() && verify(&previous).is_ok());
        assert!(verify(&SigningToken::generated(&[8; GENERATED_TOKEN_BYTES])).is_err());
    }

    #[test]
    fn fields_of_a_request() {
        let url: Url = "https://athook.example".parse().unwrap();
        let user_agent = user_agent("0.1.0", Some(&url));
        let tokens = Tokens { newest: token(THIRD), previous: None };
        let mut request = Request {
            event_id: Uuid::from_u128(1),
            delivery_id: Uuid::from_u128(2),
            unix_seconds: SECONDS,
            body: BODY,
            tokens: None,
            user_agent: &user_agent,
        };
        let sorted = |request: &Request<'_>| {
            let headers = headers(request);
            let mut lines: Vec<_> =
                headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
            lines.sort();
            lines
        };
        let unsigned = [
            "content-type: application/json",
            "idempotency-key: 00000000-0000-0000-0000-000000000002",
            "user-agent: athook/0.1.0 (+https://athook.example)",
            "webhook-id: msg_00000000-0000-0000-0000-000000000001",
            "webhook-timestamp: 1614265330",
        ];
        assert_eq!(sorted(&request), unsigned);
        request.tokens = Some(&tokens);
        let mut signed = unsigned.map(str::to_owned).to_vec();
        let id = message_id(request.event_id);
        signed.push(format!("webhook-signature: {}", signatures(&tokens, &id, SECONDS, BODY)));
        signed.push(format!("x-webhook-signature: {}", hex_signature(&tokens.newest, BODY)));
        signed.sort();
        assert_eq!(sorted(&request), signed);
    }
}
