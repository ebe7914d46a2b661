//! The origin of a URL, as operators write it.

use std::fmt;
use std::str::FromStr;

use url::Url;

use super::rule::Rule;
use super::webhook_url::without_final_dot;

/// The longest text of an origin, in bytes: a host has at most 253.
const MAX_BYTES: usize = 512;

/// Scheme, host and port of http or https URLs.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Origin(String);

impl Origin {
    /// The origin in the form of the WHATWG: `https://hooks.example.com`, with the port if it is not the
    /// scheme's.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl FromStr for Origin {
    type Err = Rule;

    fn from_str(text: &str) -> Result<Self, Rule> {
        if text.len() > MAX_BYTES {
            return Err(Rule::Origin);
        }
        let mut url: Url = text.parse().map_err(|_| Rule::Origin)?;
        without_final_dot(&mut url).map_err(|_| Rule::Origin)?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none();
        if !["http", "https"].contains(&url.scheme()) || url.host().is_none() || !bare || !anonymous {
            return Err(Rule::Origin);
        }
        Ok(Self(url.origin().ascii_serialization()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_host_and_port() {
        for (text, origin) in [
            ("https://hooks.example.com", "https://hooks.example.com"),
            ("https://HOOKS.example.com:443/", "https://hooks.example.com"),
            ("https://hooks.example.com.", "https://hooks.example.com"),
            ("http://127.0.0.1:9100", "http://127.0.0.1:9100"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(text.parse::<Origin>().map(|origin| origin.0).as_deref(), Ok(origin), "{text}");
        }
    }

    #[test]
    fn anything_else() {
        for text in [
            "",
            "hooks.example.com",
            "//hooks.example.com",
            "ftp://hooks.example.com",
            "https://hooks.example.com/path",
            "https://hooks.example.com/?",
            "https://hooks.example.com?a=b",
            "https://hooks.example.com#a",
            "https://user@hooks.example.com",
            "https://:password@hooks.example.com",
            &format!("https://{}.example.com", "a".repeat(MAX_BYTES)),
        ] {
            assert_eq!(text.parse::<Origin>(), Err(Rule::Origin), "{text}");
        }
    }
}
