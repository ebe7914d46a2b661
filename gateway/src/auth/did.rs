//! The DIDs that a caller can have: a bare did:plc or did:web, as atproto restricts them. Only their syntax
//! is checked here.

use std::fmt;
use std::str::FromStr;

/// The longest host name (RFC 1035, section 2.3.4), in bytes.
const MAX_HOST_BYTES: usize = 253;

/// The longest did:web, in bytes: the prefix, a host name and `%3A65535`. A did:plc has 32.
const MAX_DID_BYTES: usize = "did:web:".len() + MAX_HOST_BYTES + "%3A65535".len();

const PLC: &str = "did:plc:";
const WEB: &str = "did:web:";

/// A bare did:plc or did:web of at most 269 bytes. A did:web is a host name with an optional port
/// (`%3A8080`); atproto allows no path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Did(String);

/// The DID method: where the document is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Method<'a> {
    /// The PLC directory.
    Plc,
    /// On a web host.
    Web {
        /// The host as written in the DID: labels of letters, digits and `-`, without a dot at the end.
        host: &'a str,
        /// The port, if the DID has one.
        port: Option<u16>,
    },
}

/// The text is no bare did:plc or did:web.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a bare did:plc or did:web")]
pub(crate) struct UnsupportedDid;

impl Did {
    /// The text of the DID.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The DID method.
    pub(crate) fn method(&self) -> Method<'_> {
        parse(&self.0).expect("parsed by from_str")
    }
}

impl FromStr for Did {
    type Err = UnsupportedDid;

    fn from_str(text: &str) -> Result<Self, UnsupportedDid> {
        parse(text)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn parse(text: &str) -> Result<Method<'_>, UnsupportedDid> {
    if text.len() > MAX_DID_BYTES {
        return Err(UnsupportedDid);
    }
    if let Some(identifier) = text.strip_prefix(PLC) {
        return if is_made_of(identifier, b"._-") { Ok(Method::Plc) } else { Err(UnsupportedDid) };
    }
    let identifier = text.strip_prefix(WEB).ok_or(UnsupportedDid)?;
    let (host, port) = match identifier.split_once('%') {
        None => (identifier, None),
        Some((host, encoded)) => (host, Some(port(encoded)?)),
    };
    // No empty label: a final dot would make another DID of the same host.
    if host.len() > MAX_HOST_BYTES || !host.split('.').all(|label| is_made_of(label, b"-")) {
        return Err(UnsupportedDid);
    }
    Ok(Method::Web { host, port })
}

/// Parses what follows the `%` of `%3A8080`.
fn port(encoded: &str) -> Result<u16, UnsupportedDid> {
    let digits = encoded.strip_prefix("3A").or_else(|| encoded.strip_prefix("3a")).ok_or(UnsupportedDid)?;
    if digits.starts_with(['0', '+']) {
        return Err(UnsupportedDid);
    }
    digits.parse().map_err(|_| UnsupportedDid)
}

fn is_made_of(text: &str, punctuation: &[u8]) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || punctuation.contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{Did, Method, UnsupportedDid};

    #[test]
    fn callers() {
        for text in [
            "did:plc:7iza6de2dwap2sbkpav7c6c6",
            "did:web:example.com",
            "did:web:localhost",
            "did:web:localhost%3A1234",
            "did:web:localhost%3a1234",
        ] {
            let did: Did = text.parse().unwrap();
            assert_eq!(did.as_str(), text);
            assert_eq!(did.to_string(), text);
        }
    }

    /// atproto's interop vectors of DIDs whose methods no account has. The identifier of a did:plc is not
    /// checked: it need not be 24 characters of base32.
    #[test]
    fn dids_that_are_no_callers() {
        for text in [
            "did:method:val",
            "did:method:VAL",
            "did:method:val%BB",
            "did:m:v",
            "did:method::::val",
            "did:method:-:_:.:%ab",
            "did:onion:2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid",
            "did:ethr:0xb9c5714089478a327f09197987f16f9e5d936e8a",
        ] {
            assert_eq!(text.parse::<Did>(), Err(UnsupportedDid), "{text}");
        }
        assert!("did:plc:short".parse::<Did>().is_ok());
    }

    #[test]
    fn the_longest_host_and_one_more() {
        let host = "a".repeat(253);
        assert!(format!("did:web:{host}%3A65535").parse::<Did>().is_ok());
        assert!(format!("did:web:{host}a").parse::<Did>().is_err());
        assert!(format!("did:plc:{}", "a".repeat(262)).parse::<Did>().is_err());
    }

    #[test]
    fn host_and_port() {
        let did: Did = "did:web:localhost%3A1234".parse().unwrap();
        let (host, port) = ("localhost", Some(1234));
        assert_eq!(did.method(), Method::Web { host, port });
        let did: Did = "did:web:example.com".parse().unwrap();
        let (host, port) = ("example.com", None);
        assert_eq!(did.method(), Method::Web { host, port });
        let did: Did = "did:plc:7iza6de2dwap2sbkpav7c6c6".parse().unwrap();
        assert_eq!(did.method(), Method::Plc);
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in any::<String>()) {
            prop_assert!(text.parse::<Did>().is_err());
        }

        #[test]
        fn any_did_can_be_taken_apart(text in "did:(plc|web):[a-zA-Z0-9.%_:-]{0,20}(%3A[0-9]{0,6})?") {
            if let Ok(did) = text.parse::<Did>() {
                prop_assert_eq!(did.as_str(), &text);
                let is_plc = did.method() == Method::Plc;
                prop_assert_eq!(is_plc, text.starts_with("did:plc:"));
            }
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "did",
            "did:",
            "did:plc",
            "did:plc:",
            "did:web:",
            "DID:plc:abc",
            "did:PLC:abc",
            "did:plc:abc#atproto_labeler",
            "did:plc:abc?query",
            "did:plc:abc/path",
            "did:plc:abc:def",
            "did:plc:abc%41",
            "did:plc:abc ",
            " did:plc:abc",
            "did:web:example.com:user:alice",
            "did:web:example.com%2Fpath",
            "did:web:example.com%3A",
            "did:web:example.com%3A0",
            "did:web:example.com%3A080",
            "did:web:example.com%3A65536",
            "did:web:example.com%3A80%3A80",
            "did:web:%3A80",
            "did:web:user@example.com",
            "did:web:exämple.com",
            "did:web:[::1]",
            "did:web:example.com.",
            "did:web:example.com.%3A8080",
            "did:web:example..com",
            "did:web:.example.com",
            "did:web:.",
            "did:key:zQ3shZc2QzApp2oymGvQbzP8eKheVshBHbU4ZYjeXqwSKEn6N",
            "did:example:123456789abcdefghi",
        ] {
            assert_eq!(text.parse::<Did>(), Err(UnsupportedDid), "{text}");
        }
    }
}
