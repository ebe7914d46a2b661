//! One database into another: all rows as lines of JSON, and back.
//!
//! Owns the format ([`mod@line`]), [`export`] and [`import`]. Opens and seals nothing: what is sealed crosses as it is.

mod check;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod line;

#[cfg(test)]
mod tests;

/// How often progress is told, in rows.
const PROGRESS_ROWS: u64 = 1_000;
