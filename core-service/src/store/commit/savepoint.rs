//! Savepoints: what lets one job of a transaction fail and the others go on.

use sea_orm::{DatabaseTransaction, DbErr, TransactionTrait as _};

use crate::error::{Error, log_fault};
use crate::store::fault::{self, Fault};
use crate::store::metrics::DatabaseMetrics;
use crate::store::told::Told;

/// Why a job changes nothing.
#[derive(Debug)]
pub(super) enum ChangeError {
    /// The call is answered this.
    Refused(Error),
    Database(DbErr),
}

impl From<Error> for ChangeError {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<DbErr> for ChangeError {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

/// Runs `work` in a savepoint of `transaction`. When it refuses, or a statement of it fails, its changes are
/// undone and the call gets an error.
///
/// # Errors
///
/// The database can't go on with the transaction.
pub(super) async fn in_savepoint<T>(
    transaction: &DatabaseTransaction,
    metrics: &DatabaseMetrics,
    work: impl AsyncFnOnce(&DatabaseTransaction) -> Result<T, ChangeError>,
) -> Result<Result<T, Error>, DbErr> {
    let savepoint = transaction.begin().await?;
    let error = match work(&savepoint).await {
        Ok(done) => {
            savepoint.commit().await?;
            return Ok(Ok(done));
        }
        Err(ChangeError::Refused(error)) => error,
        Err(ChangeError::Database(error)) if fault::kind(&error) == Fault::Statement => {
            metrics.failed(Fault::Statement);
            log_fault(Error::Internal, &Told::from(error))
        }
        Err(ChangeError::Database(error)) => return Err(error),
    };
    savepoint.rollback().await?;
    Ok(Err(error))
}
