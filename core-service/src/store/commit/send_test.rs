//! The job that makes a delivery of a sample event.

use std::collections::BTreeMap;

use process::traces::TraceContext;
use sea_orm::{ActiveModelTrait as _, DatabaseTransaction};
use uuid::Uuid;

use super::event_batch::{Context, Now};
use super::publish;
use super::savepoint::ChangeError;
use super::states::{States, fresh_delivery, fresh_state};
use crate::delivery::event::{Event, OccurredAt};
use crate::delivery::format::Format;
use crate::delivery::publication::NewEvent;
use crate::delivery::sample;
use crate::domain::did::Did;
use crate::domain::event_type::EventType;
use crate::domain::rule::field;
use crate::error::Error;
use crate::store::owned;
use crate::store::table::delivery;

/// Stores a sample event with a delivery for the webhook `id` of `owner`, also if it is off and whatever it
/// asks for. Returns the delivery's id.
pub(super) async fn send_test(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
    owner: &Did,
    id: Uuid,
    event_type: Option<EventType>,
    trace: &TraceContext,
) -> Result<Uuid, ChangeError> {
    let row = owned::webhook(owner, id).one(transaction).await?.ok_or(Error::WebhookNotFound)?;
    let config = context.sealer.open_webhook(&row)?.config;
    let event_type = event_type.or_else(|| config.events.iter().next()).unwrap_or(EventType::Chat);
    let event = new_event(context, now, owner, event_type, trace)?;
    let stored = publish::row(&event, now, 1).insert(transaction).await?;

    let origin = context.sealer.index_key.origin(&config.url).to_vec();
    let fresh = fresh_state(id, origin, Format::of(config.url.expose()) == Format::Discord);
    let mut states = States::lock_or_make(transaction, BTreeMap::from([(id, fresh)])).await?;
    let state = states.of_mut(id).ok_or(Error::Internal)?;
    let made = fresh_delivery(context.new_id(now.ms)?, stored.id, id, state.row.generation, now.ms);
    let made = delivery::ActiveModel::from(made).insert(transaction).await?;
    state.row.pending += 1;
    state.due(now.ms);
    states.store(transaction).await?;
    Ok(made.id)
}

fn new_event(
    context: &Context,
    now: Now,
    streamer: &Did,
    event_type: EventType,
    trace: &TraceContext,
) -> Result<NewEvent, ChangeError> {
    let id = context.new_id(now.ms)?;
    let event = Event {
        publisher: field("publisher", sample::PUBLISHER).map_err(Error::from)?,
        idempotency_key: field("idempotency_key", &format!("test-{id}")).map_err(Error::from)?,
        streamer: streamer.clone(),
        occurred_at: OccurredAt::of_unix_ms(now.ms),
        payload: sample::sample(event_type, streamer),
    };
    Ok(NewEvent { id, content_hash: event.content_hash(), event, traceparent: trace.sampled_traceparent() })
}
