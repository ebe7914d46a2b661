//! Values on their way through: JSON or a query string to a request message, a response message to JSON.
//!
//! Driven by the shapes that [`crate::binding`] made; knows no method by name. Decodes shape only: types,
//! required fields, duplicates, U+0000. Lengths and formats are the core-service's to judge.

pub(crate) mod datetime;
pub(crate) mod decode;
pub(crate) mod encode;
mod path;
#[cfg(test)]
mod round_trip;
