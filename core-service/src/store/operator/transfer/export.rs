//! Writes all rows of a database as lines.

use std::io::Write;

use sea_orm::{ConnectionTrait, DbErr, EntityTrait, PaginatorTrait as _, Value};

use super::PROGRESS_ROWS;
use super::line::{FORMAT, Header, Line, RowCounts, VERSION};
use crate::store::database::url::DatabaseUrl;
use crate::store::operator::existing::{self, ExistingError, page, snapshot};
use crate::store::table::{account, index_key, secret, webhook};

/// An export that failed. What it wrote has no end line, so that no import takes it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error(transparent)]
    Existing(#[from] ExistingError),
    #[error("the database failed")]
    Database(#[from] DbErr),
    #[error("the output can't be written")]
    Output(#[from] std::io::Error),
}

/// Writes all rows of the database at `url`, as they are at one moment, to `target`. It reads in pages, so
/// that memory does not grow with the database. LineWriter blocks the thread, which has nothing else to do.
///
/// # Errors
///
/// The database does not exist, does not have the schema of this release, or fails; `target` can't be
/// written.
pub(crate) async fn export(url: &DatabaseUrl, target: &mut impl Write) -> Result<RowCounts, ExportError> {
    let database = existing::open(url).await?;
    let exported = async {
        let snapshot = snapshot(&database).await?;
        export_all(&snapshot, target).await
    };
    let exported = exported.await;
    database.close().await;
    exported
}

async fn export_all(
    snapshot: &impl ConnectionTrait,
    target: &mut impl Write,
) -> Result<RowCounts, ExportError> {
    let all = RowCounts {
        index_keys: index_key::Entity::find().count(snapshot).await?,
        accounts: account::Entity::find().count(snapshot).await?,
        secrets: secret::Entity::find().count(snapshot).await?,
        webhooks: webhook::Entity::find().count(snapshot).await?,
    };
    tracing::info!(total = all.total(), "exporting");
    let mut output = LineWriter { target, rows: 0, total: all.total() };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    output.line(&Line::Header(Header { format: FORMAT.to_owned(), version: VERSION, athook: version }))?;

    let mut written = RowCounts::default();
    for row in index_key::Entity::find().all(snapshot).await? {
        output.row(&Line::IndexKey(row))?;
        written.index_keys += 1;
    }
    let key = account::Column::Did;
    written.accounts =
        output.table::<account::Entity, _>(snapshot, key, |row| row.did.clone(), Line::Account).await?;
    written.secrets =
        output.table::<secret::Entity, _>(snapshot, secret::Column::Id, |row| row.id, Line::Secret).await?;
    let line = |row| Line::Webhook(Box::new(row));
    written.webhooks =
        output.table::<webhook::Entity, _>(snapshot, webhook::Column::Id, |row| row.id, line).await?;
    output.line(&Line::End(written))?;
    output.target.flush()?;
    Ok(written)
}

/// Writes lines, and counts the rows.
struct LineWriter<'a, Target> {
    target: &'a mut Target,
    rows: u64,
    total: u64,
}

impl<Target: Write> LineWriter<'_, Target> {
    /// Writes all rows of a table, page by page in the order of `key`. Returns how many they were.
    async fn table<E, Key>(
        &mut self,
        snapshot: &impl ConnectionTrait,
        key: E::Column,
        key_of: impl Fn(&E::Model) -> Key,
        line: impl Fn(E::Model) -> Line,
    ) -> Result<u64, ExportError>
    where
        E: EntityTrait,
        Key: Into<Value>,
    {
        let mut written = 0;
        let mut after = None;
        loop {
            let rows = page::<E, _>(snapshot, key, after).await?;
            let Some(last) = rows.last() else { return Ok(written) };
            after = Some(key_of(last));
            for row in rows {
                self.row(&line(row))?;
                written += 1;
            }
        }
    }

    fn row(&mut self, row: &Line) -> std::io::Result<()> {
        self.line(row)?;
        self.rows += 1;
        if self.rows.is_multiple_of(PROGRESS_ROWS) {
            tracing::info!(rows = self.rows, total = self.total, "exporting");
        }
        Ok(())
    }

    fn line(&mut self, line: &Line) -> std::io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.target.write_all(&text)
    }
}
