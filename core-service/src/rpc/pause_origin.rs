//! `OperatorService.PauseOrigin`, for operators. No lexicon serves it.

use proto::athook::{PauseOriginRequest, PauseOriginResponse};

use super::Context;
use crate::domain::origin::Origin;
use crate::domain::rule::field;
use crate::error::Error;

/// Pauses all webhooks of an origin.
///
/// # Errors
///
/// `origin` is not an origin; the store's.
pub(super) async fn pause_origin(
    context: &Context,
    request: PauseOriginRequest,
) -> Result<PauseOriginResponse, Error> {
    let PauseOriginRequest { origin } = request;
    let origin: Origin = field("origin", &origin)?;
    let webhooks = context.store.pause_origin(&origin, true).await?;
    // Without the origin, which is part of URLs.
    tracing::info!(webhooks, "origin paused");
    Ok(PauseOriginResponse { webhooks })
}
