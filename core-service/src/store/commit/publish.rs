//! The job that stores events, each with a delivery for every webhook that asks for it.
//!
//! All publications of a batch are one fan-out, so that their rows share statements. The order of locks is
//! accounts (shared), event keys, webhook states.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::sea_query::{Condition, Expr, ExprTrait as _, LockType, OnConflict};
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use uuid::Uuid;

use super::STATEMENT_ROWS;
use super::event_batch::{Context, Now};
use super::fan_out::{FanOut, insert_deliveries};
use super::locks::is_postgres;
use super::reply::Reply;
use crate::delivery::event::Event;
use crate::delivery::lease::Leased;
use crate::delivery::publication::{NewEvent, PublishResult, Published};
use crate::store::table::{account, event};

/// Events of one call.
#[derive(Debug)]
pub(in crate::store) struct Publication {
    pub(in crate::store) events: Vec<NewEvent>,
}

/// What is known of an event by its publisher and key.
#[derive(Debug, Clone, Copy)]
struct Known {
    id: Uuid,
    content_hash: [u8; 32],
    deliveries: u32,
    /// By this batch.
    is_new: bool,
}

type Key<'a> = (&'a str, &'a str);

/// What a fan-out leaves to be done after its commit.
#[derive(Debug)]
pub(super) struct FannedOut {
    pub(super) leased: Vec<Leased>,
    /// Whether deliveries are due without a lease.
    pub(super) leaves_due: bool,
}

/// Stores the events of `publications` and decides their results. Takes the leases of those deliveries for
/// which there are places.
pub(super) async fn publish(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
    publications: &mut [(&Publication, &mut Reply<Vec<Published>>)],
) -> Result<FannedOut, DbErr> {
    let events: Vec<&NewEvent> =
        publications.iter().flat_map(|(publication, _)| &publication.events).collect();
    share_accounts(transaction, events.iter().map(|new| new.event.streamer.as_str()).collect()).await?;
    let mut known = insert(transaction, now, &events).await?;
    let new: Vec<&NewEvent> = events.iter().copied().filter(|new| known[&key(new)].id == new.id).collect();
    let mut fan_out = FanOut::default();
    fan_out.run(transaction, context, now, &new).await?;
    let FanOut { leased, rows, counts } = fan_out;
    let leaves_due = leased.len() < rows.len();
    insert_deliveries(transaction, rows).await?;
    store_counts(transaction, &counts).await?;
    drop_payloads(transaction, new.iter().map(|new| new.id).filter(|id| !counts.contains_key(id))).await?;
    for new in new {
        if let Some(known) = known.get_mut(&key(new)) {
            known.deliveries = counts.get(&new.id).copied().unwrap_or(0);
        }
    }
    for (publication, reply) in publications {
        let results = publication.events.iter().map(|new| result(new, &mut known)).collect();
        reply.decide(Ok(results));
    }
    Ok(FannedOut { leaves_due, leased })
}

fn key(new: &NewEvent) -> Key<'_> {
    (new.event.publisher.as_str(), new.event.idempotency_key.as_str())
}

fn result<'a>(new: &'a NewEvent, known: &mut HashMap<Key<'a>, Known>) -> Published {
    let known = known.get_mut(&key(new)).expect("each key was inserted or read");
    let result = if known.content_hash != new.content_hash {
        PublishResult::Conflict
    } else if std::mem::take(&mut known.is_new) {
        PublishResult::Stored
    } else {
        PublishResult::Seen
    };
    let deliveries = if result == PublishResult::Conflict { 0 } else { known.deliveries };
    Published { event: known.id, result, deliveries }
}

/// Keeps the webhooks of `streamers` as they are until the commit, together with other publications.
pub(super) async fn share_accounts(
    transaction: &DatabaseTransaction,
    streamers: BTreeSet<&str>,
) -> Result<(), DbErr> {
    if !is_postgres(transaction) {
        return Ok(());
    }
    let streamers: Vec<&str> = streamers.into_iter().collect();
    for some in streamers.chunks(STATEMENT_ROWS) {
        account::Entity::find()
            .filter(account::Column::Did.is_in(some.iter().copied()))
            .order_by_asc(account::Column::Did)
            .lock(LockType::Share)
            .all(transaction)
            .await?;
    }
    Ok(())
}

