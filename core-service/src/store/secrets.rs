//! Secrets that are there: listed, rotated and deleted. Making them is a matter of [`batch`](super::batch).
//!
//! Owns the statements of these three. Opens no sealed value: none of them needs a token that is stored.

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, Condition, DatabaseTransaction, DbErr, EntityTrait as _, PaginatorTrait as _,
    QueryFilter as _, QueryOrder as _,
};

use super::table::{account, secret, webhook};
use super::transaction::{Failure, begin, commit, lock_account};
use super::{Store, row};
use crate::domain::did::Did;
use crate::domain::secret::{Rotation, Secret, SecretName};
use crate::error::Error;
use crate::seal::Purpose;

impl Store {
    /// The secrets of `owner`, oldest first.
    ///
    /// # Errors
    ///
    /// The database can't.
    pub(crate) async fn list_secrets(&self, owner: &Did) -> Result<Vec<Secret>, Error> {
        self.database
            .read(|| async {
                secret::Entity::find()
                    .filter(secret::Column::OwnerDid.eq(owner.as_str()))
                    .order_by_asc(secret::Column::CreatedAtMs)
                    .order_by_asc(secret::Column::Id)
                    .into_partial_model::<row::ShownSecret>()
                    .all(&self.database.reading)
                    .await?
                    .into_iter()
                    .map(row::shown_secret)
                    .collect()
            })
            .await
    }

    /// Gives a secret a new token, sealed. Of the tokens before, the last one is kept as it was sealed, if the
    /// rotation has an overlap; none otherwise.
    ///
    /// # Errors
    ///
    /// The owner has no secret of that name, or the database can't.
    pub(crate) async fn rotate_secret(&self, rotation: &Rotation) -> Result<(), Error> {
        let Rotation { owner, name, token, rotated_at_ms, overlap: _ } = rotation;
        let sealed_token = self.seal(Purpose::Token { owner, name }, token.expose())?;
        let previous_until_ms = rotation.previous_until_ms();
        // What stands on the right is the row as it was.
        let previous_sealed_token = match previous_until_ms {
            Some(_) => Expr::col(secret::Column::SealedToken),
            None => Expr::val(None::<Vec<u8>>),
        };
        let rotate = secret::Entity::update_many()
            .col_expr(secret::Column::PreviousSealedToken, previous_sealed_token)
            .col_expr(secret::Column::PreviousUntilMs, Expr::val(previous_until_ms))
            .col_expr(secret::Column::SealedToken, Expr::val(sealed_token))
            .col_expr(secret::Column::LastRotatedAtMs, Expr::val(*rotated_at_ms))
            .filter(named(owner, name));
        let rotated = self.database.write(|| async {
            let transaction = begin(&self.database.writing).await?;
            lock_account(&transaction, owner).await?;
            let rotated = rotate.clone().exec(&transaction).await?.rows_affected;
            commit(transaction).await?;
            Ok(rotated)
        });
        match rotated.await.map_err(|failure| failure.logged())? {
            0 => Err(Error::SecretNotFound),
            _ => Ok(()),
        }
    }

    /// Removes a secret that no webhook names.
    ///
    /// # Errors
    ///
    /// The owner has no secret of that name, webhooks name it, or the database can't.
    pub(crate) async fn delete_secret(&self, owner: &Did, name: &SecretName) -> Result<(), Error> {
        let deleted = self.database.write(|| async {
            let transaction = begin(&self.database.writing).await?;
            let deleted = delete(&transaction, owner, name).await?;
            commit(transaction).await?;
            Ok(deleted)
        });
        match deleted.await.map_err(|failure: Failure| failure.logged())? {
            Deleted::Yes => Ok(()),
            Deleted::NotThere => Err(Error::SecretNotFound),
            Deleted::InUse { webhooks } => Err(Error::SecretInUse { webhooks }),
        }
    }
}

/// What came of a deletion.
enum Deleted {
    Yes,
    NotThere,
    InUse { webhooks: u64 },
}

async fn delete(transaction: &DatabaseTransaction, owner: &Did, name: &SecretName) -> Result<Deleted, DbErr> {
    lock_account(transaction, owner).await?;
    let naming_it =
        webhook::Column::OwnerDid.eq(owner.as_str()).and(webhook::Column::SecretName.eq(name.as_str()));
    let webhooks = webhook::Entity::find().filter(naming_it).count(transaction).await?;
    if webhooks > 0 {
        return Ok(Deleted::InUse { webhooks });
    }
    let deleted = secret::Entity::delete_many().filter(named(owner, name)).exec(transaction).await?;
    if deleted.rows_affected == 0 {
        return Ok(Deleted::NotThere);
    }
    account::Entity::update_many()
        .col_expr(account::Column::Secrets, Expr::col(account::Column::Secrets).sub(1))
        .filter(account::Column::Did.eq(owner.as_str()))
        .exec(transaction)
        .await?;
    Ok(Deleted::Yes)
}

/// The one secret that `owner` calls `name`.
fn named(owner: &Did, name: &SecretName) -> Condition {
    Condition::all()
        .add(secret::Column::OwnerDid.eq(owner.as_str()))
        .add(secret::Column::Name.eq(name.as_str()))
}
