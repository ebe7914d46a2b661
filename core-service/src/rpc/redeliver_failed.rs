//! `DeliveryService.RedeliverFailed`, served as `internal.athook.webhook.redeliverFailed` (docs/methods.md).

use proto::athook::{RedeliverFailedRequest, RedeliverFailedResponse};

use super::webhook_target::webhook_target;
use super::{Context, caller};
use crate::delivery::event::{OccurredAt, required};
use crate::error::Error;

/// Makes failed deliveries of one of the caller's webhooks due at once.
///
/// # Errors
///
/// `since` is no time; the caller has no such webhook; the store's other errors.
pub(super) async fn redeliver_failed(
    context: &Context,
    request: RedeliverFailedRequest,
) -> Result<RedeliverFailedResponse, Error> {
    let RedeliverFailedRequest { caller_did, webhook_id: id, since } = request;
    let owner = caller(&caller_did)?;
    let since = required("since", since)?;
    let since = OccurredAt::parse("since", since.seconds, since.nanos)?;
    let webhook = webhook_target(context, &owner, &id).await?;
    let count = context.store.redeliver_failed(&owner, webhook, since.unix_ms()).await?;
    Ok(RedeliverFailedResponse { count: i32::try_from(count).unwrap_or(i32::MAX) })
}
