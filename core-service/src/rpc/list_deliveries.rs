//! `DeliveryService.ListDeliveries`, served as `internal.athook.webhook.listDeliveries` (docs/methods.md).

use proto::athook::{ListDeliveriesRequest, ListDeliveriesResponse};

use super::delivery_message::message;
use super::webhook_target::webhook_target;
use super::{Context, caller};
use crate::delivery::shown::{DeliveryPage, DeliveryPageRequest};
use crate::domain::cursor::NotACursor;
use crate::domain::page::PageLimit;
use crate::domain::rule::field;
use crate::error::Error;

/// Lists the deliveries of one of the caller's webhooks page by page, newest first.
///
/// # Errors
///
/// The first of state, limit and cursor that is wrong; then the store's.
pub(super) async fn list_deliveries(
    context: &Context,
    request: ListDeliveriesRequest,
) -> Result<ListDeliveriesResponse, Error> {
    let ListDeliveriesRequest { caller_did, webhook_id: id, state, limit, cursor } = request;
    let owner = caller(&caller_did)?;
    let state = state.map(|text| field("state", &text)).transpose()?;
    let limit = PageLimit::of_request(limit)?;
    let after = cursor.map(|text| text.parse()).transpose().map_err(|NotACursor| Error::InvalidCursor)?;
    let request = DeliveryPageRequest { limit, after, state };
    let webhook = webhook_target(context, &owner, &id).await?;
    let page = context.store.deliveries_of(&owner, webhook, &request).await?;
    let DeliveryPage { deliveries, dropped, next } = page;
    Ok(ListDeliveriesResponse {
        deliveries: deliveries.into_iter().map(message).collect(),
        dropped: (dropped > 0).then_some(dropped),
        cursor: next.map(|cursor| cursor.to_string()),
    })
}
