//! The jobs of the intake: who reads the network, how far it has got, and what the events caused.
//!
//! One row says who reads until when, and where the next one goes on. Each batch begins with an update of
//! that row by its holder and epoch; whoever is not the holder any more finds no row, and nothing of the
//! batch is written. So the place in the stream moves in the transaction of what was read up to there, and of
//! two processes that both think that they read only one can write. Since that row stays locked until the
//! commit, nobody else writes events of the intake meanwhile.
//!
//! Order of locks: this row, accounts, states of webhooks, deliveries.

mod accounts;
mod judge;
mod lease;
mod listed;
mod mirror;
mod places;
mod record_events;
mod records;
mod upkeep;
mod withheld;

use std::collections::HashSet;

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

pub(super) use self::accounts::pause_new;
pub(super) use self::lease::{give_back, stream_time_us, take};
use self::records::Wins;
pub(super) use self::upkeep::expire_intake;
use super::STATEMENT_ROWS;
use super::event_batch::{Context, Now};
use super::fan_out::{FanOut, insert_deliveries};
use super::publish::FannedOut;
use crate::intake::batch::{Batch, Change, Stored, Written};
use crate::intake::derive::Candidate;
use crate::intake::metrics::TYPES;
use crate::store::table::{event, intake_gap, intake_sync, intake_unreadable};

/// Who publishes the events of the intake, in the rows of events.
pub(crate) const PUBLISHER: &str = "athook-intake";
/// An event that is older than a webhook by this much, in microseconds of the stream, is not the webhook's.
const SINCE_TOLERANCE_US: i64 = 2_000_000;

/// The most bytes of what is stored in the columns of an index together.
const MAX_INDEXED_BYTES: usize = 2600;

/// Writes `batch`, unless another process reads.
pub(super) async fn write(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
    batch: &Batch,
) -> Result<(Written, FannedOut), DbErr> {
    let mut writing = Writing { context, now, stored: Stored::default(), leased: Vec::new(), due: false };
    let Batch { holder, position, changes, syncs, gaps, unreadable } = batch;
    if !lease::advance(transaction, *holder, position.as_ref()).await? {
        return Ok((Written::LeaseLost, writing.fanned_out()));
    }
    insert_syncs(transaction, now, syncs).await?;
    insert_gaps(transaction, context, now, gaps).await?;
    insert_unreadable(transaction, now, unreadable).await?;
    writing.changes(transaction, changes).await?;
    Ok((Written::Stored(std::mem::take(&mut writing.stored)), writing.fanned_out()))
}

/// One batch while it is written.
struct Writing<'a> {
    context: &'a Context,
    now: Now,
    stored: Stored,
    leased: Vec<crate::delivery::lease::Leased>,
    /// Whether deliveries are due without a lease.
    due: bool,
}

/// A row of an event whose deliveries are made.
struct NewRow {
    row: event::Model,
    /// Why it has none, if that is known.
    skipped: Option<&'static str>,
}

impl Writing<'_> {
    fn fanned_out(self) -> FannedOut {
        FannedOut { leased: self.leased, leaves_due: self.due }
    }

    /// Writes the changes in their order. Those of a kind that stand together share statements.
    async fn changes(&mut self, transaction: &DatabaseTransaction, changes: &[Change]) -> Result<(), DbErr> {
        let mut rest = changes;
        while let Some((first, others)) = rest.split_first() {
            match first {
                Change::Streamer(_) => {
                    let candidates = leading(rest, |change| match change {
                        Change::Streamer(candidate) => Some(&**candidate),
                        _ => None,
                    });
                    rest = &rest[candidates.len()..];
                    self.streamers(transaction, &candidates).await?;
                    continue;
                }
                Change::Matched(_) => {
                    let events = leading(rest, |change| match change {
                        Change::Matched(event) => Some(event),
                        _ => None,
                    });
                    rest = &rest[events.len()..];
                    self.matched(transaction, &events).await?;
                    continue;
                }
                Change::Mirror(rows) => mirror::write(transaction, rows).await?,
                Change::Mirrored { did, kind, rev } => {
                    mirror::complete(transaction, self.now, did, *kind, rev).await?;
                }
                Change::Unmirrored(keys) => mirror::forget(transaction, keys).await?,
                Change::Record(change) => self.record(transaction, change, Wins::Later).await?,
                Change::Listed(listed) => self.listed(transaction, listed).await?,
                Change::Account(change) => self.account(transaction, change).await?,
                Change::References(references) => {
                    record_events::replace_references(transaction, self.now, references).await?;
                }
                Change::Withheld(withheld) => withheld::withhold(transaction, withheld).await?,
                Change::Reread => lease::end(transaction).await?,
                Change::Healed { before_us } => heal(transaction, self.now, *before_us).await?,
            }
            rest = others;
        }
        Ok(())
    }

    async fn streamers(
        &mut self,
        transaction: &DatabaseTransaction,
        candidates: &[&Candidate],
    ) -> Result<(), DbErr> {
        let (fan_out, rows) = judge::judge(transaction, self.context, self.now, candidates).await?;
        self.store(transaction, fan_out, rows).await
    }

    /// Stores events with their deliveries.
    async fn store(
        &mut self,
        transaction: &DatabaseTransaction,
        fan_out: FanOut,
        rows: Vec<NewRow>,
    ) -> Result<(), DbErr> {
        let FanOut { leased, rows: deliveries, counts } = fan_out;
        let mut events = Vec::new();
        for NewRow { mut row, skipped } in rows {
            let count = counts.get(&row.id).copied().unwrap_or(0);
            row.deliveries = count.cast_signed();
            if count == 0 {
                row.payload = None;
                self.stored.skipped.push(skipped.unwrap_or("nobody"));
            } else {
                self.stored.events.push(known_type(&row.r#type));
            }
            events.push(event::ActiveModel::from(row));
        }
        let mut events = events.into_iter();
        while events.len() > 0 {
            let some = events.by_ref().take(STATEMENT_ROWS);
            event::Entity::insert_many(some).exec_without_returning(transaction).await?;
        }
        self.due |= leased.len() < deliveries.len();
        self.leased.extend(leased);
        insert_deliveries(transaction, deliveries).await
    }
}

/// The word for a type of events in metrics.
fn known_type(text: &str) -> &'static str {
    TYPES.into_iter().find(|known| *known == text).unwrap_or("other")
}

