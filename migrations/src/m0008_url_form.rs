//! Which normal form the hashes of URLs are of.

use sea_orm_migration::prelude::{
    ColumnDef, DbErr, DeriveIden, DeriveMigrationName, MigrationTrait, SchemaManager, Table, async_trait,
};
use sea_orm_migration::sea_orm;

#[derive(DeriveIden)]
enum IndexKey {
    Table,
    UrlForm,
}

#[derive(DeriveMigrationName)]
pub(crate) struct UrlForm;

#[async_trait::async_trait]
impl MigrationTrait for UrlForm {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // 0: some rows may be hashed in a form of an earlier release. A core-service that knows a later form
        // hashes them again and then writes the number of that form.
        let mut column = ColumnDef::new(IndexKey::UrlForm).integer().not_null().default(0).take();
        let table = Table::alter().table(IndexKey::Table).add_column(&mut column).take();
        manager.alter_table(table).await
    }
}
