//! Writes the rows of an export to an empty database: all or none.

use std::io::BufRead;

use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use sea_orm::{
    Condition, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel, ModelTrait, QueryFilter as _,
    QuerySelect as _,
};

use super::intake;
use super::intake_row::IntakeRow;
use super::line::{FORMAT, Header, Line, LineError, LineFault, LineReader, RowCounts, VERSION};
use super::settle::Astray;
use super::{PROGRESS_ROWS, check, settle};
use crate::store::database::url::DatabaseUrl;
use crate::store::operator::existing::{ExistingError, lift_limits, require_same};
use crate::store::serving_lock::{LockError, ServingLock};
use crate::store::table::{
    account, attempt, delivery, event, host_hold, index_key, paused_origin, secret, webhook, webhook_state,
};
use crate::store::told::Told;
use crate::store::transaction::Failure;
use crate::store::{OpenError, connect_and_migrate};

/// The most rows of one statement. With 18 parameters for a webhook that is below the 32,766 parameters of
/// SQLite and the 65,535 of Postgres.
const INSERT_ROWS: usize = 500;
/// Bytes of lines after which their rows are inserted, however few they are.
const INSERT_BYTES: usize = 8 * 1024 * 1024;

/// An import that failed. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    #[error(transparent)]
    Line(#[from] LineError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Existing(#[from] ExistingError),
    #[error("stop the core-service first")]
    Served(#[from] LockError),
    #[error("the database failed")]
    Database(#[from] Told),
    #[error("the database is not empty, and nothing was written to it: {0}")]
    NotEmpty(DatabaseUrl),
    #[error("the database refuses lines {first} to {last}")]
    Refused {
        first: u64,
        last: u64,
        #[source]
        error: DbErr,
    },
    #[error("the counts of account {0} are not those of its rows")]
    AccountCounts(String),
    #[error("{0}")]
    Astray(Astray),
    #[error("there are accounts and no index key: URLs could not be compared any more")]
    NoIndexKey,
}

impl From<DbErr> for ImportError {
    fn from(error: DbErr) -> Self {
        Self::Database(error.into())
    }
}

impl From<Failure> for ImportError {
    fn from(failure: Failure) -> Self {
        Self::Database(failure.told())
    }
}

/// Brings the schema of the empty database at `url` up to date, and writes the rows in `source` to it, in one
/// transaction. What was being attempted is due at `now_ms`. Reading blocks the thread, which has nothing
/// else to do.
///
/// # Errors
///
/// The first line that is refused; the input ends early; the database is not empty, has a newer schema,
/// refuses a row, or fails. Then no row is written.
pub(crate) async fn import(
    url: &DatabaseUrl,
    source: impl BufRead,
    now_ms: i64,
) -> Result<RowCounts, ImportError> {
    let mut lines = LineReader::new(source);
    check_header(&mut lines)?;
    let database = connect_and_migrate(url).await?;
    let imported = async {
        let _alone = match url.sqlite_file() {
            Some(file) => Some(ServingLock::take(&file).await?),
            None => None,
        };
        require_same(&database, url).await?;
        let import = async |transaction: &_| {
            lift_limits(transaction).await?;
            if !is_empty(transaction).await? {
                return Err(ImportError::NotEmpty(url.clone()));
            }
            let counts = import_all(transaction, &mut lines).await?;
            check_accounts(transaction).await?;
            if let Some(astray) = settle::find_astray(transaction).await? {
                return Err(ImportError::Astray(astray));
            }
            settle::settle(transaction, now_ms).await?;
            Ok(counts)
        };
        database.transaction_once(import).await
    };
    let imported = imported.await;
    database.close().await;
    imported
}

fn check_header(lines: &mut LineReader<impl BufRead>) -> Result<(), ImportError> {
    let no_header = |line| LineError::Refused { line, fault: LineFault::NoHeader };
    let Some(Line::Header(header)) = lines.next()? else { return Err(no_header(1).into()) };
    let Header { format, version, athook } = header;
    if format != FORMAT || version == 0 {
        return Err(no_header(1).into());
    }
    if version > VERSION {
        return Err(lines.refuse(LineFault::NewerVersion { version, athook }).into());
    }
    Ok(())
}

async fn is_empty(transaction: &DatabaseTransaction) -> Result<bool, DbErr> {
    // A core-service that has used the database has left an index key. Until the commit no other process can
    // insert one: it would have the same id.
    let anything = index_key::Entity::find().one(transaction).await?.is_some()
        || account::Entity::find().one(transaction).await?.is_some()
        || secret::Entity::find().one(transaction).await?.is_some()
        || webhook::Entity::find().one(transaction).await?.is_some();
    Ok(!anything)
}

/// The tables in the order of their rows: each may refer to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Section {
    IndexKey,
    Account,
    Secret,
    Webhook,
    WebhookState,
    Event,
    Delivery,
    Attempt,
    HostHold,
    PausedOrigin,
    IntakeRow,
}

/// Rows for the next INSERT.
#[derive(Default)]
struct Batch {
    index_keys: Vec<index_key::Model>,
    accounts: Vec<account::Model>,
    secrets: Vec<secret::Model>,
    webhooks: Vec<webhook::Model>,
    webhook_states: Vec<webhook_state::Model>,
    events: Vec<event::Model>,
    deliveries: Vec<delivery::Model>,
    attempts: Vec<attempt::Model>,
    host_holds: Vec<host_hold::Model>,
    paused_origins: Vec<paused_origin::Model>,
    intake_rows: Vec<IntakeRow>,
    rows: usize,
    bytes: usize,
}

async fn import_all(
    transaction: &DatabaseTransaction,
    lines: &mut LineReader<impl BufRead>,
) -> Result<RowCounts, ImportError> {
    let mut counts = RowCounts::default();
    let mut batch = Batch::default();
    let mut section = Section::IndexKey;
    loop {
        let Some(line) = lines.next()? else { return Err(LineError::CutOff { line: lines.number() }.into()) };
        let line_section = match &line {
            Line::IndexKey(_) => Section::IndexKey,
            Line::Account(_) => Section::Account,
            Line::Secret(_) => Section::Secret,
            Line::Webhook(_) => Section::Webhook,
            Line::WebhookState(_) => Section::WebhookState,
            Line::Event(_) => Section::Event,
            Line::Delivery(_) => Section::Delivery,
            Line::Attempt(_) => Section::Attempt,
            Line::HostHold(_) => Section::HostHold,
            Line::PausedOrigin(_) => Section::PausedOrigin,
            Line::IntakeRow(_) => Section::IntakeRow,
            Line::Header(_) => return Err(lines.refuse(LineFault::Order).into()),
            Line::End(declared) => {
                batch.insert(transaction, lines.number() - 1).await?;
                check_end(lines, *declared, counts)?;
                return Ok(counts);
            }
        };
        if line_section < section {
            return Err(lines.refuse(LineFault::Order).into());
        }
        if line_section > section || batch.rows == INSERT_ROWS || batch.bytes >= INSERT_BYTES {
            batch.insert(transaction, lines.number() - 1).await?;
            section = line_section;
        }
        if line_section > Section::IndexKey && counts.index_keys == 0 {
            return Err(ImportError::NoIndexKey);
        }
        batch.add(line, &mut counts).map_err(|fault| lines.refuse(fault))?;
        batch.bytes += lines.bytes();
        if counts.total().is_multiple_of(PROGRESS_ROWS) {
            tracing::info!(rows = counts.total(), "importing");
        }
    }
}

/// Checks that the end line has the right counts, and that nothing comes after it.
fn check_end(
    lines: &mut LineReader<impl BufRead>,
    declared: RowCounts,
    counted: RowCounts,
) -> Result<(), LineError> {
    if declared != counted {
        return Err(lines.refuse(LineFault::Counts));
    }
    match lines.next() {
        Ok(None) => Ok(()),
        Ok(Some(_)) | Err(LineError::Refused { .. } | LineError::CutOff { .. }) => {
            Err(lines.refuse(LineFault::AfterEnd))
        }
        Err(error @ LineError::Io { .. }) => Err(error),
    }
}

impl Batch {
    fn add(&mut self, line: Line, counts: &mut RowCounts) -> Result<(), LineFault> {
        match line {
            Line::IndexKey(row) => {
                check::index_key(&row)?;
                self.index_keys.push(row);
                counts.index_keys += 1;
            }
            Line::Account(row) => {
                check::account(&row)?;
                self.accounts.push(row);
                counts.accounts += 1;
            }
            Line::Secret(row) => {
                check::secret(&row)?;
                self.secrets.push(row);
                counts.secrets += 1;
            }
            Line::Webhook(row) => {
                check::webhook(&row)?;
                self.webhooks.push(*row);
                counts.webhooks += 1;
            }
            Line::WebhookState(row) => {
                check::webhook_state(&row)?;
                self.webhook_states.push(*row);
                counts.webhook_states += 1;
            }
            Line::Event(row) => {
                check::event(&row)?;
                self.events.push(*row);
                counts.events += 1;
            }
            Line::Delivery(row) => {
                check::delivery(&row)?;
                self.deliveries.push(*row);
                counts.deliveries += 1;
            }
            Line::Attempt(row) => {
                check::attempt(&row)?;
                self.attempts.push(row);
                counts.attempts += 1;
            }
            Line::HostHold(row) => {
                check::host_hold(&row)?;
                self.host_holds.push(row);
                counts.host_holds += 1;
            }
            Line::PausedOrigin(row) => {
                check::paused_origin(&row)?;
                self.paused_origins.push(row);
                counts.paused_origins += 1;
            }
            Line::IntakeRow(row) => {
                intake::check(&row)?;
                self.intake_rows.push(row);
                counts.intake_rows += 1;
            }
            Line::Header(_) | Line::End(_) => return Err(LineFault::Order),
        }
        self.rows += 1;
        Ok(())
    }

    /// Inserts all rows, which came in the lines up to `last`.
    async fn insert(&mut self, transaction: &DatabaseTransaction, last: u64) -> Result<(), ImportError> {
        let Self {
            index_keys,
            accounts,
            secrets,
            webhooks,
            webhook_states,
            events,
            deliveries,
            attempts,
            host_holds,
            paused_origins,
            intake_rows,
            rows,
            bytes: _,
        } = std::mem::take(self);
        let first = last + 1 - rows as u64;
        let inserted = async {
            insert(transaction, index_keys).await?;
            insert(transaction, accounts).await?;
            insert(transaction, secrets).await?;
            insert(transaction, webhooks).await?;
            insert(transaction, webhook_states).await?;
            insert(transaction, events).await?;
            insert(transaction, deliveries).await?;
            insert(transaction, attempts).await?;
            insert(transaction, host_holds).await?;
            insert(transaction, paused_origins).await?;
            intake::insert(transaction, intake_rows).await
        };
        inserted.await.map_err(|error| ImportError::Refused { first, last, error })
    }
}

async fn insert<Row>(transaction: &DatabaseTransaction, rows: Vec<Row>) -> Result<(), DbErr>
where
    Row: ModelTrait + IntoActiveModel<<Row::Entity as EntityTrait>::ActiveModel>,
{
    if rows.is_empty() {
        return Ok(());
    }
    let rows = rows.into_iter().map(IntoActiveModel::into_active_model);
    <Row::Entity as EntityTrait>::insert_many(rows).exec_without_returning(transaction).await.map(drop)
}

/// Checks that the counts of every account are those of its rows. The limits rely on them.
async fn check_accounts(transaction: &DatabaseTransaction) -> Result<(), ImportError> {
    let secrets = Query::select()
        .expr(Expr::col((secret::Entity, secret::Column::Id)).count())
        .from(secret::Entity)
        .and_where(
            Expr::col((secret::Entity, secret::Column::OwnerDid))
                .equals((account::Entity, account::Column::Did)),
        )
        .to_owned();
    let webhooks = Query::select()
        .expr(Expr::col((webhook::Entity, webhook::Column::Id)).count())
        .from(webhook::Entity)
        .and_where(
            Expr::col((webhook::Entity, webhook::Column::OwnerDid))
                .equals((account::Entity, account::Column::Did)),
        )
        .to_owned();
    let differs = Condition::any()
        .add(Expr::col((account::Entity, account::Column::Secrets)).ne(secrets))
        .add(Expr::col((account::Entity, account::Column::Webhooks)).ne(webhooks));
    let did: Option<String> = account::Entity::find()
        .select_only()
        .column(account::Column::Did)
        .filter(differs)
        .into_tuple()
        .one(transaction)
        .await?;
    match did {
        None => Ok(()),
        Some(did) => Err(ImportError::AccountCounts(did)),
    }
}
