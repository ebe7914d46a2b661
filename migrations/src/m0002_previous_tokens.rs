//! The token that a secret had before its last rotation, for as long as it signs beside the new one.

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
        // Both are null, or neither. `previous_sealed_token` is an envelope as it was in `sealed_token`, sealed
        // to the same owner and name; from the millisecond `previous_until_ms` on it signs nothing.
        for mut column in [
            ColumnDef::new(Secret::PreviousSealedToken).binary().take(),
            ColumnDef::new(Secret::PreviousUntilMs).big_integer().take(),
        ] {
            // SQLite takes one column a statement.
            let table = Table::alter().table(Secret::Table).add_column(&mut column).take();
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}
