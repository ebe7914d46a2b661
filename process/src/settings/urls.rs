//! URLs among the settings. Any of them may hold a password, so what is told of one does not repeat it.

use std::str::FromStr;

use url::Url;

use super::Problems;

impl Problems {
    /// Parses a URL. `None`: it is invalid, and the problem is recorded, without the text but with an
    /// `example`.
    pub fn parse_url<T: FromStr>(&mut self, flag: &str, text: &str, example: &str) -> Option<T> {
        let url = text.trim().parse().ok();
        if url.is_none() {
            self.note(flag, format_args!("a URL with a scheme and a host, such as {example}"));
        }
        url
    }

    /// Parses an `http` or `https` URL with a host and without a user, whom nobody would use. `None`: it is
    /// something else, and the problem is recorded, with an `example`.
    pub fn http_url(&mut self, flag: &str, text: &str, example: &str) -> Option<Url> {
        let url = text.trim().parse::<Url>().ok().filter(|url| {
            let with_user = !url.username().is_empty() || url.password().is_some();
            matches!(url.scheme(), "http" | "https") && url.host().is_some() && !with_user
        });
        if url.is_none() {
            self.note(flag, format_args!("an http or https URL with a host and no user, such as {example}"));
        }
        url
    }
}
