//! The deliveries of new events: which webhooks ask for them, and which are attempted at once.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
};
use tokio::time::Instant;
use uuid::Uuid;

use super::STATEMENT_ROWS;
use super::event_batch::{Context, Now};
use super::holds::discord_is_held;
use super::states::{State, States, fresh_delivery, fresh_state};
use super::targets::{self, Opened, Target};
use crate::delivery::event::Says;
use crate::delivery::lanes::Lane;
use crate::delivery::lease::{Body, Leased, Signing};
use crate::delivery::naming::Unnamed;
use crate::delivery::publication::NewEvent;
use crate::delivery::text::MuteText;
use crate::domain::event_type::EventType;
use crate::store::row;
use crate::store::table::{delivery, webhook, webhook_state};

/// Deliveries of one record's webhook that wait for its secret; more are dropped.
const MAX_WAITING_FOR_SECRET: u32 = 100;
/// Bytes that the deliveries of one record's webhook that wait would have, were all like the next one. It is
/// dropped above that.
const MAX_PENDING_BYTES: usize = 32 << 20;

/// The deliveries of new events.
#[derive(Debug, Default)]
pub(super) struct FanOut {
    pub(super) rows: Vec<delivery::Model>,
    pub(super) leased: Vec<Leased>,
    /// Deliveries of each event that has any.
    pub(super) counts: HashMap<Uuid, u32>,
}

/// One event for one webhook.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) event: Uuid,
    pub(super) says: Says<'a>,
    pub(super) traceparent: Option<&'a str>,
    /// When the network's stream had it, in microseconds; `None` of what was published.
    pub(super) stream_time_us: Option<i64>,
    pub(super) receiver: &'a Receiver,
}

impl FanOut {
    /// Makes the deliveries of `events` of streamers, and takes the leases of those for which there are
    /// places.
    pub(super) async fn run(
        &mut self,
        transaction: &DatabaseTransaction,
        context: &Context,
        now: Now,
        events: &[&NewEvent],
    ) -> Result<(), DbErr> {
        let streamers: BTreeSet<&str> = events.iter().map(|new| new.event.streamer.as_str()).collect();
        let webhooks = active_webhooks(transaction, context, now, streamers).await?;
        let mut wanted = Vec::new();
        for new in events {
            let message = new.event.message();
            let text = MuteText::of(message.payload);
            for receiver in webhooks.get(new.event.streamer.as_str()).into_iter().flatten() {
                if receiver.asks_for(message.payload.event_type(), text.as_ref()) {
                    wanted.push(Wanted {
                        event: new.id,
                        says: Says::Message(message),
                        traceparent: new.traceparent.as_deref(),
                        stream_time_us: None,
                        receiver,
                    });
                }
            }
        }
        self.make(transaction, context, now, &wanted).await
    }

