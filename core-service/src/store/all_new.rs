//! The short way of a batch on SQLite, for rows that are all new and within the limits, as nearly all are.
//!
//! SQLite works on a thread of its own, and each command costs two turns from one thread to the other; so does each row
//! that comes back. Here the counts and the rows go there as one command, and only a number comes back: how many rows it
//! changed. When some did not change, the transaction is undone, and [`batch`](super::batch) finds out which.

use std::sync::Arc;

use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{ActiveModelTrait, ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};

use super::batch::{Inserts, Limits, Row, sum};
use super::insert::Insert;
use super::table::{account, secret, webhook};
use super::transaction::{self, Failure};

/// The commands of the short way.
#[derive(Debug)]
pub(super) struct AllNew {
    limits: Limits,
    /// Add to a count of an account as long as the sum is within the limit.
    add_secrets: Insert<account::Entity>,
    add_webhooks: Insert<account::Entity>,
    inserts: Arc<Inserts>,
}

impl AllNew {
    pub(super) fn new(limits: Limits, inserts: Arc<Inserts>) -> Self {
        let add = |column: account::Column, limit: u32| {
            let add = OnConflict::column(account::Column::Did)
                .value(column, sum(column))
                .action_and_where(sum(column).lte(Expr::Constant(limit.into())))
                .to_owned();
            Insert::new(add, [])
        };
        Self {
            limits,
            add_secrets: add(account::Column::Secrets, limits.secrets),
            add_webhooks: add(account::Column::Webhooks, limits.webhooks),
            inserts,
        }
    }

    /// Writes `rows` in a transaction of their own, if all are new and within the limits. `false`: they are not, or it
    /// can't be known, and nothing is written.
    pub(super) async fn write(&self, database: &DatabaseConnection, rows: &[&Row]) -> Result<bool, Failure> {
        let Some(commands) = self.commands(rows) else { return Ok(false) };
        let transaction = transaction::begin(database).await?;
        let mut changed = 0;
        for command in commands {
            changed += transaction.execute_raw(command).await?.rows_affected();
        }
        // Each row itself, and the account of its owner.
        let all = usize::try_from(changed) == Ok(2 * rows.len());
        if all {
            transaction::commit(transaction).await?;
        } else {
            transaction.rollback().await?;
        }
        Ok(all)
    }

    /// What writes `rows`. `None`: they can't go this way, as one names a secret, which may not be there, or as there may
    /// be none at all.
    pub(super) fn commands(&self, rows: &[&Row]) -> Option<Vec<Statement>> {
        let (mut secrets, mut of_secrets) = (Vec::<secret::ActiveModel>::new(), Vec::new());
        let (mut webhooks, mut of_webhooks) = (Vec::<webhook::ActiveModel>::new(), Vec::new());
        for row in rows {
            let did = row.owner().to_owned();
            match row {
                Row::Secret(row) if self.limits.secrets > 0 => {
                    secrets.push(row.clone().into());
                    of_secrets.push(account::Model { did, secrets: 1, webhooks: 0 }.into());
                }
                Row::Webhook(row) if self.limits.webhooks > 0 && row.secret_name.is_none() => {
                    webhooks.push((**row).clone().into());
                    of_webhooks.push(account::Model { did, secrets: 0, webhooks: 1 }.into());
                }
                _ => return None,
            }
        }
        let secrets = together(&self.add_secrets, of_secrets, &self.inserts.secrets, secrets);
        let webhooks = together(&self.add_webhooks, of_webhooks, &self.inserts.webhooks, webhooks);
        Some(secrets.chain(webhooks).collect())
    }
}

/// The commands that `add` to accounts and `insert` as many rows. SQLite takes two statements as one command, and an account
/// in the first of them more than once.
fn together<Row>(
    add: &Insert<account::Entity>,
    accounts: Vec<account::ActiveModel>,
    insert: &Insert<Row::Entity>,
    rows: Vec<Row>,
) -> impl Iterator<Item = Statement>
where
    Row: ActiveModelTrait,
{
    let adding = add.statements(DbBackend::Sqlite, accounts);
    adding.zip(insert.statements(DbBackend::Sqlite, rows)).map(|(mut command, insert)| {
        command.sql.push_str("; ");
        command.sql.push_str(&insert.sql);
        let values = command.values.iter_mut().zip(insert.values);
        values.for_each(|(of_accounts, of_rows)| of_accounts.0.extend(of_rows.0));
        command
    })
}
