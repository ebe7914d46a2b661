//! Secrets: created, listed, rotated and deleted.
//!
//! Opens no sealed value: no call needs a token that is stored.

use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _};

use super::commit::rotate_secret::SecretRotation;
use super::commit::{Job, unknown_secret};
use super::table::secret;
use super::{Store, row};
use crate::domain::did::Did;
use crate::domain::secret::{NewSecret, Rotation, Secret, SecretName};
use crate::error::Error;

impl Store {
    /// Stores a secret, its token sealed.
    ///
    /// # Errors
    ///
    /// The name exists, the limit is reached, or the database is overloaded or fails.
    pub(crate) async fn create_secret(&self, new: &NewSecret) -> Result<(), Error> {
        let row = self.sealer.secret(new)?;
        self.commits.submit(&new.owner, |reply| Job::CreateSecret { row, reply }).await
    }

    /// The secrets of `owner`, oldest first.
    ///
    /// # Errors
    ///
    /// The database fails.
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

    /// Looks a secret up that a webhook is to name, before the webhook is written.
    ///
    /// # Errors
    ///
    /// `owner` has no secret of that name, or the database fails.
    pub(crate) async fn check_secret(&self, owner: &Did, name: &SecretName) -> Result<(), Error> {
        let count = || {
            secret::Entity::find()
                .filter(secret::Column::OwnerDid.eq(owner.as_str()))
                .filter(secret::Column::Name.eq(name.as_str()))
                .count(&self.database.reading)
        };
        if self.database.read(count).await? == 0 { Err(unknown_secret()) } else { Ok(()) }
    }

    /// Gives a secret a new token. The token before is kept if the rotation has an overlap; all older ones
    /// are gone.
    ///
    /// # Errors
    ///
    /// The owner has no secret of that name, or the database is overloaded or fails.
    pub(crate) async fn rotate_secret(&self, rotation: &Rotation) -> Result<(), Error> {
        let previous_until_ms = rotation.previous_until_ms();
        let Rotation { owner, name, token, rotated_at_ms, overlap: _ } = rotation;
        let rotation = SecretRotation {
            name: name.clone(),
            sealed_token: self.sealer.token(owner, name, token)?,
            rotated_at_ms: *rotated_at_ms,
            previous_until_ms,
        };
        self.commits.submit(owner, |reply| Job::RotateSecret { rotation, reply }).await
    }

    /// Deletes a secret that no webhook names.
    ///
    /// # Errors
    ///
    /// The owner has no secret of that name, webhooks name it, or the database is overloaded or fails.
    pub(crate) async fn delete_secret(&self, owner: &Did, name: &SecretName) -> Result<(), Error> {
        let name = name.clone();
        self.commits.submit(owner, |reply| Job::DeleteSecret { name, reply }).await
    }
}
