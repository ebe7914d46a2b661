//! The account rows of a batch: the lock on all rows of an owner, and the counts that limits look at.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, OnConflict};
use sea_orm::{ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _};

use super::STATEMENT_ROWS;
use crate::store::table::account;

const LOCKED: &str = "the owners of all jobs are locked";

/// How many rows an owner has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) secrets: u32,
    pub(super) webhooks: u32,
}

/// The accounts of some owners, locked until the transaction ends.
#[derive(Debug)]
pub(super) struct Accounts(BTreeMap<String, Account>);

#[derive(Debug, Clone, Copy)]
struct Account {
    /// What the row in the database says.
    stored: Counts,
    /// What the owner has by now.
    counts: Counts,
}

impl Accounts {
    /// Locks the account row of each owner, in the order of the DIDs, and makes those that are missing.
    /// `to_create` is added to the stored counts at once: when all of it is created, they are right and need
    /// no other statement.
    pub(super) async fn lock(
        transaction: &DatabaseTransaction,
        to_create: &BTreeMap<&str, Counts>,
    ) -> Result<Self, DbErr> {
        let add = OnConflict::column(account::Column::Did)
            .value(account::Column::Secrets, sum(account::Column::Secrets))
            .value(account::Column::Webhooks, sum(account::Column::Webhooks))
            .to_owned();
        let mut rows = to_create.iter().map(|(owner, counts)| row(owner, *counts));
        let mut accounts = BTreeMap::new();
        while rows.len() > 0 {
            let insert = account::Entity::insert_many(rows.by_ref().take(STATEMENT_ROWS));
            for stored in insert.on_conflict(add.clone()).exec_with_returning(transaction).await? {
                let account::Model { did, secrets, webhooks } = stored;
                let stored = Counts { secrets: secrets.cast_unsigned(), webhooks: webhooks.cast_unsigned() };
                let added = to_create.get(did.as_str()).copied().unwrap_or_default();
                let counts = Counts {
                    secrets: stored.secrets.saturating_sub(added.secrets),
                    webhooks: stored.webhooks.saturating_sub(added.webhooks),
                };
                accounts.insert(did, Account { stored, counts });
            }
        }
        if accounts.len() < to_create.len() {
            return Err(DbErr::RecordNotFound("account".to_owned()));
        }
        Ok(Self(accounts))
    }

    /// What `owner`, who is one of those that were locked, has by now.
    pub(super) fn of(&self, owner: &str) -> Counts {
        self.0.get(owner).expect(LOCKED).counts
    }

    /// The same, to be changed with the rows.
    pub(super) fn of_mut(&mut self, owner: &str) -> &mut Counts {
        &mut self.0.get_mut(owner).expect(LOCKED).counts
    }

    /// Stores the counts that differ, and deletes the rows of owners who have nothing.
    pub(super) async fn store(self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        let (empty, others): (Vec<_>, Vec<_>) =
            self.0.into_iter().partition(|(_, account)| account.counts == Counts::default());
        let differing = others.into_iter().filter(|(_, account)| account.counts != account.stored);
        let mut differing = differing.map(|(owner, account)| row(&owner, account.counts)).peekable();
        let replace = OnConflict::column(account::Column::Did)
            .update_columns([account::Column::Secrets, account::Column::Webhooks])
            .to_owned();
        while differing.peek().is_some() {
            let rows = differing.by_ref().take(STATEMENT_ROWS);
            let replace = account::Entity::insert_many(rows).on_conflict(replace.clone());
            replace.exec_without_returning(transaction).await?;
        }
        if !empty.is_empty() {
            let dids = empty.into_iter().map(|(owner, _)| owner);
            account::Entity::delete_many().filter(account::Column::Did.is_in(dids)).exec(transaction).await?;
        }
        Ok(())
    }
}

/// The count in the table, and what an insert adds to it.
fn sum(column: account::Column) -> Expr {
    Expr::col((account::Entity, column)).add(Expr::col((Alias::new("excluded"), column)))
}

fn row(owner: &str, counts: Counts) -> account::ActiveModel {
    let Counts { secrets, webhooks } = counts;
    let (secrets, webhooks) = (secrets.cast_signed(), webhooks.cast_signed());
    account::Model { did: owner.to_owned(), secrets, webhooks }.into()
}
