//! The URL of a webhook, normalised.
//!
//! Owns the rules for the text of a URL. Which hosts, addresses and ports may be reached is decided by
//! `egress`.

use std::fmt;

use url::{Host, Url};

/// The longest URL, in bytes, as sent and as stored (docs/methods.md, createWebhook).
const MAX_BYTES: usize = 2048;

/// Which schemes a webhook's URL may have (`--allow-http`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schemes {
    Https,
    HttpsAndHttp,
}

/// A rule that a URL breaks. `Display` is for the caller and never contains the URL, which may have a
/// credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlRule {
    #[error("must be at most {MAX_BYTES} bytes")]
    Length,
    #[error("must be an absolute URL")]
    Syntax,
    #[error("must be https")]
    NotHttps,
    #[error("must be https or http")]
    NotHttpsOrHttp,
    #[error("must not have a user name or password")]
    Credentials,
}

/// An absolute URL with a host and without user name, password and fragment, normalised by the WHATWG rules
/// and without what makes no other URL of it: the final dot of the host and an empty query. As sent, a
/// lexicon `uri`. Never printed: a Discord URL has a credential in its path.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct WebhookUrl(Url);

impl WebhookUrl {
    /// Parses and normalises a URL.
    ///
    /// # Errors
    ///
    /// The rule that `text` breaks.
    pub(crate) fn parse(text: &str, schemes: Schemes) -> Result<Self, UrlRule> {
        if text.len() > MAX_BYTES {
            return Err(UrlRule::Length);
        }
        // The WHATWG parser strips or encodes U+0000 and repairs much that is not a lexicon `uri`.
        if text.contains('\0') || !is_lexicon_uri(text) {
            return Err(UrlRule::Syntax);
        }
        let mut url: Url = text.parse().map_err(|_| UrlRule::Syntax)?;
        match (url.scheme(), schemes) {
            ("https", _) | ("http", Schemes::HttpsAndHttp) => {}
            (_, Schemes::Https) => return Err(UrlRule::NotHttps),
            (_, Schemes::HttpsAndHttp) => return Err(UrlRule::NotHttpsOrHttp),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlRule::Credentials);
        }
        // The parser gives every http and https URL a host; this holds even if it did not.
        if url.host().is_none() {
            return Err(UrlRule::Syntax);
        }
        url.set_fragment(None);
        if url.query() == Some("") {
            url.set_query(None);
        }
        without_final_dot(&mut url)?;
        if url.as_str().len() > MAX_BYTES {
            return Err(UrlRule::Length);
        }
        Ok(Self(url))
    }

    /// The URL in plaintext, for reaching it, sealing it, and returning it to its owner.
    pub(crate) fn expose(&self) -> &Url {
        &self.0
    }

    /// The text of the URL in plaintext, for returning it to its owner.
    pub(crate) fn into_exposed(self) -> String {
        self.0.into()
    }
}

/// Takes the dot away that ends the host name, if there is one: it says that the name is a whole one, which
/// all names of webhooks are.
///
/// # Errors
///
/// Nothing is left of the host.
pub(super) fn without_final_dot(url: &mut Url) -> Result<(), UrlRule> {
    let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
    let bare = name.trim_end_matches('.');
    if bare.len() == name.len() {
        return Ok(());
    }
    let bare = bare.to_owned();
    url.set_host(Some(&bare)).map_err(|_| UrlRule::Syntax)
}

