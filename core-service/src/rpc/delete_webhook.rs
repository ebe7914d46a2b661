//! `WebhookService.DeleteWebhook`, which is `place.stream.server.deleteWebhook` (METHODS.md).

use proto::athook::{DeleteWebhookRequest, DeleteWebhookResponse};

use super::webhook_message::webhook_id;
use super::{Parts, caller};
use crate::error::Error;

/// Deletes a webhook of the caller, also one whose URL can't be opened.
///
/// # Errors
///
/// There is none with that id, or it is somebody else's: the two look the same. Or what the store says.
pub(super) async fn delete_webhook(
    parts: &Parts,
    request: DeleteWebhookRequest,
) -> Result<DeleteWebhookResponse, Error> {
    let DeleteWebhookRequest { caller_did, id } = request;
    let owner = caller(&caller_did)?;
    parts.store.delete_webhook(&owner, webhook_id(&id)?).await?;
    Ok(DeleteWebhookResponse { success: true })
}
