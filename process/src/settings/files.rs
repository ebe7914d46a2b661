//! The files that both services have: `--extra-ca` and `--core-token-file`. They are read again while a
//! service runs ([`reload`](crate::reload)).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::{Problems, optional_file, optional_secret_file};

/// The paths of the files that both services have.
#[derive(Debug, Clone)]
pub struct SharedFiles {
    pub(super) extra_ca: Option<String>,
    pub(super) core_token: Option<String>,
}

/// What is in them.
#[derive(Debug, Clone, Default)]
pub struct SharedTrust {
    /// The PEM text of `--extra-ca`.
    pub extra_ca: Option<String>,
    /// The lines of `--core-token-file`. Empty: no token.
    pub core_tokens: Vec<CoreToken>,
}

impl SharedFiles {
    /// Reads the files. `None`: one can't be used, and the problem is recorded.
    pub fn read(&self, problems: &mut Problems) -> Option<SharedTrust> {
        let extra_ca = optional_file(problems, "--extra-ca", self.extra_ca.clone());
        let core_tokens = core_tokens(problems, self.core_token.clone());
        Some(SharedTrust { extra_ca: extra_ca?, core_tokens: core_tokens? })
    }

    /// Reads the files again. What can't be used stays as it was `before`, and the problem is recorded.
    pub fn read_again(&self, before: &SharedTrust, problems: &mut Problems) -> SharedTrust {
        let extra_ca = optional_file(problems, "--extra-ca", self.extra_ca.clone());
        let core_tokens = core_tokens(problems, self.core_token.clone());
        SharedTrust {
            extra_ca: extra_ca.unwrap_or_else(|| before.extra_ca.clone()),
            core_tokens: core_tokens.unwrap_or_else(|| before.core_tokens.clone()),
        }
    }

    /// Those that are set.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> {
        [&self.extra_ca, &self.core_token].into_iter().flatten().map(PathBuf::from)
    }
}

/// A token that the gateway sends to the core-service. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct CoreToken(String);

impl CoreToken {
    /// The token in clear, for the `authorization` header.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for CoreToken {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() < CORE_TOKEN_MIN_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a token is at least 16 bytes of printable ASCII without space");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for CoreToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The shortest shared token, in bytes: shorter ones could be guessed.
const CORE_TOKEN_MIN_BYTES: usize = 16;

/// Reads `--core-token-file`, a token on each line. An empty list: not set. `None`: the file can't be used,
/// and the problem is recorded.
pub fn core_tokens(problems: &mut Problems, path: Option<String>) -> Option<Vec<CoreToken>> {
    const FLAG: &str = "--core-token-file";
    let Some(text) = optional_secret_file(problems, FLAG, path)? else { return Some(Vec::new()) };
    let mut tokens = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match line.trim().parse() {
            Ok(token) => tokens.push(token),
            Err(rule) => {
                problems.note(FLAG, format_args!("line {}: {rule}", index + 1));
                return None;
            }
        }
    }
    if tokens.is_empty() {
        problems.note(FLAG, "the file has no token");
        return None;
    }
    Some(tokens)
}