    /// Makes the deliveries of `wanted`, and takes the leases of those for which there are places.
    pub(super) async fn make(
        &mut self,
        transaction: &DatabaseTransaction,
        context: &Context,
        now: Now,
        wanted: &[Wanted<'_>],
    ) -> Result<(), DbErr> {
        let states = wanted.iter().map(|one| (one.receiver.id(), state_of(one.receiver))).collect();
        let mut states = States::lock_or_make(transaction, states).await?;
        let to_discord = wanted.iter().any(|one| one.receiver.is_discord());
        let discord_is_held = to_discord && discord_is_held(transaction, now).await?;
        for one in wanted {
            let receiver = one.receiver;
            let Some(state) = states.of_mut(receiver.id()) else { continue };
            // What the network says while an account is not active is not sent later.
            let not_its_own = one.stream_time_us.is_some() && state.row.owner_paused;
            if state.row.disabled_at_ms.is_some() || not_its_own {
                continue;
            }
            let pending = state.row.pending.cast_unsigned();
            if pending >= context.settings.max_pending
                || receiver.waits_for_secret() && pending >= MAX_WAITING_FOR_SECRET
                || pending as usize * record_bytes(one.says) >= MAX_PENDING_BYTES
            {
                state.row.dropped += 1;
                context.metrics.dropped.inc();
                continue;
            }
            // Without an origin, a claim finds out whether that is paused.
            let held = state.is_paused()
                || state.row.origin.is_empty()
                || state.row.held_until_ms.is_some_and(|until| until > now.ms)
                || receiver.is_discord() && discord_is_held;
            let (row, leased) = self.deliver(context, now, one, state, held)?;
            state.row.pending += 1;
            state.due(row.next_at_ms.unwrap_or(now.ms));
            self.rows.push(row);
            self.leased.extend(leased);
        }
        states.store(transaction).await
    }

    /// The row of a delivery; with its lease, if there is a place for its first attempt.
    fn deliver(
        &mut self,
        context: &Context,
        now: Now,
        wanted: &Wanted<'_>,
        state: &State,
        held: bool,
    ) -> Result<(delivery::Model, Option<Leased>), DbErr> {
        let Wanted { event, says, traceparent, stream_time_us, receiver } = *wanted;
        *self.counts.entry(event).or_default() += 1;
        let webhook = receiver.id();
        let id = context.new_id(now.ms)?;
        let mut row = fresh_delivery(id, event, webhook, state.row.generation, now.ms);
        let target = match receiver {
            Receiver::Target(target) if !held && context.leased.is_some() => target,
            Receiver::Target(_) | Receiver::Unreadable(_) => return Ok((row, None)),
        };
        let lane = Lane { webhook, origin: target.origin.clone(), healthy: state.is_healthy() };
        let Some(place) = context.lanes.reserve(&lane) else { return Ok((row, None)) };
        if target.is_record() && context.record_rates.count(&target.owner, &target.origin).is_err() {
            // The next claim holds the webhook for as long as it must wait.
            return Ok((row, None));
        }
        let unnamed = match says {
            Says::Message(message) if stream_time_us.is_some() => Unnamed::of(message),
            Says::Message(_) | Says::Record(_) => None,
        };
        let body = match unnamed {
            Some(unnamed) => Body::Unnamed(unnamed),
            None => Body::Made(Bytes::from(target.body(says))),
        };
        let lease = context.new_lease()?;
        // That of a record is the payload of its event.
        row.body = body.made().filter(|_| !target.is_record());
        row.lease = Some(lease);
        row.next_at_ms = Some(now.ms + context.settings.lease_ms);
        let leased = Leased {
            delivery: id,
            event,
            webhook,
            lease,
            attempt: 1,
            url: target.url.clone(),
            signing: target.signing.clone(),
            body,
            place,
            traceparent: traceparent.map(str::to_owned),
            published: Instant::now(),
            taken: Instant::now(),
        };
        Ok((row, Some(leased)))
    }
}

/// Stores new deliveries.
pub(super) async fn insert_deliveries(
    transaction: &DatabaseTransaction,
    rows: Vec<delivery::Model>,
) -> Result<(), DbErr> {
    let mut rows = rows.into_iter().map(delivery::ActiveModel::from);
    while rows.len() > 0 {
        let some = rows.by_ref().take(STATEMENT_ROWS);
        delivery::Entity::insert_many(some).exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// An active webhook.
pub(super) enum Receiver {
    Target(Target),
    /// It can't be read now. What it asks for is stored, and is looked at again when it can be.
    Unreadable(webhook::Model),
}

impl Receiver {
    pub(super) fn id(&self) -> Uuid {
        match self {
            Self::Target(target) => target.id,
            Self::Unreadable(row) => row.id,
        }
    }

    /// Whether it wants events of this type that say `text`.
    pub(super) fn asks_for(&self, event_type: EventType, text: Option<&MuteText>) -> bool {
        match self {
            Self::Target(target) => !target.mutes(text) && target.asks_for(event_type),
            Self::Unreadable(row) => row::events(row).any(|one| one == event_type.as_str()),
        }
    }

    /// Whether it is a record that names a secret which is missing or does not open.
    fn waits_for_secret(&self) -> bool {
        match self {
            Self::Target(target) => target.is_record() && matches!(target.signing, Signing::Unavailable),
            Self::Unreadable(_) => false,
        }
    }

    /// From when on events of the network are its own.
    pub(super) fn since_us(&self) -> Option<i64> {
        match self {
            Self::Target(target) => target.since_us,
            Self::Unreadable(row) => row.since_us,
        }
    }

    fn is_discord(&self) -> bool {
        match self {
            Self::Target(target) => target.is_discord(),
            Self::Unreadable(_) => false,
        }
    }
}

/// The active webhooks of `streamers`, by streamer.
pub(super) async fn active_webhooks(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
    streamers: BTreeSet<&str>,
) -> Result<HashMap<String, Vec<Receiver>>, DbErr> {
    let streamers: Vec<&str> = streamers.into_iter().collect();
    let mut by_streamer: HashMap<String, Vec<Receiver>> = HashMap::new();
    for some in streamers.chunks(STATEMENT_ROWS) {
        let rows = webhook::Entity::find()
            .filter(webhook::Column::OwnerDid.is_in(some.iter().copied()))
            .filter(webhook::Column::Active.eq(true))
            .order_by_asc(webhook::Column::Id)
            .all(transaction)
            .await?;
        let Opened { targets, unreadable } =
            targets::open(transaction, &context.sealer, rows, now.ms).await?;
        for target in targets {
            let streamer = target.owner.to_string();
            by_streamer.entry(streamer).or_default().push(Receiver::Target(target));
        }
        for row in unreadable {
            by_streamer.entry(row.owner_did.clone()).or_default().push(Receiver::Unreadable(row));
        }
    }
    Ok(by_streamer)
}

fn state_of(receiver: &Receiver) -> webhook_state::Model {
    let origin = match receiver {
        Receiver::Target(target) => target.origin.to_vec(),
        Receiver::Unreadable(_) => Vec::new(),
    };
    fresh_state(receiver.id(), origin, receiver.is_discord())
}

/// The bytes of a record's payload; zero of others.
fn record_bytes(says: Says<'_>) -> usize {
    if let Says::Record(json) = says { json.len() } else { 0 }
}
