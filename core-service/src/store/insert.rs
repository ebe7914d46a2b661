//! Inserts of many rows, as the same few statements again and again.
//!
//! Owns how many rows a statement has, and the text of each. A database that sees a text again need not read and plan it
//! again, and building it costs more than binding the rows to it: so it is built once for each number of rows, and that
//! number is small.

use std::sync::OnceLock;

use sea_orm::sea_query::{Expr, OnConflict, Query};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, EntityTrait,
    Iterable as _, QueryResult, Statement, Value, Values,
};

/// Rows of one statement; what is more goes into the next.
const STATEMENT_ROWS: usize = 32;

/// An insert into the table of `Entity`.
#[derive(Debug)]
pub(super) struct Insert<Entity: EntityTrait> {
    on_conflict: OnConflict,
    returning: Vec<Entity::Column>,
    /// The text for one row, for two, and so on.
    texts: [OnceLock<String>; STATEMENT_ROWS],
}

impl<Entity: EntityTrait> Insert<Entity> {
    /// What happens `on_conflict`, and the columns that are returned of each row that is written.
    pub(super) fn new(on_conflict: OnConflict, returning: impl IntoIterator<Item = Entity::Column>) -> Self {
        Self {
            on_conflict,
            returning: returning.into_iter().collect(),
            texts: [const { OnceLock::new() }; STATEMENT_ROWS],
        }
    }

    /// Inserts `rows`, in their order, and gives what is returned.
    pub(super) async fn returning<Row>(
        &self,
        transaction: &DatabaseTransaction,
        rows: Vec<Row>,
    ) -> Result<Vec<QueryResult>, DbErr>
    where
        Row: ActiveModelTrait<Entity = Entity>,
    {
        let mut returned = Vec::new();
        for statement in self.statements(transaction.get_database_backend(), rows) {
            returned.append(&mut transaction.query_all_raw(statement).await?);
        }
        Ok(returned)
    }

    /// Inserts `rows`, in their order, and says how many were written.
    pub(super) async fn counting<Row>(
        &self,
        transaction: &DatabaseTransaction,
        rows: Vec<Row>,
    ) -> Result<usize, DbErr>
    where
        Row: ActiveModelTrait<Entity = Entity>,
    {
        let mut written = 0;
        for statement in self.statements(transaction.get_database_backend(), rows) {
            written += transaction.execute_raw(statement).await?.rows_affected();
        }
        Ok(usize::try_from(written).unwrap_or(usize::MAX))
    }

    /// The statements that insert `rows`, in their order.
    fn statements<Row>(&self, backend: DbBackend, rows: Vec<Row>) -> impl Iterator<Item = Statement>
    where
        Row: ActiveModelTrait<Entity = Entity>,
    {
        let mut rows = rows.into_iter();
        std::iter::from_fn(move || {
            let count = rows.len().min(STATEMENT_ROWS);
            let text = self.texts.get(count.checked_sub(1)?)?;
            let mut values = Vec::with_capacity(count * Entity::Column::iter().len());
            for mut row in rows.by_ref().take(count) {
                values.extend(Entity::Column::iter().map(|column| value(&mut row, column)));
            }
            let sql = text.get_or_init(|| self.text(backend, count)).clone();
            Some(Statement { sql, values: Some(Values(values)), db_backend: backend })
        })
    }

    fn text(&self, backend: DbBackend, rows: usize) -> String {
        let mut insert = Query::insert();
        insert.into_table(Entity::default()).columns(Entity::Column::iter());
        for _ in 0..rows {
            // In the text a value is a placeholder, whatever it is.
            insert.values_panic(Entity::Column::iter().map(|_| Expr::val(false)));
        }
        insert.on_conflict(self.on_conflict.clone());
        if !self.returning.is_empty() {
            insert.returning(Query::returning().columns(self.returning.iter().copied()));
        }
        backend.build(&insert).sql
    }
}

/// The value in a column of `row`.
fn value<Row: ActiveModelTrait>(row: &mut Row, column: <Row::Entity as EntityTrait>::Column) -> Value {
    row.take(column).into_value().expect("rows are made of whole models")
}
