//! DIDs: the owners of secrets and webhooks, and who did something in an event.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::rule::{BrokenField, Rule};

/// The longest DID, in bytes (atproto DID specification).
const MAX_BYTES: usize = 2048;

/// A DID. Only its syntax is checked; the core-service never resolves one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Did(String);

impl Did {
    /// Parses the DID at `path` of an event, whose method must be one of atproto's.
    ///
    /// # Errors
    ///
    /// It is no did:plc or did:web.
    pub(crate) fn of_event(path: &str, text: &str) -> Result<Self, BrokenField> {
        let did = text.parse().ok().filter(|_| text.starts_with("did:plc:") || text.starts_with("did:web:"));
        did.ok_or_else(|| Rule::PlcOrWeb { max: MAX_BYTES }.at(path))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Did {
    type Err = Rule;

    fn from_str(text: &str) -> Result<Self, Rule> {
        let rule = Rule::Did { max: MAX_BYTES };
        if text.len() > MAX_BYTES {
            return Err(rule);
        }
        let Some((method, id)) = text.strip_prefix("did:").and_then(|rest| rest.split_once(':')) else {
            return Err(rule);
        };
        let method_fits = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_lowercase());
        let id_fits = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:%-".contains(&byte));
        if !method_fits || !id_fits || id.is_empty() || id.ends_with([':', '%']) {
            return Err(rule);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Did {
    type Error = Rule;

    fn try_from(text: String) -> Result<Self, Rule> {
        text.parse()
    }
}

impl From<Did> for String {
    fn from(did: Did) -> Self {
        did.0
    }
}

/// Maps by DID are searched by text.
impl Borrow<str> for Did {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax() {
        for text in ["did:plc:ewvi7nxzyoun6zhxrhs64oiz", "did:web:localhost%3A8080", "did:web:a.example:b"] {
            assert_eq!(text.parse::<Did>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "did:",
            "did:plc",
            "did:plc:",
            "did:PLC:a",
            "DID:plc:a",
            "did:plc:a b",
            "did:plc:a:",
            "did:plc:a%",
            "did:plc:a/b",
        ] {
            assert_eq!(text.parse::<Did>(), Err(Rule::Did { max: MAX_BYTES }), "{text:?}");
        }
    }

    /// The interop test vectors of atproto.
    #[test]
    fn vectors() {
        for text in [
            "did:method:val",
            "did:method:VAL",
            "did:method:val123",
            "did:method:123",
            "did:method:val-two",
            "did:method:val_two",
            "did:method:val.two",
            "did:method:val:two",
            "did:method:val%BB",
            "did:m:v",
            "did:method::::val",
            "did:method:-",
            "did:method:-:_:.:%ab",
            "did:method:.",
            "did:method:_",
            "did:method::.",
            "did:onion:2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid",
            "did:key:zQ3shZc2QzApp2oymGvQbzP8eKheVshBHbU4ZYjeXqwSKEn6N",
            "did:ethr:0xb9c5714089478a327f09197987f16f9e5d936e8a",
        ] {
            assert!(text.parse::<Did>().is_ok(), "{text}");
        }
        for text in [
            "did",
            "didmethodval",
            "method:did:val",
            "did:method:",
            "didmethod:val",
            "did:methodval)",
            ":did:method:val",
            "did.method.val",
            "did:method:val:",
            "did:method:val%",
            "DID:method:val",
            "did:METHOD:val",
            "did:m123:val",
            "did:method:val/two",
            "did:method:val?two",
            "did:method:val#two",
        ] {
            assert!(text.parse::<Did>().is_err(), "{text}");
        }
    }

    #[test]
    fn methods_of_events() {
        let parse = |text| Did::of_event("at", text).map_err(|error| error.to_string());
        for text in ["did:plc:ewvi7nxzyoun6zhxrhs64oiz", "did:web:localhost%3A8080"] {
            assert_eq!(parse(text).unwrap().as_str(), text);
        }
        for text in [
            "",
            "alice",
            "did:key:zQ3shZc2QzApp2oymGvQbzP8eKheVshBHbU4ZYjeXqwSKEn6N",
            "did:plc:",
            "did:webs:a",
        ] {
            assert_eq!(parse(text).unwrap_err(), "at: must be a did:plc or did:web of at most 2048 bytes");
        }
    }

    #[test]
    fn length() {
        let longest = format!("did:plc:{}", "a".repeat(MAX_BYTES - 8));
        assert!(longest.parse::<Did>().is_ok());
        assert!(format!("{longest}a").parse::<Did>().is_err());
    }
}
