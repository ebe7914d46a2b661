//! Writes all rows of a database as lines.

use std::io::Write;

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ConnectionTrait, DbErr, EntityTrait, PaginatorTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, StreamTrait, Value,
};
use uuid::Uuid;

use super::line::{FORMAT, Header, Line, RowCounts, VERSION};
use super::{PROGRESS_ROWS, intake};
use crate::store::database::url::DatabaseUrl;
use crate::store::operator::existing::{
    self, DELIVERY_PAGE_ROWS, ExistingError, PAGE_ROWS, end, page, snapshot,
};
use crate::store::table::{
    account, attempt, delivery, event, host_hold, index_key, paused_origin, secret, webhook, webhook_state,
};
use crate::store::told::Told;

/// An export that failed. What it wrote has no end line, so that no import takes it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error(transparent)]
    Existing(#[from] ExistingError),
    #[error("the database failed")]
    Database(#[from] Told),
    #[error("the output can't be written")]
    Output(#[from] std::io::Error),
}

impl From<DbErr> for ExportError {
    fn from(error: DbErr) -> Self {
        Self::Database(error.into())
    }
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
        let counts = export_all(&snapshot, target).await?;
        end(&database, snapshot).await?;
        Ok(counts)
    };
    let exported = exported.await;
    database.close().await;
    exported
}

async fn export_all(
    snapshot: &(impl ConnectionTrait + StreamTrait),
    target: &mut impl Write,
) -> Result<RowCounts, ExportError> {
    let all = RowCounts {
        index_keys: index_key::Entity::find().count(snapshot).await?,
        accounts: account::Entity::find().count(snapshot).await?,
        secrets: secret::Entity::find().count(snapshot).await?,
        webhooks: webhook::Entity::find().count(snapshot).await?,
        webhook_states: webhook_state::Entity::find().count(snapshot).await?,
        events: event::Entity::find().count(snapshot).await?,
        deliveries: delivery::Entity::find().count(snapshot).await?,
        attempts: attempt::Entity::find().count(snapshot).await?,
        host_holds: host_hold::Entity::find().count(snapshot).await?,
        paused_origins: paused_origin::Entity::find().count(snapshot).await?,
        intake_rows: intake::count(snapshot).await?,
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
    let (key, line) = (webhook_state::Column::WebhookId, |row| Line::WebhookState(Box::new(row)));
    written.webhook_states =
        output.table::<webhook_state::Entity, _>(snapshot, key, |row| row.webhook_id, line).await?;
    let line = |row| Line::Event(Box::new(row));
    written.events =
        output.table::<event::Entity, _>(snapshot, event::Column::Id, |row| row.id, line).await?;
    let (key, line) = (delivery::Column::Id, |row| Line::Delivery(Box::new(row)));
    written.deliveries =
        output.pages::<delivery::Entity, _>(snapshot, key, |row| row.id, line, DELIVERY_PAGE_ROWS).await?;
    written.attempts = output.attempts(snapshot).await?;
    let key = host_hold::Column::Host;
    written.host_holds =
        output.table::<host_hold::Entity, _>(snapshot, key, |row| row.host.clone(), Line::HostHold).await?;
    let (key, key_of) = (paused_origin::Column::Origin, |row: &paused_origin::Model| row.origin.clone());
    written.paused_origins =
        output.table::<paused_origin::Entity, _>(snapshot, key, key_of, Line::PausedOrigin).await?;
    intake::each(snapshot, |row| {
        written.intake_rows += 1;
        output.row(&Line::IntakeRow(row)).map_err(ExportError::from)
    })
    .await?;
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
        self.pages::<E, Key>(snapshot, key, key_of, line, PAGE_ROWS).await
    }

    /// The same in pages of so many rows.
    async fn pages<E, Key>(
        &mut self,
        snapshot: &impl ConnectionTrait,
        key: E::Column,
        key_of: impl Fn(&E::Model) -> Key,
        line: impl Fn(E::Model) -> Line,
        page_rows: u64,
    ) -> Result<u64, ExportError>
    where
        E: EntityTrait,
        Key: Into<Value>,
    {
        let mut written = 0;
        let mut after = None;
        loop {
            let rows = page::<E, _>(snapshot, key, after, page_rows).await?;
            let Some(last) = rows.last() else { return Ok(written) };
            after = Some(key_of(last));
            for row in rows {
                self.row(&line(row))?;
                written += 1;
            }
        }
    }

    /// The same for attempts, whose key has two columns.
    async fn attempts(&mut self, snapshot: &impl ConnectionTrait) -> Result<u64, ExportError> {
        let columns = || [attempt::Column::DeliveryId, attempt::Column::Number].map(Expr::col);
        let mut written = 0;
        let mut after = (Uuid::nil(), 0);
        loop {
            let rows = attempt::Entity::find()
                .filter(Expr::tuple(columns()).gt(Expr::tuple([Expr::val(after.0), Expr::val(after.1)])))
                .order_by_asc(attempt::Column::DeliveryId)
                .order_by_asc(attempt::Column::Number)
                .limit(PAGE_ROWS)
                .all(snapshot)
                .await?;
            let Some(last) = rows.last() else { return Ok(written) };
            after = (last.delivery_id, last.number);
            for row in rows {
                self.row(&Line::Attempt(row))?;
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
