//! The short way of a batch on SQLite, for rows that are all new and within the limits, as nearly all are.
//!
//! SQLite works on a thread of its own, and each command costs two turns from one thread to the other; so does each row
//! that comes back. Here the counts and the rows go there as one command, and only a number comes back: how many rows it
//! changed. When some did not change, the transaction is undone, and [`batch`](super::batch) finds out which.

use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, OnConflict};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbErr, Statement};

use super::batch::{Limits, Row};
use super::insert::CountedInsert;
use super::table::{account, secret, webhook};

/// The commands of the short way.
#[derive(Debug)]
pub(super) struct AllNew {
    limits: Limits,
    secrets: CountedInsert<secret::Entity>,
    webhooks: CountedInsert<webhook::Entity>,
}

impl AllNew {
    pub(super) fn new(limits: Limits) -> Self {
        // Adds to a count as long as the sum is within the limit.
        let add = |column: account::Column, limit: u32| {
            let sum = Expr::col((account::Entity, column)).add(Expr::col((Alias::new("excluded"), column)));
            OnConflict::column(account::Column::Did)
                .value(column, sum.clone())
                .action_and_where(sum.lte(Expr::Constant(limit.into())))
                .to_owned()
        };
        Self {
            limits,
            secrets: CountedInsert::new(
                add(account::Column::Secrets, limits.secrets),
                [secret::Column::OwnerDid, secret::Column::Name],
            ),
            webhooks: CountedInsert::new(
                add(account::Column::Webhooks, limits.webhooks),
                [webhook::Column::OwnerDid, webhook::Column::UrlHash],
            ),
        }
    }

    /// What writes `rows`, to be made before the transaction is begun. `None`: they can't go this way, as one names a
    /// secret, which may not be there, or as there may be none at all.
    pub(super) fn commands(&self, rows: &[&Row]) -> Option<Vec<Statement>> {
        let (mut secrets, mut webhooks) = (Vec::new(), Vec::new());
        for row in rows {
            let did = row.owner().to_owned();
            match row {
                Row::Secret(row) if self.limits.secrets > 0 => {
                    let one = account::Model { did, secrets: 1, webhooks: 0 };
                    secrets.push((one, row.clone().into()));
                }
                Row::Webhook(row) if self.limits.webhooks > 0 && row.secret_name.is_none() => {
                    let one = account::Model { did, secrets: 0, webhooks: 1 };
                    webhooks.push((one, (**row).clone().into()));
                }
                _ => return None,
            }
        }
        let mut commands = self.secrets.commands::<secret::ActiveModel>(secrets);
        commands.extend(self.webhooks.commands::<webhook::ActiveModel>(webhooks));
        Some(commands)
    }
}

/// Carries out the `commands` for `rows` rows. `false`: not all are new and within the limits; the transaction has to be
/// undone.
pub(super) async fn write(
    transaction: &DatabaseTransaction,
    commands: Vec<Statement>,
    rows: usize,
) -> Result<bool, DbErr> {
    let mut changed = 0;
    for command in commands {
        changed += transaction.execute_raw(command).await?.rows_affected();
    }
    // Each row itself, and the account of its owner.
    Ok(usize::try_from(changed) == Ok(2 * rows))
}
