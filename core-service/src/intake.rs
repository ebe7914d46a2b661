//! Intake: reads the network's public records and makes events of them.
//!
//! One replica of an installation reads at a time. What decides is pure: `record` (a `place.wisp.v2.wh`
//! record), `scope` and `references` (which records it is told of), `payload` (what it is told), `derive`
//! (Streamplace's events), `mirror` (what they are judged by) and `interests` (what is read at all).

#[cfg_attr(not(test), expect(dead_code, reason = "the intake role is being built on it"))]
pub(crate) mod derive;
#[cfg_attr(not(test), expect(dead_code, reason = "the intake role is being built on it"))]
pub(crate) mod event_id;
#[cfg_attr(not(test), expect(dead_code, reason = "the intake role is being built on it"))]
pub(crate) mod interests;
#[cfg_attr(not(test), expect(dead_code, reason = "the intake role is being built on it"))]
pub(crate) mod mirror;
#[cfg_attr(not(test), expect(dead_code, reason = "the intake role is being built on it"))]
pub(crate) mod payload;
#[cfg_attr(not(test), expect(dead_code, reason = "the intake role is being built on it"))]
pub(crate) mod record;
#[cfg_attr(not(test), expect(dead_code, reason = "the intake role is being built on it"))]
pub(crate) mod references;
#[cfg_attr(not(test), expect(dead_code, reason = "the intake role is being built on it"))]
pub(crate) mod repo;
pub(crate) mod scope;
