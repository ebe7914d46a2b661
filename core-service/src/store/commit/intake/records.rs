//! Webhooks that are records: which state each is in, and how many of them are active.
//!
//! A record of a higher revision wins. Of the valid and enabled records of an owner the first ones are
//! active, in the order in which they were first seen, up to the limit; a place that becomes free goes to the
//! next.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Condition, Expr};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _,
    IntoActiveModel as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use uuid::Uuid;

use super::Writing;
use super::accounts::{deleted_us, pause_new};
use super::places::{cancel, fill_free_places, settle_owner};
use crate::domain::did::Did;
use crate::domain::webhook_url::WebhookUrl;
use crate::intake::batch::{Found, RecordChange, Withheld};
use crate::intake::owners::RecordOwners;
use crate::intake::record::{RecordSecret, WhRecord, operation_name};
use crate::seal::Purpose;
use crate::store::commit::STATEMENT_ROWS;
use crate::store::commit::locks::locked;
use crate::store::commit::paused_origins::look_up;
use crate::store::commit::states::States;
use crate::store::row_of_record::{self, ACTIVE, DELETED, DISABLED, INVALID, OVER_LIMIT, OpenedRecord};
use crate::store::table::{account, record_webhook};

/// Rows of one owner. More records are not looked at.
const MAX_ROWS_OF_OWNER: u64 = 1000;

/// What a valid record says, in the columns of its row.
struct Content {
    scope: String,
    backlinks: bool,
    events: String,
    secret_name: Option<String>,
    sealed_url: Vec<u8>,
    sealed_secret: Option<Vec<u8>>,
}

/// Which revisions take the place of what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wins {
    Later,
    /// Also the same one: it may be judged under other settings now.
    LaterOrSame,
}

