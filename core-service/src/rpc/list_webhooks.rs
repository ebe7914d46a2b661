//! `WebhookService.ListWebhooks`, served as `place.stream.server.listWebhooks` (docs/methods.md).

use proto::athook::{ListWebhooksRequest, ListWebhooksResponse};

use super::webhook_message::message;
use super::{Context, caller};
use crate::domain::cursor::NotACursor;
use crate::domain::page::{Page, PageLimit, PageRequest};
use crate::domain::rule::field;
use crate::error::Error;

/// Lists the caller's webhooks page by page, newest first. A cursor may be used with other filters and
/// another limit than the page it came from.
///
/// # Errors
///
/// The first of limit, cursor and event that is wrong; then the store's.
pub(super) async fn list_webhooks(
    context: &Context,
    request: ListWebhooksRequest,
) -> Result<ListWebhooksResponse, Error> {
    let ListWebhooksRequest { caller_did, limit, cursor, active, event } = request;
    let owner = caller(&caller_did)?;
    let limit = PageLimit::of_request(limit)?;
    let after = cursor.map(|text| text.parse()).transpose().map_err(|NotACursor| Error::InvalidCursor)?;
    let event = event.map(|text| field("event", &text)).transpose()?;

    let page = context.store.webhooks(&owner, &PageRequest { limit, after, active, event }).await?;
    let Page { webhooks, next } = page;
    Ok(ListWebhooksResponse {
        webhooks: webhooks.into_iter().map(message).collect(),
        cursor: next.map(|cursor| cursor.to_string()),
    })
}
