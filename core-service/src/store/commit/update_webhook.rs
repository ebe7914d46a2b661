//! The job that changes a webhook.

use sea_orm::{ActiveModelTrait as _, DatabaseTransaction, DbErr, Iterable as _, ModelTrait as _, SqlErr};
use uuid::Uuid;

use super::event_batch::Context;
use super::intake::stream_time_us;
use super::paused_origins::look_up;
use super::savepoint::ChangeError;
use super::states::States;
use super::unknown_secret;
use crate::delivery::format::Format;
use crate::domain::did::Did;
use crate::domain::webhook::Webhook;
use crate::domain::webhook_change::WebhookChange;
use crate::error::Error;
use crate::store::owned;
use crate::store::row;
use crate::store::sealer::Sealer;
use crate::store::table::webhook;

/// A change of the webhook `id`.
#[derive(Debug)]
pub(in crate::store) struct WebhookUpdate {
    pub(in crate::store) id: Uuid,
    pub(in crate::store) change: WebhookChange,
    /// When, in milliseconds since 1970-01-01T00:00:00Z.
    pub(in crate::store) at_ms: i64,
}

/// Makes the change, all of it or nothing, and returns the webhook after it.
pub(super) async fn update_webhook(
    transaction: &DatabaseTransaction,
    deliveries: &Context,
    owner: &Did,
    update: &WebhookUpdate,
) -> Result<Box<Webhook>, ChangeError> {
    let WebhookUpdate { id, change, at_ms } = update;
    let sealer = &deliveries.sealer;
    let before = owned::webhook(owner, *id).one(transaction).await?.ok_or(Error::WebhookNotFound)?;
    let (after, mut webhook) = changed(sealer, &before, change.clone(), *at_ms)?;
    let url_changed = before.url_hash != after.url_hash;
    let switched_off = before.active && !after.active;
    let secret_changed = before.secret_name != after.secret_name;
    let after = webhook::Model { since_us: since(transaction, &before, &after).await?, ..after };
    differences(before, &after).update(transaction).await.map_err(refusal)?;
    let mut states = States::lock(transaction, [*id]).await?;
    if let Some(state) = states.of_mut(*id) {
        if url_changed {
            state.row.origin = sealer.index_key.origin(&webhook.config.url).to_vec();
            state.row.discord = Format::of(webhook.config.url.expose()) == Format::Discord;
            look_up(transaction, [&mut state.row]).await?;
        }
        if secret_changed {
            state.release(deliveries.now(transaction).await?.ms);
        }
        if switched_off {
            state.cancel(*at_ms);
        }
        if change.active == Some(true) {
            state.enable();
        }
        webhook = row::with_state(webhook, &state.row);
    }
    if url_changed {
        // The old origin or the new one may be paused.
        states.find_due(transaction, [*id]).await?;
    }
    states.store(transaction).await?;
    Ok(Box::new(webhook))
}

/// From when on events are the webhook's: from now, if it was turned on or asks for more than before.
async fn since(
    transaction: &DatabaseTransaction,
    before: &webhook::Model,
    after: &webhook::Model,
) -> Result<Option<i64>, DbErr> {
    let asks_for_more = row::events(after).any(|one| row::events(before).all(|other| other != one));
    if after.active && (!before.active || asks_for_more) {
        stream_time_us(transaction).await
    } else {
        Ok(before.since_us)
    }
}

/// The row after `change`, and the webhook in it. A URL that stays is not sealed again.
fn changed(
    sealer: &Sealer,
    before: &webhook::Model,
    change: WebhookChange,
    at_ms: i64,
) -> Result<(webhook::Model, Webhook), Error> {
    let (sealed_url, url_hash) = (before.sealed_url.clone(), before.url_hash.clone());
    let before = sealer.open_webhook(before)?;
    let old_url = before.config.url.clone();
    let webhook = change.apply(before, at_ms);
    let row = if webhook.config.url == old_url {
        row::webhook(&webhook, sealed_url, url_hash)
    } else {
        sealer.webhook(&webhook)?
    };
    Ok((row, webhook))
}

/// What to write so that `before` becomes `after`: only the columns that differ, so that the others keep what
/// deliveries write there.
fn differences(before: webhook::Model, after: &webhook::Model) -> webhook::ActiveModel {
    let mut differences = webhook::ActiveModel::from(before);
    for column in webhook::Column::iter() {
        differences.set_if_not_equals(column, after.get(column));
    }
    differences
}

/// What a violated constraint means: another webhook of the owner has the URL, or no secret has the name.
fn refusal(error: DbErr) -> ChangeError {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => Error::WebhookExists.into(),
        Some(SqlErr::ForeignKeyConstraintViolation(_)) => unknown_secret().into(),
        _ => error.into(),
    }
}
