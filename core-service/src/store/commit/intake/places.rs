//! How many webhooks that are records are active: the first ones of each owner, and the first ones of all.

use std::collections::BTreeSet;

use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};
use uuid::Uuid;

use crate::intake::owners::RecordLimits;
use crate::store::commit::states::States;
use crate::store::row_of_record::{ACTIVE, OVER_LIMIT};
use crate::store::table::record_webhook;

/// Records over the limit that are looked at for a place that has become free in all.
const NEXT_ROWS: u64 = 64;

/// Decides which valid records of `owner` are active. Returns how many of all owners are, then.
pub(super) async fn settle_owner(
    transaction: &DatabaseTransaction,
    limits: RecordLimits,
    owner: &str,
    time_us: Option<i64>,
    now_ms: i64,
) -> Result<u64, DbErr> {
    let rows: Vec<(Uuid, String, Option<String>)> = record_webhook::Entity::find()
        .select_only()
        .columns([record_webhook::Column::Id, record_webhook::Column::State, record_webhook::Column::Reason])
        .filter(record_webhook::Column::OwnerDid.eq(owner))
        .filter(record_webhook::Column::State.is_in([ACTIVE, OVER_LIMIT]))
        .order_by_asc(record_webhook::Column::Id)
        .into_tuple()
        .all(transaction)
        .await?;
    let before = rows.iter().filter(|(_, state, _)| state == ACTIVE).count();
    let active = record_webhook::Entity::find()
        .filter(record_webhook::Column::State.eq(ACTIVE))
        .count(transaction)
        .await?;
    let of_others = active.saturating_sub(before as u64);
    let room = u64::from(limits.in_all).saturating_sub(of_others);
    let (of_owner, in_all) = (limits.of_owner, limits.in_all);
    let mut active = of_others;
    for (index, (id, state, known_reason)) in rows.into_iter().enumerate() {
        let place = index as u64;
        let reason = if place >= u64::from(of_owner) {
            Some(format!("the limit of {of_owner} active records is reached"))
        } else if place >= room {
            Some(limit_of_all(in_all))
        } else {
            active += 1;
            None
        };
        match (&*state, reason) {
            (OVER_LIMIT, None) => set_state(transaction, id, ACTIVE, None, time_us).await?,
            (OVER_LIMIT, reason) if reason != known_reason => {
                set_state(transaction, id, OVER_LIMIT, reason, None).await?;
            }
            (ACTIVE, Some(reason)) => {
                set_state(transaction, id, OVER_LIMIT, Some(reason), None).await?;
                cancel(transaction, [id], now_ms, false).await?;
            }
            _ => {}
        }
    }
    Ok(active)
}

/// Why a record of an owner who has room is not active.
fn limit_of_all(in_all: u32) -> String {
    format!("the limit of {in_all} active records of all owners is reached")
}

/// Gives places that are free in all, of which `active` are not, to the records that were seen first. Returns
/// whose records they may be.
pub(super) async fn fill_free_places(
    transaction: &DatabaseTransaction,
    limits: RecordLimits,
    mut active: u64,
    time_us: Option<i64>,
    now_ms: i64,
) -> Result<BTreeSet<String>, DbErr> {
    let mut settled = BTreeSet::new();
    if active >= u64::from(limits.in_all) {
        return Ok(settled);
    }
    let next: Vec<String> = record_webhook::Entity::find()
        .select_only()
        .column(record_webhook::Column::OwnerDid)
        .filter(record_webhook::Column::State.eq(OVER_LIMIT))
        .filter(record_webhook::Column::Reason.eq(limit_of_all(limits.in_all)))
        .order_by_asc(record_webhook::Column::Id)
        .limit(NEXT_ROWS)
        .into_tuple()
        .all(transaction)
        .await?;
    for owner in next {
        if active < u64::from(limits.in_all) && !settled.contains(&owner) {
            active = settle_owner(transaction, limits, &owner, time_us, now_ms).await?;
            settled.insert(owner);
        }
    }
    Ok(settled)
}

async fn set_state(
    transaction: &DatabaseTransaction,
    id: Uuid,
    state: &str,
    reason: Option<String>,
    since_us: Option<i64>,
) -> Result<(), DbErr> {
    record_webhook::Entity::update_many()
        .col_expr(record_webhook::Column::State, Expr::val(state))
        .col_expr(record_webhook::Column::Reason, Expr::val(reason))
        .col_expr(record_webhook::Column::SinceUs, Expr::val(since_us))
        .filter(record_webhook::Column::Id.eq(id))
        .exec(transaction)
        .await
        .map(drop)
}

/// Cancels the deliveries of wh records that are not active any more. The state of one that is deleted goes
/// as well, when no delivery is left that does not say so.
pub(super) async fn cancel(
    transaction: &DatabaseTransaction,
    webhooks: impl IntoIterator<Item = Uuid>,
    now_ms: i64,
    deleted: bool,
) -> Result<(), DbErr> {
    let mut states = States::lock(transaction, webhooks).await?;
    for state in states.iter_mut() {
        state.cancel(now_ms);
        if deleted {
            state.row.cancelling_since_ms = Some(now_ms);
        }
    }
    states.store(transaction).await
}
