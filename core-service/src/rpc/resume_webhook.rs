//! `OperatorService.ResumeWebhook`, for operators. No lexicon serves it.

use proto::athook::{ResumeWebhookRequest, ResumeWebhookResponse};

use super::Context;
use super::webhook_message::webhook_id;
use crate::error::Error;

/// Resumes a webhook.
///
/// # Errors
///
/// There is no such webhook; the store's other errors.
pub(super) async fn resume_webhook(
    context: &Context,
    request: ResumeWebhookRequest,
) -> Result<ResumeWebhookResponse, Error> {
    let ResumeWebhookRequest { webhook_id: id } = request;
    let id = webhook_id(&id)?;
    context.store.pause_webhook(id, false).await?;
    tracing::info!(webhook = %id, "webhook resumed");
    Ok(ResumeWebhookResponse {})
}
