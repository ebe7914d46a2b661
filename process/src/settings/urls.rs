//! URLs among the settings. Any of them may hold a password, so what is told of one does not repeat it.

use std::fmt;
use std::str::FromStr;

use url::Url;

use super::Problems;

impl Problems {
    /// Parses a URL. `None`: it is invalid, and the problem is recorded, without the text.
    pub fn parse_url<T>(&mut self, flag: &str, text: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        match text.trim().parse() {
            Ok(url) => Some(url),
            Err(error) => {
                self.note(flag, error);
                None
            }
        }
    }

    /// Parses an `http` or `https` URL with a host and without a user, whom nobody would use. `None`: it is
    /// something else, and the problem is recorded.
    pub fn http_url(&mut self, flag: &str, text: &str) -> Option<Url> {
        let url: Url = self.parse_url(flag, text)?;
        let with_user = !url.username().is_empty() || url.password().is_some();
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || with_user {
            self.note(flag, "an http or https URL with a host and no user");
            return None;
        }
        Some(url)
    }
}
