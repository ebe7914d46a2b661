//! The job that makes a delivery of a sample event.

use std::collections::BTreeMap;

use jetstream::event::Operation;
use process::traces::TraceContext;
use ring::digest::{SHA256, digest};
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
use crate::error::{Error, log_fault};
use crate::intake::payload;
use crate::intake::record::operation_name;
use crate::intake::scope::Scope;
use crate::store::table::{delivery, event, record_webhook, webhook};
use crate::store::{owned, row_of_record};

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
    let Sample { event, origin, discord } = match owned::webhook(owner, id).one(transaction).await? {
        Some(row) => of_webhook(context, now, owner, &row, event_type, trace)?,
        None => {
            let row = owned::record(owner, id).one(transaction).await?.ok_or(Error::WebhookNotFound)?;
            of_record(context, now, &row, trace)?
        }
    };
    let stored = event.insert(transaction).await?;
    let fresh = fresh_state(id, origin, discord);
    let mut states = States::lock_or_make(transaction, BTreeMap::from([(id, fresh)])).await?;
    let state = states.of_mut(id).ok_or(Error::Internal)?;
    let made = fresh_delivery(context.new_id(now.ms)?, stored.id, id, state.row.generation, now.ms);
    let made = delivery::ActiveModel::from(made).insert(transaction).await?;
    state.row.pending += 1;
    state.due(now.ms);
    states.store(transaction).await?;
    Ok(made.id)
}

/// What a test sends, and where.
struct Sample {
    event: event::ActiveModel,
    /// A hash of scheme, host and port.
    origin: Vec<u8>,
    discord: bool,
}

fn of_webhook(
    context: &Context,
    now: Now,
    owner: &Did,
    row: &webhook::Model,
    event_type: Option<EventType>,
    trace: &TraceContext,
) -> Result<Sample, ChangeError> {
    let config = context.sealer.open_webhook(row)?.config;
    let event_type = event_type.or_else(|| config.events.iter().next()).unwrap_or(EventType::Chat);
    Ok(Sample {
        event: publish::row(&new_event(context, now, owner, event_type, trace)?, now, 1),
        origin: context.sealer.index_key.origin(&config.url).to_vec(),
        discord: Format::of(config.url.expose()) == Format::Discord,
    })
}

/// One that is not valid has no URL and can't be tested.
fn of_record(
    context: &Context,
    now: Now,
    row: &record_webhook::Model,
    trace: &TraceContext,
) -> Result<Sample, ChangeError> {
    let scope = row.scope.as_deref().and_then(|uri| Scope::parse(uri, row.backlinks));
    let scope = scope.ok_or(Error::WebhookNotFound)?;
    let opened = row_of_record::open(row, &context.sealer.keys);
    let opened = opened.map_err(|unreadable| log_fault(Error::Internal, &unreadable))?;
    let id = context.new_id(now.ms)?;
    let json =
        payload::sample(id, &scope, now.ms * 1000).map_err(|error| log_fault(Error::Internal, &error))?;
    let event = event::Model {
        id,
        publisher: sample::PUBLISHER.to_owned(),
        idempotency_key: format!("test-{id}"),
        content_hash: digest(&SHA256, json.as_bytes()).as_ref().to_vec(),
        streamer_did: row.owner_did.clone(),
        r#type: operation_name(Operation::Create).to_owned(),
        occurred_at_ms: now.ms,
        payload: Some(json),
        deliveries: 1,
        created_at_ms: now.ms,
        traceparent: trace.sampled_traceparent(),
        intake_at_ms: None,
    };
    let origin = context.sealer.index_key.origin(&opened.url).to_vec();
    Ok(Sample { event: event.into(), origin, discord: false })
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
