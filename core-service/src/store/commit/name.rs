//! The job that makes the body of a first attempt once the names in it are known.
//!
//! Looking names up takes up to two seconds, so the webhook is read again: the body, the URL and the tokens
//! are those of the webhook as it stands in this transaction, and if it was switched off meanwhile there is
//! none. The body is stored before it is sent, so that each attempt sends the same, whatever happens to this
//! process. The lease begins anew.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use sea_orm::{ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use super::STATEMENT_ROWS;
use super::event_batch::{Context, Now};
use super::finish::is_leased;
use super::leases::{events, locked_deliveries, store_leases};
use super::states::{State, States};
use super::targets::{self, Target, mute_text};
use crate::delivery::event::StoredEvent;
use crate::delivery::lease::Named;
use crate::delivery::naming::Naming;
use crate::store::table::{delivery, webhook};

/// Makes and stores the bodies of `namings`, in their order. `None`: there is nothing to send now, and the
/// lease is to be given back.
pub(super) async fn name(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
    namings: &[&Naming],
) -> Result<Vec<Option<Named>>, DbErr> {
    let mut states = States::lock(transaction, namings.iter().map(|one| one.webhook)).await?;
    let ids: Vec<Uuid> = namings.iter().map(|one| one.delivery).collect();
    let mut rows = locked_deliveries(transaction, &ids).await?;
    let targets = targets_of(transaction, context, now, namings).await?;
    let mut events = events(transaction, namings.iter().map(|one| one.event).collect()).await?;
    let (mut named, mut changed) = (Vec::with_capacity(namings.len()), Vec::new());
    for Naming { delivery, event, webhook, lease, names } in namings {
        let row = rows.remove(delivery).filter(|row| is_leased(row, *lease));
        let target = targets.get(webhook);
        let event = events.get_mut(event);
        let (Some(mut row), Some(state), Some(target), Some(event)) =
            (row, states.of_mut(*webhook), target, event)
        else {
            named.push(None);
            continue;
        };
        if !may_go(&row, state, target, event) {
            named.push(None);
            continue;
        }
        if let StoredEvent::Message { payload, .. } = event {
            names.put_into(payload);
        }
        let body = Bytes::from(target.body(event.says()));
        row.body = Some(body.to_vec());
        row.next_at_ms = Some(now.ms + context.settings.lease_ms);
        changed.push(row);
        let (url, signing) = (target.url.clone(), target.signing.clone());
        named.push(Some(Named { url, signing, body }));
    }
    store_leases(transaction, changed).await?;
    Ok(named)
}

/// Whether a delivery that was leased some time ago is one to attempt now. If not, the next claim judges it.
fn may_go(row: &delivery::Model, state: &State, target: &Target, event: &StoredEvent) -> bool {
    row.generation == state.row.generation
        && !state.is_paused()
        && !target.mutes(mute_text(event.says()).as_ref())
}

async fn targets_of(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
    namings: &[&Naming],
) -> Result<HashMap<Uuid, Target>, DbErr> {
    let ids: BTreeSet<Uuid> = namings.iter().map(|one| one.webhook).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let mut targets = HashMap::new();
    for some in ids.chunks(STATEMENT_ROWS) {
        let query = webhook::Entity::find().filter(webhook::Column::Id.is_in(some.iter().copied()));
        let rows = query.all(transaction).await?;
        let opened = targets::open(transaction, &context.sealer, rows, now.ms).await?;
        targets.extend(opened.targets.into_iter().map(|target| (target.id, target)));
    }
    Ok(targets)
}
