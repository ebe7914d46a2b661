//! Yardstick (a): the same rows inserted one by one, each with its own commit, without HTTP or gRPC.
//!
//! There are as many tasks as the client has connections. On SQLite they share one database connection; on
//! Postgres each has its own ([`connect`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use process::clock::Clock;
use process::exit::Failure;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbErr, Statement, Value};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::calls::{Callers, Procedure, fresh_number, url};
use crate::databases::connect;
use crate::sample::{CallResults, Sample};

/// What encryption adds to a text, in bytes: version, key id, nonce, tag.
const SEAL_BYTES: usize = 1 + 8 + 12 + 16;
/// The length of a generated token.
const TOKEN_BYTES: usize = 38;
/// The length of the hash of a URL.
const HASH_BYTES: usize = 32;

const INSERT_ACCOUNT: &str = "INSERT INTO account (did, secrets, webhooks) VALUES ($1, 0, 0)";
const INSERT_SECRET: &str = "INSERT INTO secret (id, owner_did, name, sealed_token, created_at_ms, \
     last_rotated_at_ms) VALUES ($1, $2, $3, $4, $5, $6)";
const INSERT_WEBHOOK: &str = "INSERT INTO webhook (id, owner_did, sealed_url, url_hash, events, active, name, \
     description, prefix, suffix, rewrite, mute_words, streamplace_format, secret_name, created_at_ms, \
     updated_at_ms, last_triggered_at_ms, error_count) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";

/// The database connections, and the owners of the rows.
pub(crate) struct Inserts {
    runtime: Runtime,
    connections: Vec<DatabaseConnection>,
    owners: Arc<[String]>,
    clock: Clock,
}

impl Inserts {
    /// Connects to a migrated database, for up to `tasks` tasks, and inserts the accounts.
    pub(crate) fn connect(database_url: &str, callers: &Callers, tasks: usize) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let owners: Arc<[String]> = callers.dids().map(str::to_owned).collect();
        let connections = runtime.block_on(async {
            let connections = connect(database_url, tasks).await?;
            for owner in owners.iter() {
                execute(&connections[0], INSERT_ACCOUNT, vec![owner.clone().into()]).await?;
            }
            Ok::<_, Failure>(connections)
        })?;
        Ok(Self { runtime, connections, owners, clock: Clock::system() })
    }

    /// Inserts for `length`.
    pub(crate) fn run(
        &self,
        procedure: Procedure,
        tasks: usize,
        length: Duration,
    ) -> Result<Sample, Failure> {
        let started = Instant::now();
        let results = self.runtime.block_on(async {
            let mut inserting = JoinSet::new();
            for connection in self.connections.iter().cycle().take(tasks) {
                let (owners, clock) = (Arc::clone(&self.owners), self.clock.clone());
                inserting.spawn(insert(connection.clone(), procedure, owners, clock, started + length));
            }
            CallResults::sum(inserting.join_all().await, started)
        });
        match results.first_error {
            Some(error) => Err(format!("an insert failed: {error}").into()),
            None => Ok(results.sample(None)),
        }
    }
}

async fn insert(
    connection: DatabaseConnection,
    procedure: Procedure,
    owners: Arc<[String]>,
    clock: Clock,
    until: Instant,
) -> CallResults {
    let mut results = CallResults::default();
    loop {
        let sent = Instant::now();
        if sent >= until {
            return results;
        }
        let number = fresh_number();
        let owner = usize::try_from(number).map_or(0, |number| number % owners.len());
        let (sql, values) = row(procedure, number, &owners[owner], clock.unix_ms());
        match execute(&connection, sql, values).await {
            Ok(()) => results.add_success(sent.elapsed()),
            Err(error) => {
                results.add_error(error.to_string());
                return results;
            }
        }
    }
}

/// The row that the core-service stores for a call of the bench.
fn row(procedure: Procedure, number: u64, owner: &str, now_ms: i64) -> (&'static str, Vec<Value>) {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    let id: Uuid = uuid::Builder::from_unix_timestamp_millis(now_ms.unsigned_abs(), &random).into_uuid();
    let sealed = |bytes: usize| vec![0_u8; bytes + SEAL_BYTES];
    let no_text = || Value::from(None::<String>);
    let no_number = || Value::from(None::<i64>);
    match procedure {
        Procedure::CreateSecret => {
            let name = format!("deploys-{number:012}");
            let sealed_token = sealed(TOKEN_BYTES);
            let values =
                vec![id.into(), owner.into(), name.into(), sealed_token.into(), now_ms.into(), no_number()];
            (INSERT_SECRET, values)
        }
        Procedure::CreateWebhook => {
            let mut url_hash = vec![0_u8; HASH_BYTES];
            // Spread over all values, as a hash is.
            url_hash[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            let values = vec![
                id.into(),
                owner.into(),
                sealed(url(number).len()).into(),
                url_hash.into(),
                "chat,livestream".into(),
                true.into(),
                "Bridge".into(),
                no_text(),
                no_text(),
                no_text(),
                r#"[["cat","dog"]]"#.into(),
                r#"["spoiler"]"#.into(),
                false.into(),
                no_text(),
                now_ms.into(),
                no_number(),
                no_number(),
                0_i32.into(),
            ];
            (INSERT_WEBHOOK, values)
        }
    }
}

async fn execute(connection: &DatabaseConnection, sql: &str, values: Vec<Value>) -> Result<(), DbErr> {
    let statement = Statement::from_sql_and_values(connection.get_database_backend(), sql, values);
    connection.execute_raw(statement).await.map(drop)
}
