//! Deliveries as the owner of their webhook sees them (docs/methods.md, "Deliveries").

use std::str::FromStr;

use uuid::Uuid;

use crate::domain::cursor::Cursor;
use crate::domain::page::PageLimit;
use crate::domain::rule::Rule;

/// What has become of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryState {
    Pending,
    Delivered,
    Failed,
}

impl DeliveryState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl FromStr for DeliveryState {
    type Err = Rule;

    fn from_str(text: &str) -> Result<Self, Rule> {
        match text {
            "pending" => Ok(Self::Pending),
            "delivered" => Ok(Self::Delivered),
            "failed" => Ok(Self::Failed),
            _ => Err(Rule::DeliveryState),
        }
    }
}

/// A delivery. Times are milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShownDelivery {
    pub(crate) id: Uuid,
    pub(crate) event: Uuid,
    pub(crate) event_type: String,
    pub(crate) state: DeliveryState,
    pub(crate) created_at_ms: i64,
    pub(crate) attempts: i32,
    pub(crate) last_attempt_at_ms: Option<i64>,
    /// `None`: none is to come, or one is under way.
    pub(crate) next_attempt_at_ms: Option<i64>,
    pub(crate) last_outcome: Option<String>,
    pub(crate) last_status: Option<i32>,
}

/// One HTTP request of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShownAttempt {
    pub(crate) at_ms: i64,
    pub(crate) duration_ms: i32,
    pub(crate) outcome: String,
    pub(crate) status: Option<i32>,
    pub(crate) response: Option<String>,
}

/// A delivery with all that is kept of it.
#[derive(Debug)]
pub(crate) struct DeliveryDetails {
    pub(crate) delivery: ShownDelivery,
    pub(crate) attempts: Vec<ShownAttempt>,
    /// What was sent, or would be. `None`: it is no longer kept, or there is nothing to send.
    pub(crate) body: Option<String>,
}

/// Which of a webhook's deliveries to return.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DeliveryPageRequest {
    pub(crate) limit: PageLimit,
    /// Only deliveries after this cursor. `None`: from the newest on.
    pub(crate) after: Option<Cursor>,
    pub(crate) state: Option<DeliveryState>,
}

/// A page of deliveries, newest first.
#[derive(Debug)]
pub(crate) struct DeliveryPage {
    pub(crate) deliveries: Vec<ShownDelivery>,
    /// Events that got no delivery because too many were pending.
    pub(crate) dropped: i64,
    /// The cursor of the next page, if there is one.
    pub(crate) next: Option<Cursor>,
}
