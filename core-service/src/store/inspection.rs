//! A look at a database that changes nothing: whether it can be reached, which schema it has, and whether the
//! seal keys are its own.

use migrations::{SchemaState, schema_state};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};

use super::OpenError;
use super::database::open_as_it_is;
use super::database::url::DatabaseUrl;
use super::index_key;
use crate::seal::SealKeys;

/// The schema of the database at `url`; `None` for an SQLite file that the first start makes. `keys` is
/// `None` where their file is not there.
///
/// # Errors
///
/// It can't be reached, it is no database, or `keys` do not open what it holds.
pub(crate) async fn inspect(
    url: &DatabaseUrl,
    keys: Option<&SealKeys>,
) -> Result<Option<SchemaState>, OpenError> {
    let failed = |error: DbErr| OpenError::Database { url: url.clone(), error: error.into() };
    let Some(connection) = open_as_it_is(url).await.map_err(failed)? else { return Ok(None) };
    let schema = look(&connection, url, keys).await;
    connection.close().await.map_err(failed)?;
    schema.map(Some)
}

async fn look(
    database: &DatabaseConnection,
    url: &DatabaseUrl,
    keys: Option<&SealKeys>,
) -> Result<SchemaState, OpenError> {
    // A file that holds no database is noticed by the first statement.
    let schema = async {
        database.execute_unprepared("SELECT 1").await?;
        schema_state(database).await
    };
    let schema =
        schema.await.map_err(|error| OpenError::Database { url: url.clone(), error: error.into() })?;
    if schema != SchemaState::Older {
        let checked = index_key::check(database, keys).await;
        checked.map_err(|error| OpenError::IndexKey { url: url.clone(), error })?;
    }
    Ok(schema)
}
