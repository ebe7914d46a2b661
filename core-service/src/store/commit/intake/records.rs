//! Webhooks that are records: which state each is in, and how many of them are active.
//!
//! A record of a higher revision wins. Of the valid and enabled records of an owner the first ones are
//! active, in the order in which they were first seen, up to the limit; a place that becomes free goes to the
//! next.

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
use crate::intake::batch::{Found, RecordChange};
use crate::intake::interests::NEEDS_NETWORK;
use crate::intake::owners::RecordOwners;
use crate::intake::record::{RecordSecret, WhRecord, operation_name};
use crate::intake::scope::Reading;
use crate::seal::Purpose;
use crate::store::commit::locks::locked;
use crate::store::commit::paused_origins::look_up;
use crate::store::commit::states::States;
use crate::store::row_of_record::{self, ACTIVE, DELETED, DISABLED, INVALID, OVER_LIMIT, OpenedRecord};
use crate::store::table::{account, record_webhook};

/// Records of one owner that are there. More of them are not looked at; and as many that are gone are known.
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
        if deleted_us.is_some_and(|deleted_us| change.time_us.is_some_and(|time_us| time_us <= deleted_us)) {
            return Ok(());
        }
        let of_owner =
            record_webhook::Entity::find().filter(record_webhook::Column::OwnerDid.eq(change.owner.as_str()));
        let query = of_owner.clone().filter(record_webhook::Column::Rkey.eq(change.rkey.as_str()));
        let before = locked(transaction, query).one(transaction).await?;
        // A revision is a TID: later ones are greater.
        let is_old = |before: &record_webhook::Model| {
            before.rev > change.rev || before.rev == change.rev && wins == Wins::Later
        };
        if before.as_ref().is_some_and(is_old) {
            return Ok(());
        }
        let is_there = !matches!(change.found, Found::Deleted);
        if is_there && before.as_ref().is_none_or(|before| before.state == DELETED) {
            let there = of_owner.filter(record_webhook::Column::State.ne(DELETED)).count(transaction);
            if there.await? >= MAX_ROWS_OF_OWNER {
                return Ok(());
            }
        }
        match before {
            Some(before) => self.replace(transaction, change, before).await?,
            None => self.insert(transaction, change).await?,
        }
        if is_there { Ok(()) } else { forget_deleted(transaction, &change.owner).await }
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
        if self.is_same(change, &before, opened.as_ref()) {
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
        let (state, reason) = self.state_of(found);
        let empty = record_webhook::Model {
            rev: rev.clone(),
            state: state.to_owned(),
            reason: reason.map(str::to_owned),
            withheld_state: None,
            withheld_reason: None,
            sealed_url: None,
            scope: None,
            backlinks: false,
            events: String::new(),
            secret_name: None,
            sealed_secret: None,
            since_us: *time_us,
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

    /// The state that a record is in if there is a place for it, and why.
    fn state_of<'f>(&self, found: &'f Found) -> (&'static str, Option<&'f str>) {
        match found {
            Found::Valid(record) if !record.enabled => (DISABLED, None),
            Found::Valid(record)
                if !self.context.records.network && record.scope.reading() == Reading::Network =>
            {
                (INVALID, Some(NEEDS_NETWORK))
            }
            Found::Valid(_) => (ACTIVE, None),
            Found::Invalid(reason) => (INVALID, Some(reason)),
            Found::Deleted => (DELETED, None),
        }
    }

    /// Whether `change` says nothing new.
    fn is_same(
        &self,
        change: &RecordChange,
        before: &record_webhook::Model,
        opened: Option<&OpenedRecord>,
    ) -> bool {
        let same_state = match self.state_of(&change.found) {
            (ACTIVE, _) => [ACTIVE, OVER_LIMIT].contains(&before.state.as_str()),
            (state, reason) => before.state == state && before.reason.as_deref() == reason,
        };
        let Found::Valid(record) = &change.found else { return same_state };
        let WhRecord { scope, url, events, secret, enabled: _ } = &**record;
        let events: Vec<&str> = events.iter().map(operation_name).collect();
        same_state
            && before.scope.as_deref() == Some(&*scope.to_string())
            && before.backlinks == scope.backlinks
            && before.events == events.join(",")
            && opened.is_some_and(|opened| opened.url == *url && opened.secret == *secret)
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
        time_us: Option<i64>,
    ) -> Result<(), DbErr> {
        self.stored.changed_owners.insert(owner.clone());
        let limits = self.context.records.limits;
        let active = settle_owner(transaction, limits, owner.as_str(), time_us, self.now.ms).await?;
        let others = fill_free_places(transaction, limits, active, time_us, self.now.ms).await?;
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

/// Forgets which of the records of `owner` that are gone went first, if there are many.
async fn forget_deleted(transaction: &DatabaseTransaction, owner: &Did) -> Result<(), DbErr> {
    let first: Vec<Uuid> = record_webhook::Entity::find()
        .select_only()
        .column(record_webhook::Column::Id)
        .filter(record_webhook::Column::OwnerDid.eq(owner.as_str()))
        .filter(record_webhook::Column::State.eq(DELETED))
        .order_by_desc(record_webhook::Column::IndexedAtMs)
        .order_by_desc(record_webhook::Column::Id)
        .offset(MAX_ROWS_OF_OWNER)
        .limit(MAX_ROWS_OF_OWNER)
        .into_tuple()
        .all(transaction)
        .await?;
    if first.is_empty() {
        return Ok(());
    }
    let delete = record_webhook::Entity::delete_many().filter(record_webhook::Column::Id.is_in(first));
    delete.exec(transaction).await.map(drop)
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