impl Writing<'_> {
    /// Writes what became of one wh record.
    pub(super) async fn record(
        &mut self,
        transaction: &DatabaseTransaction,
        change: &RecordChange,
        wins: Wins,
    ) -> Result<(), DbErr> {
        if !self.counts(transaction, &change.owner).await? {
            return Ok(());
        }
        // The stream says some of it twice, after a reconnect.
        let deleted_us = deleted_us(transaction, &change.owner).await?;
        if deleted_us.is_some_and(|deleted_us| change.time_us <= deleted_us) {
            return Ok(());
        }
        let of_owner =
            record_webhook::Entity::find().filter(record_webhook::Column::OwnerDid.eq(change.owner.as_str()));
        let query = of_owner.clone().filter(record_webhook::Column::Rkey.eq(change.rkey.as_str()));
        let before = locked(transaction, query).one(transaction).await?;
        match before {
            // A revision is a TID: later ones are greater.
            Some(before) if before.rev > change.rev => Ok(()),
            Some(before) if before.rev == change.rev && wins == Wins::Later => Ok(()),
            Some(before) => self.replace(transaction, change, before).await,
            None if of_owner.count(transaction).await? >= MAX_ROWS_OF_OWNER => Ok(()),
            None => self.insert(transaction, change).await,
        }
    }

    /// Whether wh records of `owner` count.
    pub(super) async fn counts(&self, transaction: &DatabaseTransaction, owner: &Did) -> Result<bool, DbErr> {
        if self.context.records.owners == RecordOwners::All {
            return Ok(true);
        }
        let known = account::Entity::find_by_id(owner.as_str()).one(transaction).await?;
        if known.is_some() {
            return Ok(true);
        }
        // Not any more, but its records are still served.
        let rows = record_webhook::Entity::find()
            .filter(record_webhook::Column::OwnerDid.eq(owner.as_str()))
            .count(transaction);
        Ok(rows.await? > 0)
    }

    async fn insert(
        &mut self,
        transaction: &DatabaseTransaction,
        change: &RecordChange,
    ) -> Result<(), DbErr> {
        let fresh = record_webhook::Model {
            id: self.next_id(transaction).await?,
            owner_did: change.owner.to_string(),
            rkey: change.rkey.clone(),
            rev: change.rev.clone(),
            state: DELETED.to_owned(),
            reason: None,
            withheld_state: None,
            withheld_reason: None,
            sealed_url: None,
            scope: None,
            backlinks: false,
            events: String::new(),
            secret_name: None,
            sealed_secret: None,
            since_us: None,
            indexed_at_ms: self.now.ms,
        };
        let row = self.row_after(change, &fresh)?;
        row.into_active_model().insert(transaction).await?;
        pause_new(transaction, &[(fresh.id, change.owner.as_str())]).await?;
        self.after_change(transaction, &change.owner, change.time_us).await
    }

    /// An id after those of all records so far, also within a millisecond. Nobody else makes one meanwhile.
    async fn next_id(&self, transaction: &DatabaseTransaction) -> Result<Uuid, DbErr> {
        let last: Option<Uuid> = record_webhook::Entity::find()
            .select_only()
            .column(record_webhook::Column::Id)
            .order_by_desc(record_webhook::Column::Id)
            .into_tuple()
            .one(transaction)
            .await?;
        let after_last = last.map_or(Uuid::nil(), |last| Uuid::from_u128(last.as_u128() + 1));
        Ok(self.context.new_id(self.now.ms)?.max(after_last))
    }

    async fn replace(
        &mut self,
        transaction: &DatabaseTransaction,
        change: &RecordChange,
        before: record_webhook::Model,
    ) -> Result<(), DbErr> {
        let opened = row_of_record::open(&before, &self.context.sealer.keys).ok();
        let mut after = self.row_after(change, &before)?;
        if is_same(change, &before, opened.as_ref()) {
            // Sent once more: nothing has changed for anybody.
            if before.rev == change.rev {
                return Ok(());
            }
            after = record_webhook::Model { rev: change.rev.clone(), ..before };
            let columns = [record_webhook::Column::Rev];
            return update(transaction, after, &columns).await;
        }
        // A deleted record that comes back is a new one: others that waited go before it.
        if before.state == DELETED && after.state != DELETED {
            record_webhook::Entity::delete_by_id(before.id).exec(transaction).await?;
            after.id = self.next_id(transaction).await?;
            let row = self.row_after(change, &after)?;
            row.into_active_model().insert(transaction).await?;
            pause_new(transaction, &[(after.id, change.owner.as_str())]).await?;
            return self.after_change(transaction, &change.owner, change.time_us).await;
        }
        let goes_on = before.state == ACTIVE && after.state == ACTIVE;
        let asks_for_the_same = before.scope == after.scope
            && before.backlinks == after.backlinks
            && before.events == after.events;
        if goes_on && asks_for_the_same {
            after.since_us = before.since_us;
        }
        let id = before.id;
        if goes_on {
            self.move_deliveries(transaction, &before, &after, opened.as_ref(), change).await?;
        } else {
            cancel(transaction, [id], self.now.ms, after.state == DELETED).await?;
        }
        if after.state == ACTIVE {
            turn_on(transaction, id).await?;
        }
        update(transaction, after, &[]).await?;
        pause_new(transaction, &[(id, change.owner.as_str())]).await?;
        self.after_change(transaction, &change.owner, change.time_us).await
    }

    /// What waits goes to another URL, or waits no longer for a secret.
    async fn move_deliveries(
        &mut self,
        transaction: &DatabaseTransaction,
        before: &record_webhook::Model,
        after: &record_webhook::Model,
        opened: Option<&OpenedRecord>,
        change: &RecordChange,
    ) -> Result<(), DbErr> {
        let Found::Valid(record) = &change.found else { return Ok(()) };
        let same_url = opened.is_some_and(|opened| opened.url == record.url);
        let same_secret = before.secret_name == after.secret_name;
        let mut states = States::lock(transaction, [before.id]).await?;
        if let Some(state) = states.of_mut(before.id) {
            if !same_url {
                state.row.origin = self.context.sealer.index_key.origin(&record.url).to_vec();
                look_up(transaction, [&mut state.row]).await?;
            }
            if !same_secret {
                state.release(self.now.ms);
            }
        }
        if !same_url {
            states.find_due(transaction, [before.id]).await?;
        }
        states.store(transaction).await
    }

    /// The row as `change` leaves it, with the id and first sight of `before`.
    fn row_after(
        &self,
        change: &RecordChange,
        before: &record_webhook::Model,
    ) -> Result<record_webhook::Model, DbErr> {
        let RecordChange { owner, rkey: _, rev, time_us, found } = change;
        let (state, reason) = match found {
            // Whether there is a place for it is decided later.
            Found::Valid(record) => (if record.enabled { ACTIVE } else { DISABLED }, None),
            Found::Invalid(reason) => (INVALID, Some(reason.clone())),
            Found::Deleted => (DELETED, None),
        };
        let empty = record_webhook::Model {
            rev: rev.clone(),
            state: state.to_owned(),
            reason,
            withheld_state: None,
            withheld_reason: None,
            sealed_url: None,
            scope: None,
            backlinks: false,
            events: String::new(),
            secret_name: None,
            sealed_secret: None,
            since_us: Some(*time_us),
            indexed_at_ms: self.now.ms,
            ..before.clone()
        };
        let Found::Valid(record) = found else { return Ok(empty) };
        let Content { scope, backlinks, events, secret_name, sealed_url, sealed_secret } =
            self.content(owner, before.id, record)?;
        Ok(record_webhook::Model {
            sealed_url: Some(sealed_url),
            scope: Some(scope),
            backlinks,
            events,
            secret_name,
            sealed_secret,
            ..empty
        })
    }

    fn content(&self, owner: &Did, id: Uuid, record: &WhRecord) -> Result<Content, DbErr> {
        let WhRecord { scope, url, events, secret, enabled: _ } = record;
        let seal = |purpose: Purpose<'_>, text: &str| {
            self.context.sealer.seal(purpose, text).map_err(|error| DbErr::Custom(error.to_string()))
        };
        let purpose = Purpose::RecordSecret { owner, webhook: id };
        let (secret_name, sealed_secret) = match secret {
            None => (None, None),
            Some(RecordSecret::Named(name)) => (Some(name.to_string()), None),
            Some(RecordSecret::Inline(token)) => (None, Some(seal(purpose, token.expose())?)),
        };
        let events: Vec<&str> = events.iter().map(operation_name).collect();
        Ok(Content {
            scope: scope.to_string(),
            backlinks: scope.backlinks,
            events: events.join(","),
            secret_name,
            sealed_url: seal(Purpose::Url { owner, webhook: id }, WebhookUrl::expose(url).as_str())?,
            sealed_secret,
        })
    }

    pub(super) async fn after_change(
        &mut self,
        transaction: &DatabaseTransaction,
        owner: &Did,
        time_us: i64,
    ) -> Result<(), DbErr> {
        self.stored.changed_owners.insert(owner.clone());
        let limits = self.context.records.limits;
        settle_owner(transaction, limits, owner.as_str(), time_us, self.now.ms).await?;
        let others = fill_free_places(transaction, limits, time_us, self.now.ms).await?;
        self.stored.changed_owners.extend(others.into_iter().filter_map(|owner| owner.parse().ok()));
        Ok(())
    }
}

