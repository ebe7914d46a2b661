//! Service-auth tokens: parsing one and checking its claims (`docs/methods.md`). The signature is not
//! verified here.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::did::Did;
use super::key::{Algorithm, SIGNATURE_BYTES};
use super::refusal::Refusal;

/// The longest token, in bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// How far the clocks of an issuer and of this service may differ, in seconds.
pub(crate) const LEEWAY_S: i64 = 30;

/// How far ahead `exp` may be, in seconds.
const MAX_AHEAD_S: i64 = 60 * 60;

/// Possible lengths of a DER signature on a curve of 256 bits, in bytes.
const DER_BYTES: std::ops::RangeInclusive<usize> = 8..=72;

/// A parsed token. Its signature and the values of its claims are not yet checked.
#[derive(Debug)]
pub(crate) struct Token<'a> {
    /// The DID whose key must verify the signature.
    pub(crate) issuer: Did,
    /// The algorithm of the signature, from the header.
    pub(crate) algorithm: Algorithm,
    /// The whole token.
    pub(crate) text: &'a str,
    /// The signed part: header and claims, still encoded.
    pub(crate) signed: &'a str,
    /// `r` and `s`, 32 bytes each.
    pub(crate) signature: [u8; SIGNATURE_BYTES],
    /// Expiry, in seconds since 1970.
    pub(crate) expires: i64,
    not_before: Option<i64>,
    audience: String,
    method: String,
}

/// The token of a request, which must have exactly one `Authorization: Bearer` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::MissingToken)?;
    if values.next().is_some() {
        return Err(Refusal::SeveralHeaders);
    }
    let value = value.to_str().map_err(|_| Refusal::NotAJwt)?.trim();
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Refusal::NotBearer);
    }
    match token.trim_start() {
        "" => Err(Refusal::MissingToken),
        token if token.len() > MAX_TOKEN_BYTES => Err(Refusal::TooLong(MAX_TOKEN_BYTES)),
        token => Ok(token),
    }
}

/// The `aud` values that mean this service.
#[derive(Debug, Clone)]
pub(crate) struct Audiences {
    taken: Arc<[String]>,
    /// All of them, for the client.
    named: Arc<str>,
}

impl Audiences {
    pub(crate) fn new(taken: Vec<String>) -> Self {
        let named = match taken.split_last() {
            Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
            _ => taken.concat(),
        };
        Self { taken: taken.into(), named: named.into() }
    }
}

impl<'a> Token<'a> {
    /// Parses a token; its claims have the right types then. Their values are checked by
    /// [`check`](Self::check).
    pub(crate) fn parse(text: &'a str) -> Result<Self, Refusal> {
        let (signed, signature) = text.rsplit_once('.').ok_or(Refusal::NotAJwt)?;
        let (header, claims) = signed.split_once('.').ok_or(Refusal::NotAJwt)?;
        let header = decode(header)?;
        let claims = decode(claims)?;
        let signature = decode(signature)?;

        let header = Members::parse(&header, Refusal::HeaderNotJson)?;
        let algorithm = match header.text("alg")? {
            "ES256" => Algorithm::Es256,
            "ES256K" => Algorithm::Es256k,
            _ => return Err(Refusal::WrongAlgorithm),
        };
        header.absent_or("typ", "JWT", Refusal::WrongType)?;
        header.absent_or("kid", "#atproto", Refusal::WrongKeyId)?;
        if header.0.contains_key("crit") {
            return Err(Refusal::CriticalExtension);
        }

        let claims = Members::parse(&claims, Refusal::ClaimsNotJson)?;
        Ok(Self {
            issuer: claims.text("iss")?.parse().map_err(|_| Refusal::WrongIssuer)?,
            algorithm,
            text,
            signed,
            signature: jose_signature(&signature)?,
            expires: claims.seconds("exp")?.ok_or(Refusal::Missing("exp"))?,
            not_before: claims.seconds("nbf")?,
            audience: claims.text("aud")?.to_owned(),
            method: claims.text("lxm")?.to_owned(),
        })
    }

    /// Checks the claims: the audience is one of `audiences`, the method is `nsid`, and the token is valid at
    /// `now`, in seconds since 1970.
    pub(crate) fn check(&self, audiences: &Audiences, nsid: &str, now: i64) -> Result<(), Refusal> {
        if !audiences.taken.contains(&self.audience) {
            return Err(Refusal::WrongAudience(Arc::clone(&audiences.named)));
        }
        if self.method != nsid {
            return Err(Refusal::WrongMethod);
        }
        if now > self.expires.saturating_add(LEEWAY_S) {
            return Err(Refusal::Expired);
        }
        if self.expires > now.saturating_add(MAX_AHEAD_S + LEEWAY_S) {
            return Err(Refusal::TooFarAhead);
        }
        if self.not_before.is_some_and(|start| now.saturating_add(LEEWAY_S) < start) {
            return Err(Refusal::NotYetValid);
        }
        Ok(())
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::NotAJwt)
}

fn jose_signature(bytes: &[u8]) -> Result<[u8; SIGNATURE_BYTES], Refusal> {
    bytes.try_into().map_err(|_| {
        // DER starts with SEQUENCE (0x30) and the number of bytes that follow.
        let is_der =
            DER_BYTES.contains(&bytes.len()) && bytes[0] == 0x30 && usize::from(bytes[1]) == bytes.len() - 2;
        if is_der { Refusal::DerSignature } else { Refusal::SignatureLength }
    })
}

/// A JSON object without duplicate names: two parsers could use different values of a duplicate. A member
/// that no rule reads has the value `null` here.
struct Members(Map<String, Value>);

/// The members that a rule reads, of the header and of the claims. Others may hold what a [`Value`] can't: a
/// lone surrogate, a number out of range, any depth.
const READ: [&str; 9] = ["alg", "typ", "kid", "crit", "iss", "aud", "lxm", "exp", "nbf"];

/// The start of serde_json's error for a duplicate name.
const DUPLICATE: &str = "duplicate member";

impl Members {
    fn parse(json: &[u8], otherwise: Refusal) -> Result<Self, Refusal> {
        serde_json::from_slice(json).map_err(|error| {
            if error.to_string().starts_with(DUPLICATE) { Refusal::Duplicate } else { otherwise }
        })
    }

    fn text(&self, name: &'static str) -> Result<&str, Refusal> {
        let value = self.0.get(name).ok_or(Refusal::Missing(name))?;
        value.as_str().ok_or(Refusal::NotText(name))
    }

    /// A NumericDate (RFC 7519, section 2) in whole seconds, rounded down.
    fn seconds(&self, name: &'static str) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds = value.as_i64().or_else(|| value.as_f64().map(whole_seconds));
        seconds.map(Some).ok_or(Refusal::NotNumber(name))
    }

    fn absent_or(&self, name: &str, expected: &str, otherwise: Refusal) -> Result<(), Refusal> {
        match self.0.get(name) {
            Some(value) if value != expected => Err(otherwise),
            Some(_) | None => Ok(()),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a time out of range is as far away as the last in it")]
fn whole_seconds(seconds: f64) -> i64 {
    seconds.floor() as i64
}

/// Written by hand because neither a derive nor serde_json's map refuses duplicate names.
impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Map::new();
                while let Some(name) = map.next_key::<String>()? {
                    let value = if READ.contains(&name.as_str()) {
                        map.next_value()?
                    } else {
                        map.next_value::<IgnoredAny>()?;
                        Value::Null
                    };
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom(DUPLICATE));
                    }
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests;
