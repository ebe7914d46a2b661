//! Which active records are not read.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Condition, Expr};
use sea_orm::{ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use crate::intake::batch::Withheld;
use crate::store::commit::STATEMENT_ROWS;
use crate::store::table::record_webhook;

/// Notes which active records are not read, and why; all others are.
pub(super) async fn withhold(transaction: &DatabaseTransaction, withheld: &[Withheld]) -> Result<(), DbErr> {
    let all = Condition::all().add(record_webhook::Column::WithheldState.is_not_null());
    set_withheld(transaction, all, None, None).await?;
    let mut by_reason: BTreeMap<(&str, &str), Vec<Uuid>> = BTreeMap::new();
    for Withheld { webhook, state, reason } in withheld {
        by_reason.entry((state, reason)).or_default().push(*webhook);
    }
    for ((state, reason), ids) in by_reason {
        for some in ids.chunks(STATEMENT_ROWS) {
            let which = Condition::all().add(record_webhook::Column::Id.is_in(some.iter().copied()));
            set_withheld(transaction, which, Some(state), Some(reason)).await?;
        }
    }
    Ok(())
}

async fn set_withheld(
    transaction: &DatabaseTransaction,
    which: Condition,
    state: Option<&str>,
    reason: Option<&str>,
) -> Result<(), DbErr> {
    record_webhook::Entity::update_many()
        .col_expr(record_webhook::Column::WithheldState, Expr::val(state))
        .col_expr(record_webhook::Column::WithheldReason, Expr::val(reason))
        .filter(which)
        .exec(transaction)
        .await
        .map(drop)
}
