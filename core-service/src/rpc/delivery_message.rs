//! Converts deliveries to messages, and parses their ids.

use proto::athook;
use proto::timestamp;
use uuid::Uuid;

use super::id::id;
use crate::delivery::shown::{ShownAttempt, ShownDelivery};
use crate::error::Error;

/// `delivery` as its owner sees it.
pub(super) fn message(delivery: ShownDelivery) -> athook::Delivery {
    let ShownDelivery {
        id,
        event,
        event_type,
        state,
        created_at_ms,
        attempts,
        last_attempt_at_ms,
        next_attempt_at_ms,
        last_outcome,
        last_status,
    } = delivery;
    athook::Delivery {
        id: id.to_string(),
        event_id: event.to_string(),
        r#type: event_type,
        state: state.as_str().to_owned(),
        created_at: Some(timestamp::of_unix_ms(created_at_ms)),
        attempts,
        last_attempt_at: last_attempt_at_ms.map(timestamp::of_unix_ms),
        next_attempt_at: next_attempt_at_ms.map(timestamp::of_unix_ms),
        last_outcome,
        last_status,
    }
}

pub(super) fn attempt_message(attempt: ShownAttempt) -> athook::Attempt {
    let ShownAttempt { at_ms, duration_ms, outcome, status, response } = attempt;
    athook::Attempt { at: Some(timestamp::of_unix_ms(at_ms)), duration_ms, outcome, status, response }
}

/// Parses a delivery's id.
///
/// # Errors
///
/// [`Error::DeliveryNotFound`] for anything but the spelling that [`message`] writes, in small or
/// capital letters.
pub(super) fn delivery_id(text: &str) -> Result<Uuid, Error> {
    id(text).ok_or(Error::DeliveryNotFound)
}
