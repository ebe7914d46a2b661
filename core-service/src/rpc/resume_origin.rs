//! `OperatorService.ResumeOrigin`, for operators. No lexicon serves it.

use proto::athook::{ResumeOriginRequest, ResumeOriginResponse};

use super::Context;
use crate::domain::origin::Origin;
use crate::domain::rule::field;
use crate::error::Error;

/// Resumes all webhooks of an origin.
///
/// # Errors
///
/// `origin` is not an origin; the store's.
pub(super) async fn resume_origin(
    context: &Context,
    request: ResumeOriginRequest,
) -> Result<ResumeOriginResponse, Error> {
    let ResumeOriginRequest { origin } = request;
    let origin: Origin = field("origin", &origin)?;
    let webhooks = context.store.pause_origin(&origin, false).await?;
    // Without the origin, which is part of URLs.
    tracing::info!(webhooks, "origin resumed");
    Ok(ResumeOriginResponse { webhooks })
}
