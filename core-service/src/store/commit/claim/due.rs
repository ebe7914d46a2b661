//! What is due of the webhooks of a claim, and what it says.

use std::collections::{BTreeSet, HashMap};

use sea_orm::sea_query::{Asterisk, Expr, Query, UnionType};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseTransaction, DbErr, EntityTrait as _,
    FromQueryResult as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, QueryTrait as _,
};
use uuid::Uuid;

use super::Claim;
use crate::delivery::event::StoredEvent;
use crate::delivery::lease::Leased;
use crate::store::commit::STATEMENT_ROWS;
use crate::store::commit::event_batch::Now;
use crate::store::commit::leases::events;
use crate::store::table::{delivery, event};

/// Ended leases of one webhook that one claim writes as lost.
const ENDED_LEASES: usize = 32;

/// Finds what is due of each claim, first attempts before others.
pub(super) async fn find_due_deliveries(
    transaction: &DatabaseTransaction,
    now: Now,
    claims: &mut [Claim<'_>],
) -> Result<(), DbErr> {
    let wanted: Vec<_> =
        claims.iter().map(|claim| (claim.webhook(), claim.generation, claim.places.len())).collect();
    let mut due = due_deliveries(transaction, now, &wanted).await?;
    // Ended leases need no place.
    let ended: Vec<_> = wanted
        .into_iter()
        .filter(|(webhook, ..)| due.iter().any(|row| row.webhook_id == *webhook && row.lease.is_some()))
        .map(|(webhook, generation, places)| (webhook, generation, places + ENDED_LEASES))
        .collect();
    if !ended.is_empty() {
        due.retain(|row| !ended.iter().any(|(webhook, ..)| *webhook == row.webhook_id));
        due.extend(due_deliveries(transaction, now, &ended).await?);
    }
    for row in due {
        if let Some(claim) = claims.iter_mut().find(|claim| claim.webhook() == row.webhook_id) {
            claim.due.push(row);
        }
    }
    for claim in claims {
        claim.due.sort_by_key(|row| (row.retried, row.next_at_ms));
    }
    Ok(())
}

/// Deliveries that are due of webhooks, of each generation so many first attempts and so many others.
///
/// Each webhook has a part of the statement, which reads the beginning of its index: it may have a hundred
/// thousand.
async fn due_deliveries(
    transaction: &DatabaseTransaction,
    now: Now,
    wanted: &[(Uuid, i32, usize)],
) -> Result<Vec<delivery::Model>, DbErr> {
    let mut parts = Vec::new();
    for (webhook, generation, limit) in wanted {
        for retried in [false, true] {
            let part = delivery::Entity::find()
                .filter(delivery::Column::WebhookId.eq(*webhook))
                .filter(delivery::Column::Generation.eq(*generation))
                .filter(delivery::Column::Retried.eq(retried))
                .filter(delivery::Column::NextAtMs.lte(now.ms))
                .order_by_asc(delivery::Column::NextAtMs)
                .limit(*limit as u64)
                .into_query();
            // SQLite takes no limit in a part of a union, unless it is a subquery.
            parts.push(Query::select().expr(Expr::col(Asterisk)).from_subquery(part, "due").take());
        }
    }
    let mut parts = parts.into_iter();
    let Some(mut all) = parts.next() else { return Ok(Vec::new()) };
    all.unions(parts.map(|part| (UnionType::All, part)));
    let statement = transaction.get_database_backend().build(&all);
    delivery::Model::find_by_statement(statement).all(transaction).await
}

/// The events of those deliveries whose bodies are to be made, and of all whose texts may be muted.
pub(super) async fn events_of(
    transaction: &DatabaseTransaction,
    claims: &[Claim<'_>],
) -> Result<HashMap<Uuid, StoredEvent>, DbErr> {
    let mut ids = BTreeSet::new();
    for claim in claims {
        let may_be_muted = claim.target.may_mute();
        let to_attempt = claim.due.iter().filter(|row| row.lease.is_none());
        let needed = to_attempt.filter(|row| may_be_muted || row.attempts == 0 || row.body.is_none());
        ids.extend(needed.map(|row| row.event_id));
    }
    events(transaction, ids).await
}

/// Finds the spans that published the events of what was leased.
pub(super) async fn find_traceparents(
    transaction: &DatabaseTransaction,
    leased: &mut [Leased],
) -> Result<(), DbErr> {
    let ids: BTreeSet<Uuid> = leased.iter().map(|one| one.event).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let mut traceparents: HashMap<Uuid, String> = HashMap::new();
    for some in ids.chunks(STATEMENT_ROWS) {
        let found = event::Entity::find()
            .select_only()
            .columns([event::Column::Id, event::Column::Traceparent])
            .filter(event::Column::Id.is_in(some.iter().copied()))
            .filter(event::Column::Traceparent.is_not_null());
        let rows: Vec<(Uuid, String)> = found.into_tuple().all(transaction).await?;
        traceparents.extend(rows);
    }
    for one in leased {
        one.traceparent = traceparents.get(&one.event).cloned();
    }
    Ok(())
}
