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
use crate::delivery::lanes::Lane;
use crate::delivery::lease::{Body, Leased};
use crate::delivery::publication::NewEvent;
use crate::delivery::text::MuteText;
use crate::domain::event_type::EventType;
use crate::store::row;
use crate::store::table::{delivery, webhook, webhook_state};

/// The deliveries of new events.
#[derive(Debug, Default)]
pub(super) struct FanOut {
    pub(super) rows: Vec<delivery::Model>,
    pub(super) leased: Vec<Leased>,
    /// Deliveries of each event that has any.
    pub(super) counts: HashMap<Uuid, u32>,
}

impl FanOut {
    /// Makes the deliveries of `events`, and takes the leases of those for which there are places.
    pub(super) async fn run(
        &mut self,
        transaction: &DatabaseTransaction,
        context: &Context,
        now: Now,
        events: &[&NewEvent],
    ) -> Result<(), DbErr> {
        let webhooks = active_webhooks(transaction, context, now, events).await?;
        let mut wanted: Vec<(&NewEvent, &Receiver)> = Vec::new();
        for new in events {
            let text = MuteText::of(&new.event.payload);
            for receiver in webhooks.get(new.event.streamer.as_str()).into_iter().flatten() {
                if receiver.asks_for(new.event.payload.event_type(), text.as_ref()) {
                    wanted.push((new, receiver));
                }
            }
        }
        let states = wanted.iter().map(|(_, receiver)| (receiver.id(), state_of(receiver))).collect();
        let mut states = States::lock_or_make(transaction, states).await?;
        let to_discord = wanted.iter().any(|(_, receiver)| receiver.is_discord());
        let discord_is_held = to_discord && discord_is_held(transaction, now).await?;
        for (new, receiver) in wanted {
            let Some(state) = states.of_mut(receiver.id()) else { continue };
            if state.row.disabled_at_ms.is_some() {
                continue;
            }
            if state.row.pending.cast_unsigned() >= context.settings.max_pending {
                state.row.dropped += 1;
                context.metrics.dropped.inc();
                continue;
            }
            // Without an origin, a claim finds out whether that is paused.
            let held = state.is_paused()
                || state.row.origin.is_empty()
                || state.row.held_until_ms.is_some_and(|until| until > now.ms)
                || receiver.is_discord() && discord_is_held;
            let (row, leased) = self.deliver(context, now, new, receiver, state, held)?;
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
        new: &NewEvent,
        receiver: &Receiver,
        state: &State,
        held: bool,
    ) -> Result<(delivery::Model, Option<Leased>), DbErr> {
        *self.counts.entry(new.id).or_default() += 1;
        let webhook = receiver.id();
        let id = context.new_id(now.ms)?;
        let mut row = fresh_delivery(id, new.id, webhook, state.row.generation, now.ms);
        let target = match receiver {
            Receiver::Target(target) if !held && context.leased.is_some() => target,
            Receiver::Target(_) | Receiver::Unreadable(_) => return Ok((row, None)),
        };
        let lane = Lane { webhook, origin: target.origin.clone(), healthy: state.is_healthy() };
        let Some(place) = context.lanes.reserve(&lane) else { return Ok((row, None)) };
        let body = Body::Made(Bytes::from(target.body(new.event.message())));
        let lease = context.new_lease()?;
        row.body = body.made();
        row.lease = Some(lease);
        row.next_at_ms = Some(now.ms + context.settings.lease_ms);
        let leased = Leased {
            delivery: id,
            event: new.id,
            webhook,
            lease,
            attempt: 1,
            url: target.webhook.config.url.clone(),
            signing: target.signing.clone(),
            body,
            place,
            traceparent: new.traceparent.clone(),
            published: Instant::now(),
            taken: Instant::now(),
        };
        Ok((row, Some(leased)))
    }
}

/// An active webhook.
enum Receiver {
    Target(Target),
    /// It can't be read now. What it asks for is stored, and is looked at again when it can be.
    Unreadable(webhook::Model),
}

impl Receiver {
    fn id(&self) -> Uuid {
        match self {
            Self::Target(target) => target.webhook.id,
            Self::Unreadable(row) => row.id,
        }
    }

    /// Whether it wants events of this type that say `text`.
    fn asks_for(&self, event_type: EventType, text: Option<&MuteText>) -> bool {
        match self {
            Self::Target(target) => {
                !target.mutes(text) && target.webhook.config.events.iter().any(|one| one == event_type)
            }
            Self::Unreadable(row) => row::events(row).any(|one| one == event_type.as_str()),
        }
    }

    fn is_discord(&self) -> bool {
        match self {
            Self::Target(target) => target.is_discord(),
            Self::Unreadable(_) => false,
        }
    }
}

/// The active webhooks of the streamers of `events`, by streamer.
async fn active_webhooks(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
    events: &[&NewEvent],
) -> Result<HashMap<String, Vec<Receiver>>, DbErr> {
    let streamers: BTreeSet<&str> = events.iter().map(|new| new.event.streamer.as_str()).collect();
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
            let streamer = target.webhook.owner.to_string();
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
