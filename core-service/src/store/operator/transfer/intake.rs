//! The rows of the intake's tables, which all have lines of one kind.

use std::ops::RangeInclusive;

use futures_util::TryStreamExt as _;
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel, ModelTrait,
    PaginatorTrait as _, StreamTrait,
};

use super::intake_row::IntakeRow;
use super::line::LineFault;
use crate::delivery::event::YEARS_1_TO_9999_MS;
use crate::domain::did::Did;
use crate::domain::rule::{field, storable};
use crate::store::row_of_record::{ACTIVE, DELETED, DISABLED, INVALID, OVER_LIMIT};
use crate::store::table::{
    intake, intake_gap, intake_sync, intake_unreadable, mirror, mirrored_owner, on_air, owner_status,
    recent_follow, record_webhook, reference,
};

const STATES: [&str; 5] = [ACTIVE, DISABLED, INVALID, OVER_LIMIT, DELETED];
/// 0001-01-01 to 9999-12-31 in microseconds since 1970.
const YEARS_1_TO_9999_US: RangeInclusive<i64> =
    *YEARS_1_TO_9999_MS.start() * 1000..=*YEARS_1_TO_9999_MS.end() * 1000 + 999;

/// How many rows the tables have.
pub(super) async fn count(snapshot: &impl ConnectionTrait) -> Result<u64, DbErr> {
    Ok(intake::Entity::find().count(snapshot).await?
        + intake_gap::Entity::find().count(snapshot).await?
        + intake_sync::Entity::find().count(snapshot).await?
        + intake_unreadable::Entity::find().count(snapshot).await?
        + mirror::Entity::find().count(snapshot).await?
        + mirrored_owner::Entity::find().count(snapshot).await?
        + on_air::Entity::find().count(snapshot).await?
        + recent_follow::Entity::find().count(snapshot).await?
        + owner_status::Entity::find().count(snapshot).await?
        + record_webhook::Entity::find().count(snapshot).await?
        + reference::Entity::find().count(snapshot).await?)
}

/// Gives every row to `write`, table by table.
pub(super) async fn each<E: From<DbErr>>(
    snapshot: &(impl ConnectionTrait + StreamTrait),
    mut write: impl FnMut(IntakeRow) -> Result<(), E>,
) -> Result<(), E> {
    table::<intake::Entity, E>(snapshot, |row| write(IntakeRow::Intake(row))).await?;
    table::<intake_gap::Entity, E>(snapshot, |row| write(IntakeRow::IntakeGap(row))).await?;
    table::<intake_sync::Entity, E>(snapshot, |row| write(IntakeRow::IntakeSync(row))).await?;
    table::<intake_unreadable::Entity, E>(snapshot, |row| write(IntakeRow::IntakeUnreadable(row))).await?;
    table::<mirror::Entity, E>(snapshot, |row| write(IntakeRow::Mirror(row))).await?;
    table::<mirrored_owner::Entity, E>(snapshot, |row| write(IntakeRow::MirroredOwner(row))).await?;
    table::<on_air::Entity, E>(snapshot, |row| write(IntakeRow::OnAir(row))).await?;
    table::<recent_follow::Entity, E>(snapshot, |row| write(IntakeRow::RecentFollow(row))).await?;
    table::<owner_status::Entity, E>(snapshot, |row| write(IntakeRow::OwnerStatus(row))).await?;
    let record = |row| IntakeRow::RecordWebhook(Box::new(row));
    table::<record_webhook::Entity, E>(snapshot, |row| write(record(row))).await?;
    table::<reference::Entity, E>(snapshot, |row| write(IntakeRow::Reference(row))).await
}

async fn table<T: EntityTrait, E: From<DbErr>>(
    snapshot: &(impl ConnectionTrait + StreamTrait),
    mut write: impl FnMut(T::Model) -> Result<(), E>,
) -> Result<(), E> {
    let mut rows = T::find().stream(snapshot).await?;
    while let Some(row) = rows.try_next().await? {
        write(row)?;
    }
    Ok(())
}

/// Inserts rows, those of a table together. Nobody reads the stream from the new database yet.
pub(super) async fn insert(transaction: &DatabaseTransaction, rows: Vec<IntakeRow>) -> Result<(), DbErr> {
    for row in rows {
        match row {
            IntakeRow::Intake(row) => {
                insert_row(transaction, intake::Model { holder: None, until_ms: None, ..row }).await?;
            }
            IntakeRow::IntakeGap(row) => insert_row(transaction, row).await?,
            IntakeRow::IntakeSync(row) => insert_row(transaction, row).await?,
            IntakeRow::IntakeUnreadable(row) => insert_row(transaction, row).await?,
            IntakeRow::Mirror(row) => insert_row(transaction, row).await?,
            IntakeRow::MirroredOwner(row) => insert_row(transaction, row).await?,
            IntakeRow::OnAir(row) => insert_row(transaction, row).await?,
            IntakeRow::RecentFollow(row) => insert_row(transaction, row).await?,
            IntakeRow::OwnerStatus(row) => insert_row(transaction, row).await?,
            IntakeRow::RecordWebhook(row) => insert_row(transaction, *row).await?,
            IntakeRow::Reference(row) => insert_row(transaction, row).await?,
        }
    }
    Ok(())
}

