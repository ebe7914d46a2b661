//! Events for webhooks that are records, and what records refer to.

use std::collections::HashMap;

use ring::digest::{SHA256, digest};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use super::{NewRow, PUBLISHER, Writing, fits_an_index, is_its_own, stored_events};
use crate::delivery::event::Says;
use crate::intake::batch::{RecordEvent, References};
use crate::intake::record::operation_name;
use crate::store::commit::STATEMENT_ROWS;
use crate::store::commit::event_batch::Now;
use crate::store::commit::fan_out::{FanOut, Receiver, Wanted};
use crate::store::commit::targets;
use crate::store::row_of_record::ACTIVE;
use crate::store::table::{event, record_webhook, reference};

/// Bytes of payloads that are stored at once.
const PAYLOADS_BYTES: usize = 4 << 20;

impl Writing<'_> {
    /// Stores the events that are new, each with a delivery for its webhook, if that is still active. Few
    /// payloads are in memory at once.
    pub(super) async fn matched(
        &mut self,
        transaction: &DatabaseTransaction,
        events: &[&RecordEvent],
    ) -> Result<(), DbErr> {
        let mut rest = events;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |event: &&&RecordEvent| {
                bytes += event.payload.len();
                bytes <= PAYLOADS_BYTES
            };
            let fitting = rest.iter().take_while(fits).count();
            let (some, others) = rest.split_at(fitting.max(1));
            self.some_matched(transaction, some).await?;
            rest = others;
        }
        Ok(())
    }

    async fn some_matched(
        &mut self,
        transaction: &DatabaseTransaction,
        events: &[&RecordEvent],
    ) -> Result<(), DbErr> {
        let stored = stored_events(transaction, events.iter().map(|event| event.id)).await?;
        let mut new: HashMap<Uuid, &RecordEvent> = HashMap::new();
        let mut in_order = Vec::new();
        for event in events.iter().filter(|event| !stored.contains(&event.id)) {
            if new.insert(event.id, event).is_none() {
                in_order.push(*event);
            }
        }
        let mut payloads: HashMap<Uuid, String> =
            in_order.iter().map(|event| (event.id, event.payload.of(event.id))).collect();
        let webhooks = rows(transaction, &in_order).await?;
        in_order.retain(|event| {
            webhooks.get(&event.webhook).is_some_and(|row| is_its_own(row.since_us, event.time_us))
        });
        let ids: Vec<Uuid> = in_order.iter().map(|event| event.webhook).collect();
        let opened =
            targets::open_records(transaction, &self.context.sealer, &ids, &[ACTIVE], self.now.ms).await?;
        let receivers: HashMap<Uuid, Receiver> =
            opened.into_iter().map(|target| (target.id, Receiver::Target(target))).collect();
        let wanted: Vec<Wanted<'_>> = in_order
            .iter()
            .filter_map(|event| {
                let receiver = receivers.get(&event.webhook)?;
                Some(Wanted {
                    event: event.id,
                    says: Says::Record(payloads.get(&event.id)?),
                    traceparent: None,
                    stream_time_us: Some(event.time_us),
                    receiver,
                })
            })
            .collect();
        let mut fan_out = FanOut::default();
        fan_out.make(transaction, self.context, self.now, &wanted).await?;
        let rows = in_order
            .into_iter()
            .filter_map(|event| {
                let owner = &webhooks.get(&event.webhook)?.owner_did;
                let skipped = (!receivers.contains_key(&event.webhook)).then_some("inactive");
                let payload = payloads.remove(&event.id)?;
                Some(NewRow { row: row(event, payload, owner, self.now), skipped })
            })
            .collect();
        self.store(transaction, fan_out, rows).await
    }
}

/// The rows of the webhooks of `events`.
async fn rows(
    transaction: &DatabaseTransaction,
    events: &[&RecordEvent],
) -> Result<HashMap<Uuid, record_webhook::Model>, DbErr> {
    let mut rows = HashMap::new();
    for some in events.chunks(STATEMENT_ROWS) {
        let ids = some.iter().map(|event| event.webhook);
        let found = record_webhook::Entity::find().filter(record_webhook::Column::Id.is_in(ids));
        rows.extend(found.all(transaction).await?.into_iter().map(|row| (row.id, row)));
    }
    Ok(rows)
}

fn row(new: &RecordEvent, payload: String, owner: &str, now: Now) -> event::Model {
    let RecordEvent { id, webhook: _, operation, payload: _, time_us } = new;
    event::Model {
        id: *id,
        publisher: PUBLISHER.to_owned(),
        idempotency_key: id.to_string(),
        content_hash: digest(&SHA256, payload.as_bytes()).as_ref().to_vec(),
        streamer_did: owner.to_owned(),
        r#type: operation_name(*operation).to_owned(),
        occurred_at_ms: time_us / 1000,
        payload: Some(payload),
        deliveries: 0,
        created_at_ms: now.ms,
        traceparent: None,
        intake_at_ms: Some(now.ms),
    }
}

/// Writes what a record refers to now, in place of what it referred to. What is too long is left out.
pub(super) async fn replace_references(
    transaction: &DatabaseTransaction,
    now: Now,
    references: &References,
) -> Result<(), DbErr> {
    let References { did, collection, rkey, targets } = references;
    reference::Entity::delete_many()
        .filter(reference::Column::Did.eq(did.as_str()))
        .filter(reference::Column::Collection.eq(collection.as_str()))
        .filter(reference::Column::Rkey.eq(rkey.as_str()))
        .exec(transaction)
        .await?;
    let unless_there = OnConflict::columns([
        reference::Column::Did,
        reference::Column::Collection,
        reference::Column::Rkey,
        reference::Column::Target,
    ])
    .do_nothing()
    .to_owned();
    let fits = |target: &&String| fits_an_index(&[did, collection, rkey, target]);
    let targets: Vec<&String> = targets.iter().filter(fits).collect();
    for some in targets.chunks(STATEMENT_ROWS) {
        let rows = some.iter().map(|target| {
            reference::ActiveModel::from(reference::Model {
                did: did.clone(),
                collection: collection.clone(),
                rkey: rkey.clone(),
                target: (*target).clone(),
                stored_at_ms: now.ms,
            })
        });
        let insert = reference::Entity::insert_many(rows).on_conflict(unless_there.clone());
        insert.exec_without_returning(transaction).await?;
    }
    Ok(())
}
