//! `WebhookService.GetWebhook`, served as `place.stream.server.getWebhook` (docs/methods.md).

use proto::athook::{GetWebhookRequest, GetWebhookResponse};

use super::webhook_message::{message, webhook_id};
use super::{Context, caller};
use crate::error::Error;

/// Returns one webhook of the caller.
///
/// # Errors
///
/// No webhook of the caller has that id; the store's other errors.
pub(super) async fn get_webhook(
    context: &Context,
    request: GetWebhookRequest,
) -> Result<GetWebhookResponse, Error> {
    let GetWebhookRequest { caller_did, id } = request;
    let owner = caller(&caller_did)?;
    let webhook = context.store.webhook(&owner, webhook_id(&id)?).await?;
    Ok(GetWebhookResponse { webhook: Some(message(webhook)) })
}
