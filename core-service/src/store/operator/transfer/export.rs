//! All rows of a database as lines.

use std::io::Write;

use sea_orm::{ConnectionTrait, DbErr, EntityTrait as _, PaginatorTrait as _};
use uuid::Uuid;

use super::PROGRESS_ROWS;
use super::line::{FORMAT, Header, Line, Totals, VERSION};
use crate::store::database::DatabaseUrl;
use crate::store::operator::existing::{self, ExistingError, page, snapshot};
use crate::store::table::{account, index_key, secret, webhook};

/// An export that failed. What was written has no end line, and no import takes it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error(transparent)]
    Existing(#[from] ExistingError),
    #[error("the database failed")]
    Database(#[from] DbErr),
    #[error("the output can't be written")]
    Output(#[from] std::io::Error),
}

/// Writes all rows of the database at `url`, as they are at one moment, to `target`: in pages, so that memory does not
/// grow with the database. Writing blocks, which is well where nothing else is done.
///
/// # Errors
///
/// The database is not there, not of this release, or fails; `target` can't be written.
pub(crate) async fn export(url: &DatabaseUrl, target: &mut impl Write) -> Result<Totals, ExportError> {
    let database = existing::open(url).await?;
    let exported = async {
        let snapshot = snapshot(&database).await?;
        export_all(&snapshot, target).await
    };
    let exported = exported.await;
    database.close().await;
    exported
}

async fn export_all(snapshot: &impl ConnectionTrait, target: &mut impl Write) -> Result<Totals, ExportError> {
    let all = Totals {
        index_keys: index_key::Entity::find().count(snapshot).await?,
        accounts: account::Entity::find().count(snapshot).await?,
        secrets: secret::Entity::find().count(snapshot).await?,
        webhooks: webhook::Entity::find().count(snapshot).await?,
    };
    tracing::info!(total = all.rows(), "exporting");
    let mut writing = Writing { target, rows: 0, total: all.rows() };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    writing.line(&Line::Header(Header { format: FORMAT.to_owned(), version: VERSION, athook: version }))?;

    let mut written = Totals::default();
    for row in index_key::Entity::find().all(snapshot).await? {
        writing.row(&Line::IndexKey(row.into()))?;
        written.index_keys += 1;
    }
    let mut after: Option<String> = None;
    loop {
        let rows = page::<account::Entity, _>(snapshot, account::Column::Did, after).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.did.clone());
        for row in rows {
            writing.row(&Line::Account(row.into()))?;
            written.accounts += 1;
        }
    }
    let mut after: Option<Uuid> = None;
    loop {
        let rows = page::<secret::Entity, _>(snapshot, secret::Column::Id, after).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.id);
        for row in rows {
            writing.row(&Line::Secret(row.into()))?;
            written.secrets += 1;
        }
    }
    let mut after: Option<Uuid> = None;
    loop {
        let rows = page::<webhook::Entity, _>(snapshot, webhook::Column::Id, after).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.id);
        for row in rows {
            writing.row(&Line::Webhook(Box::new(row.into())))?;
            written.webhooks += 1;
        }
    }
    writing.line(&Line::End(written))?;
    writing.target.flush()?;
    Ok(written)
}

/// Lines on their way out, counted.
struct Writing<'a, Target> {
    target: &'a mut Target,
    rows: u64,
    total: u64,
}

impl<Target: Write> Writing<'_, Target> {
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
