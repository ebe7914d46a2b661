//! Deliveries: from an event to a signed request, and from its outcome to what happens next.
//!
//! Everything here is pure: values in, values out. Time, random numbers and the answers of receivers are
//! handed in. docs/delivery.md is the specification. What is stored is the store's, and requests are the
//! engine's.

pub(crate) mod backlog;
pub(crate) mod event;
pub(crate) mod finished;
pub(crate) mod format;
pub(crate) mod lanes;
pub(crate) mod lease;
pub(crate) mod metrics;
pub(crate) mod naming;
pub(crate) mod outcome;
pub(crate) mod publication;
pub(crate) mod record_rates;
pub(crate) mod sample;
pub(crate) mod schedule;
pub(crate) mod shown;
pub(crate) mod signature;
pub(crate) mod text;
pub(crate) mod wake;
