//! Copies one database into another, of either kind: all rows as lines of JSON, and back.
//!
//! A column that one side does not know would be lost without notice. Therefore unknown fields are refused, a
//! newer version of the format by its header, and at either end a database whose schema is not that of this
//! release.
//!
//! The export reads in one transaction that sees one moment (Postgres: REPEATABLE READ, READ ONLY). The
//! import writes in one transaction, into an empty database, so that it takes all rows or none. Neither has
//! the time limits of calls, because the other end of a pipe may be slow.
//!
//! A lease does not move: what was being attempted is due at once, and that attempt does not count
//! ([`settle`]). A receiver that has got it already knows it by its `webhook-id`.
//!
//! Owns the format ([`mod@line`]), the rules for a row ([`check`]), [`export`] and [`import`]. Opens and
//! seals nothing: sealed values stay as they are.

mod check;
pub(crate) mod export;
pub(crate) mod import;
mod intake;
mod intake_row;
pub(crate) mod line;
mod settle;

#[cfg(test)]
mod tests;

/// Rows between two log lines about the progress.
const PROGRESS_ROWS: u64 = 1_000;