async fn insert_row<Row>(transaction: &DatabaseTransaction, row: Row) -> Result<(), DbErr>
where
    Row: ModelTrait + IntoActiveModel<<Row::Entity as EntityTrait>::ActiveModel>,
{
    let row = row.into_active_model();
    <Row::Entity as EntityTrait>::insert(row).exec_without_returning(transaction).await.map(drop)
}

/// Checks that the intake could have written `row`.
pub(super) fn check(row: &IntakeRow) -> Result<(), LineFault> {
    match row {
        IntakeRow::Intake(row) => {
            texts(&[("name", Some(&row.name)), ("host", row.host.as_ref())])?;
            times_us(&[("time_us", row.time_us), ("started_at_us", Some(row.started_at_us))])
        }
        IntakeRow::IntakeGap(row) => {
            texts(&[("host", Some(&row.host))])?;
            times_us(&[("from_us", Some(row.from_us)), ("to_us", row.to_us)])?;
            times_ms(&[("found_at_ms", Some(row.found_at_ms)), ("healed_at_ms", row.healed_at_ms)])
        }
        IntakeRow::IntakeSync(row) => {
            did("did", &row.did)?;
            texts(&[("rev", Some(&row.rev))])?;
            times_ms(&[("at_ms", Some(row.at_ms))])
        }
        IntakeRow::IntakeUnreadable(row) => {
            texts(&[("reason", Some(&row.reason))])?;
            times_ms(&[("at_ms", Some(row.at_ms))])
        }
        IntakeRow::Mirror(row) => {
            did("did", &row.did)?;
            if let Some(subject) = &row.subject {
                did("subject", subject)?;
            }
            texts(&[
                ("collection", Some(&row.collection)),
                ("rkey", Some(&row.rkey)),
                ("rev", Some(&row.rev)),
                ("detail", row.detail.as_ref()),
            ])
        }
        IntakeRow::MirroredOwner(row) => {
            did("did", &row.did)?;
            texts(&[("collection", Some(&row.collection))])?;
            times_ms(&[("listed_at_ms", Some(row.listed_at_ms))])
        }
        IntakeRow::OnAir(row) => {
            did("streamer_did", &row.streamer_did)?;
            times_us(&[("time_us", Some(row.time_us))])
        }
        IntakeRow::RecentFollow(row) => {
            did("streamer_did", &row.streamer_did)?;
            did("follower_did", &row.follower_did)?;
            times_us(&[("time_us", Some(row.time_us))])
        }
        IntakeRow::OwnerStatus(row) => {
            did("did", &row.did)?;
            texts(&[("status", row.status.as_ref())])?;
            times_us(&[("time_us", Some(row.time_us))])
        }
        IntakeRow::RecordWebhook(row) => record_webhook(row),
        IntakeRow::Reference(row) => {
            did("did", &row.did)?;
            texts(&[
                ("collection", Some(&row.collection)),
                ("rkey", Some(&row.rkey)),
                ("target", Some(&row.target)),
            ])?;
            times_ms(&[("stored_at_ms", Some(row.stored_at_ms))])
        }
    }
}

fn record_webhook(row: &record_webhook::Model) -> Result<(), LineFault> {
    did("owner_did", &row.owner_did)?;
    if !STATES.contains(&row.state.as_str()) {
        return Err(LineFault::Column { field: "state", what: "the state of a wh record" });
    }
    let has_url = [ACTIVE, DISABLED, OVER_LIMIT].contains(&row.state.as_str());
    if has_url && (row.sealed_url.is_none() || row.scope.is_none()) {
        return Err(LineFault::Column { field: "sealed_url", what: "there with a scope in this state" });
    }
    texts(&[
        ("rkey", Some(&row.rkey)),
        ("rev", Some(&row.rev)),
        ("reason", row.reason.as_ref()),
        ("withheld_state", row.withheld_state.as_ref()),
        ("withheld_reason", row.withheld_reason.as_ref()),
        ("scope", row.scope.as_ref()),
        ("events", Some(&row.events)),
        ("secret_name", row.secret_name.as_ref()),
    ])?;
    times_us(&[("since_us", row.since_us)])?;
    times_ms(&[("indexed_at_ms", Some(row.indexed_at_ms))])
}

fn did(name: &'static str, text: &str) -> Result<(), LineFault> {
    field::<Did>(name, text)?;
    Ok(())
}

/// Postgres can't store U+0000.
fn texts(columns: &[(&'static str, Option<&String>)]) -> Result<(), LineFault> {
    for (name, text) in columns {
        storable(text.map_or("", |text| text), 0, usize::MAX).map_err(|rule| rule.at(*name))?;
    }
    Ok(())
}

fn times_us(columns: &[(&'static str, Option<i64>)]) -> Result<(), LineFault> {
    times(columns, &YEARS_1_TO_9999_US)
}

fn times_ms(columns: &[(&'static str, Option<i64>)]) -> Result<(), LineFault> {
    times(columns, &YEARS_1_TO_9999_MS)
}

fn times(columns: &[(&'static str, Option<i64>)], years: &RangeInclusive<i64>) -> Result<(), LineFault> {
    for (field, time) in columns {
        if time.is_some_and(|time| !years.contains(&time)) {
            return Err(LineFault::Column { field, what: "a time of the years 1 to 9999" });
        }
    }
    Ok(())
}
