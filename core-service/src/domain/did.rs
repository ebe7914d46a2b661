//! The owner of secrets and webhooks.

use std::fmt;
use std::str::FromStr;

use super::rule::Rule;

/// The longest DID, in bytes (atproto DID specification).
const MAX_BYTES: usize = 2048;

/// A DID. Opaque here: its syntax is checked, it is never resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Did(String);

impl Did {
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

    #[test]
    fn length() {
        let longest = format!("did:plc:{}", "a".repeat(MAX_BYTES - 8));
        assert!(longest.parse::<Did>().is_ok());
        assert!(format!("{longest}a").parse::<Did>().is_err());
    }
}
