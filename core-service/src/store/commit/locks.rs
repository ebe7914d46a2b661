//! Row locks, held until the transaction ends. SQLite has one writer at a time and needs none.

use sea_orm::sea_query::{LockBehavior, LockType};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, QuerySelect};

/// `query`, locking the rows that it finds.
pub(super) fn locked<Q: QuerySelect>(transaction: &DatabaseTransaction, query: Q) -> Q {
    if is_postgres(transaction) { query.lock_exclusive() } else { query }
}

/// The same; leaves out the rows that are locked already.
pub(super) fn locked_if_free<Q: QuerySelect>(transaction: &DatabaseTransaction, query: Q) -> Q {
    if is_postgres(transaction) {
        query.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
    } else {
        query
    }
}

pub(super) fn is_postgres(transaction: &DatabaseTransaction) -> bool {
    transaction.get_database_backend() == DbBackend::Postgres
}