/// Whether `text` has the lexicon format `uri`, as the reference implementation checks it: a scheme, a colon,
/// optionally `//`, then no slash, and no white space anywhere. The characters of a scheme are left to the
/// parser.
fn is_lexicon_uri(text: &str) -> bool {
    let Some((_scheme, rest)) = text.split_once(':') else { return false };
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let is_space = |character: char| character.is_whitespace() || character == '\u{feff}';
    !rest.is_empty() && !rest.starts_with('/') && !text.contains(is_space)
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn https(text: &str) -> Result<String, UrlRule> {
        WebhookUrl::parse(text, Schemes::Https).map(|url| url.expose().to_string())
    }

    #[test]
    fn normalised() {
        for (text, stored) in [
            ("https://example.com", "https://example.com/"),
            ("HTTPS://EXAMPLE.com:443/a/../b?c#d", "https://example.com/b?c"),
            ("https://bücher.example/ä", "https://xn--bcher-kva.example/%C3%A4"),
            ("https:\\\\example.com\\a", "https://example.com/a"),
            ("https://2130706433/", "https://127.0.0.1/"),
            ("https://①②⑦.⓪.⓪.①", "https://127.0.0.1/"),
            ("https://@example.com/", "https://example.com/"),
            ("https://example.com./", "https://example.com/"),
            ("https://EXAMPLE.com.:443", "https://example.com/"),
            ("https://example.com.:8443/a.?b.", "https://example.com:8443/a.?b."),
            ("https://example.com/hook?", "https://example.com/hook"),
            ("https://example.com/hook?#", "https://example.com/hook"),
            ("https://example.com/hook??", "https://example.com/hook??"),
            ("https://example.com/hook?=", "https://example.com/hook?="),
            ("https://bücher.example。/", "https://xn--bcher-kva.example/"),
            ("https://127.0.0.1./", "https://127.0.0.1/"),
        ] {
            assert_eq!(https(text).as_deref(), Ok(stored), "{text}");
        }
    }

    #[test]
    fn broken() {
        for (text, rule) in [
            ("", UrlRule::Syntax),
            ("/path", UrlRule::Syntax),
            ("example.com", UrlRule::Syntax),
            ("https://", UrlRule::Syntax),
            ("https://?q", UrlRule::Syntax),
            ("https://./", UrlRule::Syntax),
            ("https://exa mple.com/", UrlRule::Syntax),
            ("https://example.com/\0", UrlRule::Syntax),
            ("https://example.com/a\0b", UrlRule::Syntax),
            (" https://example.com/", UrlRule::Syntax),
            ("https://example.com/ ", UrlRule::Syntax),
            ("https://example.com/\u{feff}", UrlRule::Syntax),
            ("https://exam\tple.com/", UrlRule::Syntax),
            ("https:///example.com/", UrlRule::Syntax),
            ("https:/example.com/", UrlRule::Syntax),
            ("https://[::1/", UrlRule::Syntax),
            ("https://example.com:65536/", UrlRule::Syntax),
            ("http://example.com/", UrlRule::NotHttps),
            ("ftp://example.com/", UrlRule::NotHttps),
            ("javascript:alert(1)", UrlRule::NotHttps),
            ("https://user@example.com/", UrlRule::Credentials),
            ("https://:word@example.com/", UrlRule::Credentials),
        ] {
            assert_eq!(https(text), Err(rule), "{text}");
        }
    }

    #[test]
    fn http_where_it_is_allowed() {
        let parse = |text| WebhookUrl::parse(text, Schemes::HttpsAndHttp).map(|_| ());
        assert_eq!(parse("http://example.com/"), Ok(()));
        assert_eq!(parse("https://example.com/"), Ok(()));
        assert_eq!(parse("ws://example.com/"), Err(UrlRule::NotHttpsOrHttp));
    }

    #[test]
    fn length_of_the_text_and_of_what_is_stored() {
        let base = "https://example.com/";
        let longest = format!("{base}{}", "a".repeat(MAX_BYTES - base.len()));
        assert_eq!(https(&longest), Ok(longest.clone()));
        assert_eq!(https(&format!("{longest}a")), Err(UrlRule::Length));
        // Two bytes as text, six when they are percent-encoded.
        assert_eq!(https(&format!("{base}{}", "é".repeat(400))), Err(UrlRule::Length));
        assert!(https(&format!("{base}{}", "é".repeat(300))).is_ok());
    }

    #[test]
    fn url_is_not_printed() {
        let url = WebhookUrl::parse("https://example.com/token", Schemes::Https).unwrap();
        assert_eq!(format!("{url:?}"), "[redacted]");
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(rest in "[ -~é#?/\\\\:@%.]{0,60}") {
            if let Ok(once) = https(&format!("https://{rest}")) {
                prop_assert_eq!(https(&once), Ok(once.clone()));
            }
        }

        #[test]
        fn any_text_is_refused_or_made_a_url_that_keeps_the_rules(text in any::<String>(), of_a_host: bool) {
            let text = if of_a_host { format!("https://example.com{text}") } else { text };
            if let Ok(url) = WebhookUrl::parse(&text, Schemes::HttpsAndHttp) {
                let stored = url.expose();
                prop_assert!(["https", "http"].contains(&stored.scheme()) && stored.has_host());
                prop_assert!(stored.username().is_empty() && stored.password().is_none());
                prop_assert!(stored.fragment().is_none() && stored.as_str().len() <= MAX_BYTES);
                prop_assert!(stored.as_str().is_ascii());
                let again = WebhookUrl::parse(stored.as_str(), Schemes::HttpsAndHttp);
                prop_assert_eq!(again, Ok(url));
            }
        }
    }
}
