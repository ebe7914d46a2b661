//! `WebhookService.DeleteWebhook`, served as `place.stream.server.deleteWebhook` (docs/methods.md).

use proto::athook::{DeleteWebhookRequest, DeleteWebhookResponse};

use super::webhook_message::webhook_id;
use super::{Context, caller};
use crate::error::Error;

/// Deletes a webhook of the caller. Its sealed URL need not open.
///
/// # Errors
///
/// No webhook of the caller has that id; the store's other errors.
pub(super) async fn delete_webhook(
    context: &Context,
    request: DeleteWebhookRequest,
) -> Result<DeleteWebhookResponse, Error> {
    let DeleteWebhookRequest { caller_did, id } = request;
    let owner = caller(&caller_did)?;
    context.store.delete_webhook(&owner, webhook_id(&id)?).await?;
    Ok(DeleteWebhookResponse { success: true })
}
