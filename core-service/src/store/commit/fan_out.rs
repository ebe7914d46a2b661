//! The deliveries of new events: which webhooks ask for them, and which are attempted at once.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
};
use tokio::time::Instant;
use uuid::Uuid;

use super::STATEMENT_ROWS;
use super::event_batch::{Context, Now, new_lease};
use super::holds::discord_is_held;
use super::states::{PENDING, States};
use super::targets::{self, Target};
use crate::delivery::lanes::Lane;
use crate::delivery::lease::Leased;
use crate::delivery::publication::NewEvent;
use crate::delivery::text::MuteText;
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
        let targets = targets(transaction, context, now, events).await?;
        let mut wanted: Vec<(&NewEvent, &Target)> = Vec::new();
        for new in events {
            let text = MuteText::of(&new.event.payload);
            for target in targets.get(new.event.streamer.as_str()).into_iter().flatten() {
                let config = &target.webhook.config;
                let asks = config.events.iter().any(|one| one == new.event.payload.event_type());
                if asks && !text.as_ref().is_some_and(|text| text.is_muted_by(&config.mute_words)) {
                    wanted.push((new, target));
                }
            }
        }
        let states = wanted.iter().map(|(_, target)| (target.webhook.id, fresh_state(target))).collect();
        let mut states = States::lock_or_make(transaction, states).await?;
        let to_discord = wanted.iter().any(|(_, target)| target.is_discord());
        let discord_is_held = to_discord && discord_is_held(transaction, now).await?;
        for (new, target) in wanted {
            let Some(state) = states.of_mut(target.webhook.id) else { continue };
            if state.row.disabled_at_ms.is_some() {
                continue;
            }
            if state.row.pending.cast_unsigned() >= context.settings.max_pending {
                state.row.dropped += 1;
                context.metrics.dropped.inc();
                continue;
            }
            let held = state.row.held_until_ms.is_some_and(|until| until > now.ms)
                || target.is_discord() && discord_is_held;
            let healthy = state.is_healthy();
            let (row, leased) = self.deliver(context, now, new, target, state.row.generation, held, healthy);
            state.row.pending += 1;
            state.due(row.next_at_ms.unwrap_or(now.ms));
            self.rows.push(row);
            self.leased.extend(leased);
        }
        states.store(transaction).await
    }

    /// The row of a delivery; with its lease, if there is a place for its first attempt.
    #[expect(clippy::too_many_arguments, reason = "what one delivery is made of")]
    fn deliver(
        &mut self,
        context: &Context,
        now: Now,
        new: &NewEvent,
        target: &Target,
        generation: i32,
        held: bool,
        healthy: bool,
    ) -> (delivery::Model, Option<Leased>) {
        *self.counts.entry(new.id).or_default() += 1;
        let webhook = target.webhook.id;
        let id = context.new_id(now.ms);
        let lane = Lane { webhook, origin: target.origin.clone(), healthy };
        let place = if held || context.leased.is_none() { None } else { context.lanes.reserve(&lane) };
        let mut row = delivery::Model {
            id,
            event_id: new.id,
            webhook_id: webhook,
            generation,
            state: PENDING,
            next_at_ms: Some(now.ms),
            lease: None,
            retried: false,
            attempts: 0,
            body: None,
            last_outcome: None,
            last_status: None,
            last_attempt_at_ms: None,
            ended_at_ms: None,
            created_at_ms: now.ms,
        };
        let Some(place) = place else { return (row, None) };
        let body = Bytes::from(target.body(new.event.message()));
        let lease = new_lease(context);
        row.body = Some(body.to_vec());
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
            taken: Instant::now(),
        };
        (row, Some(leased))
    }
}

/// The active webhooks of the streamers of `events`, by streamer.
async fn targets(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
    events: &[&NewEvent],
) -> Result<HashMap<String, Vec<Target>>, DbErr> {
    let streamers: BTreeSet<&str> = events.iter().map(|new| new.event.streamer.as_str()).collect();
    let streamers: Vec<&str> = streamers.into_iter().collect();
    let mut by_streamer: HashMap<String, Vec<Target>> = HashMap::new();
    for some in streamers.chunks(STATEMENT_ROWS) {
        let rows = webhook::Entity::find()
            .filter(webhook::Column::OwnerDid.is_in(some.iter().copied()))
            .filter(webhook::Column::Active.eq(true))
            .order_by_asc(webhook::Column::Id)
            .all(transaction)
            .await?;
        for target in targets::open(transaction, &context.sealer, rows, now.ms).await? {
            by_streamer.entry(target.webhook.owner.to_string()).or_default().push(target);
        }
    }
    Ok(by_streamer)
}

fn fresh_state(target: &Target) -> webhook_state::Model {
    webhook_state::Model {
        webhook_id: target.webhook.id,
        generation: 0,
        origin: target.origin.to_vec(),
        discord: target.is_discord(),
        due_at_ms: None,
        held_until_ms: None,
        held_for_secret: false,
        pending: 0,
        dropped: 0,
        last_failed: false,
        error_count: 0,
        failing_since_ms: None,
        last_triggered_at_ms: None,
        disabled_reason: None,
        disabled_at_ms: None,
        cancelling_since_ms: None,
    }
}
