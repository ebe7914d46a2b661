//! `OperatorService.PauseWebhook`, for operators. No lexicon serves it.

use proto::athook::{PauseWebhookRequest, PauseWebhookResponse};

use super::Context;
use super::webhook_message::webhook_id;
use crate::error::Error;

/// Pauses a webhook.
///
/// # Errors
///
/// There is no such webhook; the store's other errors.
pub(super) async fn pause_webhook(
    context: &Context,
    request: PauseWebhookRequest,
) -> Result<PauseWebhookResponse, Error> {
    let PauseWebhookRequest { webhook_id: id } = request;
    let id = webhook_id(&id)?;
    context.store.pause_webhook(id, true).await?;
    tracing::info!(webhook = %id, "webhook paused");
    Ok(PauseWebhookResponse {})
}
