//! A delivery that this process may attempt, because it holds its lease.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use super::lanes::Place;
use super::naming::Unnamed;
use super::signature::Tokens;
use crate::domain::webhook_url::WebhookUrl;

/// What one attempt needs. It is made by the transaction that takes the lease, from the webhook as it stands
/// then.
#[derive(Debug)]
pub(crate) struct Leased<B = Body> {
    pub(crate) delivery: Uuid,
    pub(crate) event: Uuid,
    pub(crate) webhook: Uuid,
    /// An outcome is written only while this is the lease in the database.
    pub(crate) lease: Uuid,
    /// The number of the attempt, from 1.
    pub(crate) attempt: u32,
    pub(crate) url: WebhookUrl,
    pub(crate) signing: Signing,
    pub(crate) body: B,
    pub(crate) place: Place,
    /// The span that published the event, if it was sampled and this process sends spans.
    pub(crate) traceparent: Option<String>,
    /// When the event was published, on the clock of this process.
    pub(crate) published: Instant,
    /// When the lease was taken: the attempt starts soon after, or not at all.
    pub(crate) taken: Instant,
}

/// The body of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    /// The same in all attempts. Empty: there is nothing to send.
    Made(Bytes),
    /// It is made once the names in it are known.
    Unnamed(Unnamed),
}

impl Body {
    /// What is stored of it.
    pub(crate) fn made(&self) -> Option<Vec<u8>> {
        match self {
            Self::Made(bytes) => Some(bytes.to_vec()),
            Self::Unnamed(_) => None,
        }
    }
}

impl<B> Leased<B> {
    /// The same with another body, and the body that it had.
    fn replace_body<C>(self, body: C) -> (Leased<C>, B) {
        let Self {
            delivery,
            event,
            webhook,
            lease,
            attempt,
            url,
            signing,
            body: before,
            place,
            traceparent,
            published,
            taken,
        } = self;
        let leased = Leased {
            delivery,
            event,
            webhook,
            lease,
            attempt,
            url,
            signing,
            body,
            place,
            traceparent,
            published,
            taken,
        };
        (leased, before)
    }

    /// The lease alone, and its body.
    pub(crate) fn take_body(self) -> (Leased<()>, B) {
        self.replace_body(())
    }
}

impl Leased<()> {
    /// The lease with its body.
    pub(crate) fn with_body(self, body: Bytes) -> Leased<Bytes> {
        self.replace_body(body).0
    }
}

/// What its first attempt sends, from the webhook as it stands now. The body is stored.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) url: WebhookUrl,
    pub(crate) signing: Signing,
    pub(crate) body: Bytes,
}

/// Whether and how a request is signed.
#[derive(Debug, Clone)]
pub(crate) enum Signing {
    /// The webhook names no secret.
    None,
    With(Tokens),
    /// The secret that the webhook names is missing or does not open: nothing may be sent.
    Unavailable,
}

/// What a claim found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClaimReport {
    /// How many leases it took.
    pub(crate) leased: usize,
    /// How many leases it found that had ended.
    pub(crate) lost: usize,
    /// Whether something is due that it left, since there was no place for it.
    pub(crate) backlog: bool,
    /// When the next delivery is due, of those that are not yet.
    pub(crate) next_due_in: Option<Duration>,
}

/// How long an attempt may wait for its start, from the lease on. Who switched a webhook off or deleted it
/// sees no request start later than this.
const START_LIMIT: Duration = Duration::from_secs(1);

/// Whether an attempt that has waited for this long since its lease was taken may start.
pub(crate) fn may_start(waited: Duration) -> bool {
    waited <= START_LIMIT
}