/// A record that its owner has changed is tried again, if its receiver turned it off or failed for long.
async fn turn_on(transaction: &DatabaseTransaction, webhook: Uuid) -> Result<(), DbErr> {
    let mut states = States::lock(transaction, [webhook]).await?;
    if let Some(state) = states.of_mut(webhook)
        && state.row.disabled_at_ms.is_some()
    {
        state.enable();
    }
    states.store(transaction).await
}

/// Whether `change` says nothing new.
fn is_same(change: &RecordChange, before: &record_webhook::Model, opened: Option<&OpenedRecord>) -> bool {
    match &change.found {
        Found::Deleted => before.state == DELETED,
        Found::Invalid(reason) => before.state == INVALID && before.reason.as_ref() == Some(reason),
        Found::Valid(record) => {
            let WhRecord { scope, url, events, secret, enabled } = &**record;
            let was_valid = [ACTIVE, OVER_LIMIT, DISABLED].contains(&before.state.as_str());
            let events: Vec<&str> = events.iter().map(operation_name).collect();
            was_valid
                && *enabled == (before.state != DISABLED)
                && before.scope.as_deref() == Some(&*scope.to_string())
                && before.backlinks == scope.backlinks
                && before.events == events.join(",")
                && opened.is_some_and(|opened| opened.url == *url && opened.secret == *secret)
        }
    }
}

/// Writes the columns of `row`, or all of them.
async fn update(
    transaction: &DatabaseTransaction,
    row: record_webhook::Model,
    columns: &[record_webhook::Column],
) -> Result<(), DbErr> {
    let mut active = row.into_active_model();
    if columns.is_empty() {
        active = active.reset_all();
    }
    for column in columns {
        active.reset(*column);
    }
    active.update(transaction).await.map(drop)
}

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
