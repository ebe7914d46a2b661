//! A method's error table: the error name for each gRPC code and reason.
//!
//! Owns the rows of the rpc's option and the names that the lexicon declares. The order in which they are
//! looked up, and the response, are in `xrpc::error`.

use std::collections::HashSet;

use proto::xrpc::{Code, Error};

use crate::error_name::ErrorName;
use crate::lexicon::schema::DeclaredError;

/// The error names of one method.
#[derive(Debug)]
pub(crate) struct ErrorTable {
    declared: Vec<String>,
    rows: Vec<Error>,
}

impl ErrorTable {
    /// Checks the `rows` of an rpc against the names that its lexicon declares.
    pub(super) fn new(
        nsid: &str,
        declared: &[DeclaredError],
        rows: Vec<Error>,
        problems: &mut Vec<String>,
    ) -> Self {
        let declared: Vec<String> = declared.iter().map(|error| error.name.clone()).collect();
        let mut seen = HashSet::new();
        for Error { code, reason, name } in &rows {
            let row = match Code::try_from(*code) {
                Ok(code) if reason.is_empty() => code.as_str_name().to_owned(),
                Ok(code) => format!("{} {reason}", code.as_str_name()),
                Err(_) => {
                    problems.push(format!("{nsid}: errors: {code} is no gRPC code"));
                    continue;
                }
            };
            if *code == i32::from(Code::Ok) {
                problems.push(format!("{nsid}: errors: {row}: OK is no failure"));
            }
            if !declared.contains(name) && !ErrorName::is_allowed_in_any_method(name) {
                problems.push(format!("{nsid}: errors: {row}: the lexicon does not declare `{name}`"));
            }
            if !seen.insert((*code, reason)) {
                problems.push(format!("{nsid}: errors: {row}: two rows for it"));
            }
        }
        Self { declared, rows }
    }

    /// The name for this gRPC code (its number) and `google.rpc.ErrorInfo.reason`.
    pub(crate) fn with_reason(&self, code: impl Into<i32>, reason: &str) -> Option<&str> {
        if reason.is_empty() {
            return None;
        }
        self.row(code.into(), reason)
    }

    /// The name for this gRPC code (its number) without a reason.
    pub(crate) fn with_code(&self, code: impl Into<i32>) -> Option<&str> {
        self.row(code.into(), "")
    }

    /// The names of all rows.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|row| row.name.as_str())
    }

    /// Whether the lexicon declares the error `name`.
    pub(crate) fn declares(&self, name: &str) -> bool {
        self.declared.iter().any(|declared| declared == name)
    }

    fn row(&self, code: i32, reason: &str) -> Option<&str> {
        let row = self.rows.iter().find(|row| row.code == code && row.reason == reason)?;
        Some(&row.name)
    }
}
