//! Transcodes JSON or a query string to a request message, and a response message to JSON.
//!
//! Driven by the shapes that [`crate::binding`] makes; no method is known by name. Checks only the shape of a
//! request: types, required fields, duplicates and U+0000. The core-service checks lengths and formats.

pub(crate) mod datetime;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod lexicon_path;
mod path;
#[cfg(test)]
mod round_trip;