/// Inserts the events whose keys are new, in the order of their keys, and returns what is known of each key
/// then. Of several events with one key the first is inserted.
async fn insert<'a>(
    transaction: &DatabaseTransaction,
    now: Now,
    events: &[&'a NewEvent],
) -> Result<HashMap<Key<'a>, Known>, DbErr> {
    let mut first: BTreeMap<Key<'a>, &NewEvent> = BTreeMap::new();
    for new in events {
        first.entry(key(new)).or_insert(new);
    }
    let unless_there = OnConflict::columns([event::Column::Publisher, event::Column::IdempotencyKey])
        .do_nothing()
        .to_owned();
    let mut written = 0;
    let rows: Vec<&NewEvent> = first.values().copied().collect();
    for some in rows.chunks(STATEMENT_ROWS) {
        let insert = event::Entity::insert_many(some.iter().map(|new| row(new, now, 0)));
        written += insert.on_conflict(unless_there.clone()).exec_without_returning(transaction).await?;
    }
    let mut known: HashMap<Key<'a>, Known> = first
        .iter()
        .map(|(key, new)| {
            let content_hash = new.content_hash;
            (*key, Known { id: new.id, content_hash, deliveries: 0, is_new: true })
        })
        .collect();
    if written == first.len() as u64 {
        return Ok(known);
    }
    for some in rows.chunks(STATEMENT_ROWS) {
        let mut any = Condition::any();
        for new in some {
            let (publisher, idempotency_key) = key(new);
            let of_publisher = event::Column::Publisher.eq(publisher);
            any = any.add(of_publisher.and(event::Column::IdempotencyKey.eq(idempotency_key)));
        }
        for row in event::Entity::find().filter(any).all(transaction).await? {
            let row_key = (row.publisher.as_str(), row.idempotency_key.as_str());
            let Some(new) = some.iter().find(|new| key(new) == row_key) else { continue };
            if let Some(known) = known.get_mut(&key(new)).filter(|known| known.id != row.id) {
                let content_hash = row.content_hash.try_into().unwrap_or_default();
                let deliveries = row.deliveries.cast_unsigned();
                *known = Known { id: row.id, content_hash, deliveries, is_new: false };
            }
        }
    }
    Ok(known)
}

/// The row of an event with so many deliveries.
pub(super) fn row(new: &NewEvent, now: Now, deliveries: i32) -> event::ActiveModel {
    let NewEvent { id, content_hash, event, traceparent } = new;
    let Event { publisher, idempotency_key, streamer, occurred_at, payload } = event;
    event::Model {
        id: *id,
        publisher: publisher.as_str().to_owned(),
        idempotency_key: idempotency_key.as_str().to_owned(),
        content_hash: content_hash.to_vec(),
        streamer_did: streamer.to_string(),
        r#type: payload.event_type().to_string(),
        occurred_at_ms: occurred_at.unix_ms(),
        payload: Some(payload.to_json()),
        deliveries,
        created_at_ms: now.ms,
        traceparent: traceparent.clone(),
        intake_at_ms: None,
    }
    .into()
}

async fn store_counts(transaction: &DatabaseTransaction, counts: &HashMap<Uuid, u32>) -> Result<(), DbErr> {
    let mut by_count: BTreeMap<u32, Vec<Uuid>> = BTreeMap::new();
    for (event, count) in counts {
        by_count.entry(*count).or_default().push(*event);
    }
    for (count, events) in by_count {
        event::Entity::update_many()
            .col_expr(event::Column::Deliveries, Expr::val(count.cast_signed()))
            .filter(event::Column::Id.is_in(events))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

/// Removes the payloads of events that nobody asked for.
async fn drop_payloads(
    transaction: &DatabaseTransaction,
    events: impl Iterator<Item = Uuid>,
) -> Result<(), DbErr> {
    let events: Vec<Uuid> = events.collect();
    if events.is_empty() {
        return Ok(());
    }
    event::Entity::update_many()
        .col_expr(event::Column::Payload, Expr::val(None::<String>))
        .filter(event::Column::Id.is_in(events))
        .exec(transaction)
        .await
        .map(drop)
}
