//! `OperatorService.ListBacklogs`, for operators. No lexicon serves it.

use proto::athook::{Backlog as BacklogMessage, ListBacklogsRequest, ListBacklogsResponse};
use proto::timestamp;

use super::Context;
use crate::delivery::backlog::Backlog;
use crate::domain::rule::Rule;
use crate::error::Error;

/// Backlogs of one answer, if the request does not say.
const DEFAULT_LIMIT: u32 = 20;
/// The most backlogs of one answer.
const MAX_LIMIT: u32 = 100;

/// Lists the webhooks with the most pending deliveries.
///
/// # Errors
///
/// `limit` is out of range; the store's.
pub(super) async fn list_backlogs(
    context: &Context,
    request: ListBacklogsRequest,
) -> Result<ListBacklogsResponse, Error> {
    let ListBacklogsRequest { limit } = request;
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Rule::Between { min: 1, max: MAX_LIMIT }.at("limit").into());
    }
    let backlogs = context.store.backlogs(limit).await?;
    Ok(ListBacklogsResponse { backlogs: backlogs.into_iter().map(message).collect() })
}

fn message(backlog: Backlog) -> BacklogMessage {
    let Backlog {
        webhook,
        owner,
        pending,
        oldest_due_ms,
        last_outcome,
        error_count,
        held_until_ms,
        paused,
        origin_paused,
    } = backlog;
    BacklogMessage {
        webhook_id: webhook.to_string(),
        owner_did: owner,
        pending,
        oldest_due_at: oldest_due_ms.map(timestamp::of_unix_ms),
        last_outcome,
        error_count,
        held_until: held_until_ms.map(timestamp::of_unix_ms),
        paused,
        origin_paused,
    }
}
