//! `DeliveryService.Redeliver`, served as `internal.athook.webhook.redeliver` (docs/methods.md).

use proto::athook::{RedeliverRequest, RedeliverResponse};

use super::delivery_message::{delivery_id, message};
use super::{Context, caller};
use crate::error::Error;

/// Makes a delivery of one of the caller's webhooks due at once.
///
/// # Errors
///
/// No webhook of the caller has a delivery with that id; its body is no longer kept; the store's other
/// errors.
pub(super) async fn redeliver(
    context: &Context,
    request: RedeliverRequest,
) -> Result<RedeliverResponse, Error> {
    let RedeliverRequest { caller_did, id } = request;
    let owner = caller(&caller_did)?;
    let delivery = context.store.redeliver(&owner, delivery_id(&id)?).await?;
    Ok(RedeliverResponse { delivery: Some(message(delivery)) })
}
