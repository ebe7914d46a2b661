//! The row that says who reads the network, until when, and how far it has got.

use std::time::Duration;

use sea_orm::sea_query::{CaseStatement, Condition, Expr, ExprTrait as _, OnConflict};
use sea_orm::{ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use crate::intake::batch::{Holder, LeaseReport, StoredStart};
use crate::store::commit::event_batch::Now;
use crate::store::commit::locks::{is_postgres, locked};
use crate::store::table::intake;
use jetstream::event::{Position, Wire};

/// The name of the one row of the table `intake`.
const STREAM: &str = "network";
/// How long a holder may be silent.
const LEASE: Duration = Duration::from_secs(30);

/// The time of the last event that was read, in microseconds since 1970; none before the first.
pub(in crate::store::commit) async fn stream_time_us(
    transaction: &DatabaseTransaction,
) -> Result<Option<i64>, DbErr> {
    let row = intake::Entity::find_by_id(STREAM).one(transaction).await?;
    Ok(row.and_then(|row| row.time_us))
}

/// Takes the lease for `holder`, or renews it. `starts`: the process has just started; on SQLite no other one
/// can be alive then.
pub(in crate::store::commit) async fn take(
    transaction: &DatabaseTransaction,
    now: Now,
    holder: Uuid,
    starts: bool,
) -> Result<LeaseReport, DbErr> {
    let first = intake::Model {
        name: STREAM.to_owned(),
        holder: None,
        epoch: 0,
        until_ms: None,
        host: None,
        wire: None,
        cursor: None,
        time_us: None,
        // Nothing is lost from now on.
        started_at_us: now.ms.saturating_mul(1000),
    };
    let unless_there = OnConflict::column(intake::Column::Name).do_nothing().to_owned();
    let insert = intake::Entity::insert(intake::ActiveModel::from(first)).on_conflict(unless_there);
    insert.exec_without_returning(transaction).await?;
    let found = locked(transaction, intake::Entity::find_by_id(STREAM)).one(transaction).await?;
    let row = found.ok_or_else(|| DbErr::RecordNotFound("the row of the intake".to_owned()))?;
    let is_mine = row.holder == Some(holder);
    let over = row.holder.is_none() || row.until_ms.is_none_or(|until| until <= now.ms);
    let of_the_dead = starts && !is_postgres(transaction);
    if !is_mine && !over && !of_the_dead {
        return Ok(LeaseReport::Elsewhere);
    }
    let epoch = if is_mine { row.epoch } else { row.epoch + 1 };
    let until_ms = now.ms.saturating_add(i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX));
    intake::Entity::update_many()
        .col_expr(intake::Column::Holder, Expr::val(holder))
        .col_expr(intake::Column::Epoch, Expr::val(epoch))
        .col_expr(intake::Column::UntilMs, Expr::val(until_ms))
        .filter(intake::Column::Name.eq(STREAM))
        .exec(transaction)
        .await?;
    Ok(LeaseReport::Held { epoch, start: start(row) })
}

fn start(row: intake::Model) -> StoredStart {
    let intake::Model { host, wire, cursor, time_us, started_at_us, .. } = row;
    let wire = match wire {
        Some(1) => Some(Wire::V1),
        Some(2) => Some(Wire::V2),
        _ => None,
    };
    match (host, wire, cursor, time_us) {
        (Some(host), Some(wire), Some(cursor), Some(time_us)) => {
            StoredStart::At(Position { host: host.into(), wire, cursor, time_us })
        }
        _ => StoredStart::Time(started_at_us),
    }
}

fn number(wire: Wire) -> i16 {
    match wire {
        Wire::V1 => 1,
        Wire::V2 => 2,
    }
}

fn is_held_by(holder: Holder) -> Condition {
    Condition::all()
        .add(intake::Column::Name.eq(STREAM))
        .add(intake::Column::Holder.eq(holder.id))
        .add(intake::Column::Epoch.eq(holder.epoch))
}

/// Ends the lease of `holder`, so that another process takes it at once.
pub(in crate::store::commit) async fn give_back(
    transaction: &DatabaseTransaction,
    holder: Holder,
) -> Result<(), DbErr> {
    intake::Entity::update_many()
        .col_expr(intake::Column::Holder, Expr::val(None::<Uuid>))
        .col_expr(intake::Column::UntilMs, Expr::val(None::<i64>))
        .filter(is_held_by(holder))
        .exec(transaction)
        .await
        .map(drop)
}

/// Ends the lease, whoever holds it: the next one begins with what is stored by then.
pub(super) async fn end(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    intake::Entity::update_many()
        .col_expr(intake::Column::Holder, Expr::val(None::<Uuid>))
        .col_expr(intake::Column::UntilMs, Expr::val(None::<i64>))
        .filter(intake::Column::Name.eq(STREAM))
        .exec(transaction)
        .await
        .map(drop)
}

/// Moves the place in the stream, never back on the same host and wire. Returns false if `holder` does not
/// read any more.
pub(super) async fn advance(
    transaction: &DatabaseTransaction,
    holder: Option<Holder>,
    position: Option<&Position>,
) -> Result<bool, DbErr> {
    let Some(holder) = holder else {
        // An operator's command: the lock alone.
        locked(transaction, intake::Entity::find_by_id(STREAM)).one(transaction).await?;
        return Ok(true);
    };
    let mut update = intake::Entity::update_many();
    update = match position {
        // For the lock, and to see whether it is held.
        None => update.col_expr(intake::Column::Epoch, Expr::val(holder.epoch)),
        Some(Position { host, wire, cursor, time_us }) => {
            // On the right of an assignment stand the columns as they were.
            let is_ahead = || {
                intake::Column::Host
                    .eq(&**host)
                    .and(intake::Column::Wire.eq(number(*wire)))
                    .and(intake::Column::Cursor.gt(*cursor))
            };
            let unless_ahead = |column: intake::Column, value: Expr| -> Expr {
                CaseStatement::new().case(is_ahead(), Expr::col(column)).finally(value).into()
            };
            update
                .col_expr(intake::Column::Host, Expr::val(host.to_string()))
                .col_expr(intake::Column::Wire, Expr::val(number(*wire)))
                .col_expr(intake::Column::Cursor, unless_ahead(intake::Column::Cursor, Expr::val(*cursor)))
                .col_expr(intake::Column::TimeUs, unless_ahead(intake::Column::TimeUs, Expr::val(*time_us)))
        }
    };
    let held = update.filter(is_held_by(holder)).exec(transaction).await?;
    Ok(held.rows_affected > 0)
}
