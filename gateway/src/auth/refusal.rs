//! Why a caller is refused: one variant for each rule, with the message for the client.
//!
//! The messages contain nothing of the token, of a document or from the network.

use std::sync::Arc;

use http::HeaderValue;

/// The rule of service auth that a request breaks. `Display` is the message for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    // The header.
    #[error("a service-auth token is needed: Authorization: Bearer <JWT>")]
    MissingToken,
    #[error("more than one Authorization header")]
    SeveralHeaders,
    #[error("the Authorization header is not of the Bearer scheme")]
    NotBearer,
    #[error("the token is longer than {0} bytes")]
    TooLong(usize),

    // The token's form.
    #[error("the token is not a JWT: three parts of base64url without padding")]
    NotAJwt,
    #[error("the header of the token is not a JSON object")]
    HeaderNotJson,
    #[error("the claims of the token are not a JSON object")]
    ClaimsNotJson,
    #[error("the token names a member of its header or a claim twice")]
    Duplicate,
    #[error("the token has no {0}")]
    Missing(&'static str),
    #[error("the {0} of the token must be a string")]
    NotText(&'static str),
    #[error("the {0} of the token must be a number")]
    NotNumber(&'static str),
    #[error("the alg of the token must be ES256K or ES256")]
    WrongAlgorithm,
    #[error("the typ of the token must be JWT or absent")]
    WrongType,
    #[error("the kid of the token must be #atproto or absent")]
    WrongKeyId,
    #[error("the token asks for extensions (crit), and none is supported")]
    CriticalExtension,
    #[error("the signature of the token is in DER form: 64 bytes in JOSE form are needed")]
    DerSignature,
    #[error("the signature of the token is not 64 bytes long")]
    SignatureLength,

    // The claims.
    #[error("the iss of the token must be a bare did:plc or did:web")]
    WrongIssuer,
    /// With the audiences that are taken, as in "a, b or c".
    #[error("wrong audience: the aud of the token must be {0}")]
    WrongAudience(Arc<str>),
    #[error("wrong method: the lxm of the token is not the method called")]
    WrongMethod,
    #[error("the token has expired")]
    Expired,
    #[error("the exp of the token is more than one hour ahead")]
    TooFarAhead,
    #[error("the token is not valid yet (nbf)")]
    NotYetValid,

    // The issuer's key.
    #[error("bad signature: it was not made with the #atproto key of the issuer")]
    BadSignature,
    #[error("the alg of the token does not fit the #atproto key of the issuer")]
    WrongCurve,
    #[error("the DID of the issuer is not known to its directory")]
    UnknownIssuer,
    #[error("the DID document of the issuer has no usable #atproto key")]
    NoKey,

    // The issuer's did:web host.
    #[error("the DID document of the issuer could not be fetched from its host")]
    HostUnreachable,
    #[error("the host of the issuer's DID document answers with a redirect, which is not followed")]
    HostRedirects,
    #[error("the host of the issuer's DID document does not answer with 200")]
    HostRefuses,
    #[error("what the host of the issuer serves is not a DID document of at most 64 KiB")]
    NotADocument,
    #[error("the DID document that the host of the issuer serves is of another DID")]
    OtherDocument,
    #[error("too many look-ups of did:web documents just now: try again later")]
    TooManyLookups,
}

impl Refusal {
    /// The value of `WWW-Authenticate` (RFC 6750, section 3). As the RFC asks, a request without a token gets
    /// no error code there.
    pub(crate) fn www_authenticate(&self) -> HeaderValue {
        let value = match self {
            Self::MissingToken | Self::NotBearer => format!("Bearer error_description=\"{self}\""),
            _ => format!("Bearer error=\"invalid_token\", error_description=\"{self}\""),
        };
        HeaderValue::from_str(&value).expect("the messages are ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::Refusal;

    #[test]
    fn the_header_says_which_rule_failed() {
        assert_eq!(
            Refusal::Expired.www_authenticate(),
            "Bearer error=\"invalid_token\", error_description=\"the token has expired\""
        );
    }

    #[test]
    fn no_error_code_without_a_token() {
        let value = Refusal::MissingToken.www_authenticate();
        let value = value.to_str().unwrap();
        assert!(value.starts_with("Bearer error_description=\"a service-auth token"));
        assert!(!value.contains("error=\""));
    }

    /// RFC 6750, section 3: no quote and no backslash in `error_description`.
    #[test]
    fn texts_need_no_escape() {
        for refusal in [
            Refusal::MissingToken,
            Refusal::SeveralHeaders,
            Refusal::NotBearer,
            Refusal::TooLong(8192),
            Refusal::NotAJwt,
            Refusal::HeaderNotJson,
            Refusal::ClaimsNotJson,
            Refusal::Duplicate,
            Refusal::Missing("exp"),
            Refusal::NotText("aud"),
            Refusal::NotNumber("exp"),
            Refusal::WrongAlgorithm,
            Refusal::WrongType,
            Refusal::WrongKeyId,
            Refusal::CriticalExtension,
            Refusal::DerSignature,
            Refusal::SignatureLength,
            Refusal::WrongIssuer,
            Refusal::WrongAudience("did:web:a.example%3A80 or did:web:a.example%3A80#x".into()),
            Refusal::WrongMethod,
            Refusal::Expired,
            Refusal::TooFarAhead,
            Refusal::NotYetValid,
            Refusal::BadSignature,
            Refusal::WrongCurve,
            Refusal::UnknownIssuer,
            Refusal::NoKey,
            Refusal::HostUnreachable,
            Refusal::HostRedirects,
            Refusal::HostRefuses,
            Refusal::NotADocument,
            Refusal::OtherDocument,
            Refusal::TooManyLookups,
        ] {
            let text = refusal.to_string();
            assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
            assert!(!text.contains(['"', '\\']), "{text}");
            assert!(refusal.www_authenticate().to_str().unwrap().contains(&text));
        }
    }
}
