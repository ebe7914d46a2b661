//! Deliveries: from an event to a signed request, and from its outcome to what happens next.
//!
//! Everything here is pure: values in, values out. Time, random numbers and the answers of receivers are
//! handed in. docs/delivery.md is the specification.

pub(crate) mod event;
pub(crate) mod format;
pub(crate) mod outcome;
pub(crate) mod schedule;
pub(crate) mod signature;
pub(crate) mod text;
