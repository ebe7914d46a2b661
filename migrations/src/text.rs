//! Text columns.

use sea_orm_migration::prelude::{ColumnDef, sea_query};
use sea_orm_migration::sea_orm::DbBackend;

/// Text columns that compare byte by byte on both databases.
pub(crate) struct Texts(pub(crate) DbBackend);

impl Texts {
    pub(crate) fn bytewise(&self, column: impl sea_query::IntoIden) -> ColumnDef {
        let mut definition = ColumnDef::new(column);
        definition.text();
        if self.0 == DbBackend::Postgres {
            definition.extra(r#"COLLATE "C""#);
        }
        definition
    }
}