/// As many of the first changes as `pick` takes.
fn leading<'a, T>(changes: &'a [Change], pick: impl Fn(&'a Change) -> Option<&'a T>) -> Vec<&'a T> {
    changes.iter().map_while(pick).collect()
}

/// Those of `ids` that are stored already. An event is judged once.
async fn stored_events(
    transaction: &DatabaseTransaction,
    ids: impl Iterator<Item = Uuid>,
) -> Result<HashSet<Uuid>, DbErr> {
    use sea_orm::QuerySelect as _;
    let ids: Vec<Uuid> = ids.collect();
    let mut stored = HashSet::new();
    for some in ids.chunks(STATEMENT_ROWS) {
        let found = event::Entity::find()
            .select_only()
            .column(event::Column::Id)
            .filter(event::Column::Id.is_in(some.iter().copied()));
        stored.extend(found.into_tuple::<Uuid>().all(transaction).await?);
    }
    Ok(stored)
}

/// Whether an event of the stream at `time_us` is one of a webhook that wants events since `since_us`.
fn is_its_own(since_us: Option<i64>, time_us: i64) -> bool {
    since_us.is_none_or(|since| time_us.saturating_add(SINCE_TOLERANCE_US) >= since)
}

/// Whether an index of Postgres takes a row with these columns (its bound is 2,704 bytes).
fn fits_an_index(columns: &[&str]) -> bool {
    columns.iter().map(|column| column.len()).sum::<usize>() <= MAX_INDEXED_BYTES
}

async fn insert_syncs(
    transaction: &DatabaseTransaction,
    now: Now,
    syncs: &[crate::intake::batch::Sync],
) -> Result<(), DbErr> {
    let unless_there =
        OnConflict::columns([intake_sync::Column::Did, intake_sync::Column::Rev]).do_nothing().to_owned();
    for some in syncs.chunks(STATEMENT_ROWS) {
        let rows = some.iter().map(|sync| {
            let row = intake_sync::Model { did: sync.did.clone(), rev: sync.rev.clone(), at_ms: now.ms };
            intake_sync::ActiveModel::from(row)
        });
        let insert = intake_sync::Entity::insert_many(rows).on_conflict(unless_there.clone());
        insert.exec_without_returning(transaction).await?;
    }
    Ok(())
}

async fn insert_gaps(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
    gaps: &[crate::intake::batch::Gap],
) -> Result<(), DbErr> {
    for gap in gaps {
        let row = intake_gap::Model {
            id: context.new_id(now.ms)?,
            host: gap.host.clone(),
            from_us: gap.from_us,
            to_us: gap.to_us,
            found_at_ms: now.ms,
            healed_at_ms: None,
        };
        let insert = intake_gap::Entity::insert(intake_gap::ActiveModel::from(row));
        insert.exec_without_returning(transaction).await?;
    }
    Ok(())
}

async fn insert_unreadable(
    transaction: &DatabaseTransaction,
    now: Now,
    unreadable: &[crate::intake::batch::UnreadableFrame],
) -> Result<(), DbErr> {
    let unless_there = OnConflict::column(intake_unreadable::Column::Hash).do_nothing().to_owned();
    for some in unreadable.chunks(STATEMENT_ROWS) {
        let rows = some.iter().map(|frame| {
            let row = intake_unreadable::Model {
                hash: frame.hash.to_vec(),
                reason: frame.reason.clone(),
                at_ms: now.ms,
            };
            intake_unreadable::ActiveModel::from(row)
        });
        let insert = intake_unreadable::Entity::insert_many(rows).on_conflict(unless_there.clone());
        insert.exec_without_returning(transaction).await?;
    }
    Ok(())
}

async fn heal(transaction: &DatabaseTransaction, now: Now, before_us: i64) -> Result<(), DbErr> {
    intake_gap::Entity::update_many()
        .col_expr(intake_gap::Column::HealedAtMs, Expr::val(now.ms))
        .filter(intake_gap::Column::HealedAtMs.is_null())
        .filter(intake_gap::Column::FromUs.lt(before_us))
        .exec(transaction)
        .await
        .map(drop)
}
