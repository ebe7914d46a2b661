//! `WebhookService.GetWebhook`, which is `place.stream.server.getWebhook` (METHODS.md).

use proto::athook::{GetWebhookRequest, GetWebhookResponse};

use super::webhook_message::{message, webhook_id};
use super::{Parts, caller};
use crate::error::Error;

/// One webhook of the caller.
///
/// # Errors
///
/// There is none with that id, or it is somebody else's: the two look the same. Or what the store says.
pub(super) async fn get_webhook(
    parts: &Parts,
    request: GetWebhookRequest,
) -> Result<GetWebhookResponse, Error> {
    let GetWebhookRequest { caller_did, id } = request;
    let owner = caller(&caller_did)?;
    let webhook = parts.store.webhook(&owner, webhook_id(&id)?).await?;
    Ok(GetWebhookResponse { webhook: Some(message(webhook)) })
}
