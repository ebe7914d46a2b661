//! What is published, and what became of it.

use uuid::Uuid;

use super::event::Event;

/// An event that is to be stored.
#[derive(Debug, Clone)]
pub(crate) struct NewEvent {
    pub(crate) id: Uuid,
    pub(crate) content_hash: [u8; 32],
    pub(crate) event: Event,
    /// The span of the call that publishes it, if that is sampled: attempts belong to the same trace.
    pub(crate) traceparent: Option<String>,
}

/// What became of a published event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) event: Uuid,
    pub(crate) result: PublishResult,
    /// How many deliveries were stored.
    pub(crate) deliveries: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PublishResult {
    Stored,
    /// It was there already.
    Seen,
    /// Another event with the same publisher and key was there already.
    Conflict,
}
