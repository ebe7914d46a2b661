//! `DeliveryService.GetDelivery`, served as `internal.athook.webhook.getDelivery` (docs/methods.md).

use proto::athook::{GetDeliveryRequest, GetDeliveryResponse};

use super::delivery_message::{attempt_message, delivery_id, message};
use super::{Context, caller};
use crate::delivery::shown::DeliveryDetails;
use crate::error::Error;

/// Returns one delivery of the caller's webhooks, with its attempts and its body.
///
/// # Errors
///
/// No webhook of the caller has a delivery with that id; the store's other errors.
pub(super) async fn get_delivery(
    context: &Context,
    request: GetDeliveryRequest,
) -> Result<GetDeliveryResponse, Error> {
    let GetDeliveryRequest { caller_did, id } = request;
    let owner = caller(&caller_did)?;
    let DeliveryDetails { delivery, attempts, body } =
        context.store.delivery(&owner, delivery_id(&id)?).await?;
    Ok(GetDeliveryResponse {
        delivery: Some(message(delivery)),
        attempts: attempts.into_iter().map(attempt_message).collect(),
        body,
    })
}
