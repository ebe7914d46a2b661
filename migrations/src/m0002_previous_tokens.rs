//! The token of a secret before its last rotation, which may sign beside the new one for some time.

use sea_orm_migration::prelude::{
    ColumnDef, DbErr, DeriveIden, DeriveMigrationName, MigrationTrait, SchemaManager, Table, async_trait,
};
use sea_orm_migration::sea_orm;

#[derive(DeriveIden)]
enum Secret {
    Table,
    PreviousSealedToken,
    PreviousUntilMs,
}

#[derive(DeriveMigrationName)]
pub(crate) struct PreviousTokens;

#[async_trait::async_trait]
impl MigrationTrait for PreviousTokens {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Both are null, or neither. `previous_sealed_token` has the form of `sealed_token`, with the same
        // associated data. From the time `previous_until_ms` on it no longer signs.
        for mut column in [
            ColumnDef::new(Secret::PreviousSealedToken).binary().take(),
            ColumnDef::new(Secret::PreviousUntilMs).big_integer().take(),
        ] {
            // SQLite adds one column in each statement.
            let table = Table::alter().table(Secret::Table).add_column(&mut column).take();
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}
