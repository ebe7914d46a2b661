//! The field `webhook_id` of requests about deliveries: a webhook's id, or the at-uri of a wh record.

use uuid::Uuid;

use super::Context;
use super::webhook_message::webhook_id;
use crate::domain::did::Did;
use crate::error::Error;
use crate::intake::record::rkey_of;

/// The id of the webhook of `owner` that `text` names.
///
/// # Errors
///
/// [`Error::WebhookNotFound`]: `text` is neither an id nor the at-uri of a record that athook has read; or
/// the database fails. Whether the id is that of a webhook is left to the store.
pub(super) async fn webhook_target(context: &Context, owner: &Did, text: &str) -> Result<Uuid, Error> {
    if !text.starts_with("at://") {
        return webhook_id(text);
    }
    let rkey = rkey_of(text, owner).ok_or(Error::WebhookNotFound)?;
    context.store.record_id(owner, rkey).await
}
