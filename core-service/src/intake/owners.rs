//! Whose wh records count, and how many of them.

use std::str::FromStr;

/// `--record-owners`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordOwners {
    /// Those that have a secret or a webhook here.
    Known,
    All,
}

impl FromStr for RecordOwners {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "known" => Ok(Self::Known),
            "all" => Ok(Self::All),
            _ => Err("known or all"),
        }
    }
}

/// How many active wh records there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordLimits {
    pub(crate) of_owner: u32,
    pub(crate) in_all: u32,
}
