//! All rows of a database as comparable text.

use sea_orm::{DatabaseConnection, QueryResult};
use uuid::Uuid;

use crate::harness::database::{Database, rows};

/// The type of a column.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Type {
    Text,
    Bytes,
    Id,
    SmallInteger,
    Integer,
    BigInteger,
    Boolean,
}

/// What a core-service finds out again.
const NOT_EXPORTED: &str = "url_form";

pub(crate) const TABLES: [(&str, &[(&str, Type)]); 21] = [
    ("index_key", &[("id", Type::Integer), ("sealed_key", Type::Bytes), (NOT_EXPORTED, Type::Integer)]),
    ("account", &[("did", Type::Text), ("secrets", Type::Integer), ("webhooks", Type::Integer)]),
    (
        "secret",
        &[
            ("id", Type::Id),
            ("owner_did", Type::Text),
            ("name", Type::Text),
            ("sealed_token", Type::Bytes),
            ("created_at_ms", Type::BigInteger),
            ("last_rotated_at_ms", Type::BigInteger),
            ("previous_sealed_token", Type::Bytes),
            ("previous_until_ms", Type::BigInteger),
        ],
    ),
    (
        "webhook",
        &[
            ("id", Type::Id),
            ("owner_did", Type::Text),
            ("sealed_url", Type::Bytes),
            ("url_hash", Type::Bytes),
            ("events", Type::Text),
            ("active", Type::Boolean),
            ("name", Type::Text),
            ("description", Type::Text),
            ("prefix", Type::Text),
            ("suffix", Type::Text),
            ("rewrite", Type::Text),
            ("mute_words", Type::Text),
            ("streamplace_format", Type::Boolean),
            ("secret_name", Type::Text),
            ("created_at_ms", Type::BigInteger),
            ("updated_at_ms", Type::BigInteger),
            ("last_triggered_at_ms", Type::BigInteger),
            ("error_count", Type::Integer),
            ("since_us", Type::BigInteger),
        ],
    ),
    (
        "event",
        &[
            ("id", Type::Id),
            ("publisher", Type::Text),
            ("idempotency_key", Type::Text),
            ("content_hash", Type::Bytes),
            ("streamer_did", Type::Text),
            ("type", Type::Text),
            ("occurred_at_ms", Type::BigInteger),
            ("payload", Type::Text),
            ("deliveries", Type::Integer),
            ("created_at_ms", Type::BigInteger),
            ("traceparent", Type::Text),
            ("intake_at_ms", Type::BigInteger),
        ],
    ),
    (
        "webhook_state",
        &[
            ("webhook_id", Type::Id),
            ("generation", Type::Integer),
            ("origin", Type::Bytes),
            ("discord", Type::Boolean),
            ("due_at_ms", Type::BigInteger),
            ("held_until_ms", Type::BigInteger),
            ("held_for_secret", Type::Boolean),
            ("pending", Type::Integer),
            ("dropped", Type::BigInteger),
            ("last_failed", Type::Boolean),
            ("error_count", Type::Integer),
            ("failing_since_ms", Type::BigInteger),
            ("last_triggered_at_ms", Type::BigInteger),
            ("disabled_reason", Type::Text),
            ("disabled_at_ms", Type::BigInteger),
            ("cancelling_since_ms", Type::BigInteger),
            ("paused", Type::Boolean),
            ("origin_paused", Type::Boolean),
            ("owner_paused", Type::Boolean),
        ],
    ),
    (
        "delivery",
        &[
            ("id", Type::Id),
            ("event_id", Type::Id),
            ("webhook_id", Type::Id),
            ("generation", Type::Integer),
            ("state", Type::SmallInteger),
            ("next_at_ms", Type::BigInteger),
            ("lease", Type::Id),
            ("retried", Type::Boolean),
            ("attempts", Type::Integer),
            ("body", Type::Bytes),
            ("last_outcome", Type::Text),
            ("last_status", Type::Integer),
            ("last_attempt_at_ms", Type::BigInteger),
            ("ended_at_ms", Type::BigInteger),
            ("created_at_ms", Type::BigInteger),
            ("redelivered_at_ms", Type::BigInteger),
            ("attempts_before", Type::Integer),
        ],
    ),
    (
        "attempt",
        &[
            ("delivery_id", Type::Id),
            ("number", Type::Integer),
            ("at_ms", Type::BigInteger),
            ("duration_ms", Type::Integer),
            ("outcome", Type::Text),
            ("status", Type::Integer),
            ("response", Type::Text),
            ("next_at_ms", Type::BigInteger),
        ],
    ),
    ("host_hold", &[("host", Type::Text), ("held_until_ms", Type::BigInteger)]),
    ("paused_origin", &[("origin", Type::Bytes), ("paused_at_ms", Type::BigInteger)]),
    (
        "intake",
        &[
            ("name", Type::Text),
            ("holder", Type::Id),
            ("epoch", Type::BigInteger),
            ("until_ms", Type::BigInteger),
            ("host", Type::Text),
            ("wire", Type::SmallInteger),
            ("cursor", Type::BigInteger),
            ("time_us", Type::BigInteger),
            ("started_at_us", Type::BigInteger),
        ],
    ),
    (
        "intake_gap",
        &[
            ("id", Type::Id),
            ("host", Type::Text),
            ("from_us", Type::BigInteger),
            ("to_us", Type::BigInteger),
            ("found_at_ms", Type::BigInteger),
            ("healed_at_ms", Type::BigInteger),
        ],
    ),
    ("intake_sync", &[("did", Type::Text), ("rev", Type::Text), ("at_ms", Type::BigInteger)]),
    ("intake_unreadable", &[("hash", Type::Bytes), ("reason", Type::Text), ("at_ms", Type::BigInteger)]),
    (
        "mirror",
        &[
            ("did", Type::Text),
            ("collection", Type::Text),
            ("rkey", Type::Text),
            ("rev", Type::Text),
            ("subject", Type::Text),
            ("detail", Type::Text),
        ],
    ),
    (
        "mirrored_owner",
        &[("did", Type::Text), ("collection", Type::Text), ("listed_at_ms", Type::BigInteger)],
    ),
    ("on_air", &[("streamer_did", Type::Text), ("time_us", Type::BigInteger)]),
    (
        "recent_follow",
        &[("streamer_did", Type::Text), ("follower_did", Type::Text), ("time_us", Type::BigInteger)],
    ),
    ("owner_status", &[("did", Type::Text), ("status", Type::Text), ("time_us", Type::BigInteger)]),
    (
        "record_webhook",
        &[
            ("id", Type::Id),
            ("owner_did", Type::Text),
            ("rkey", Type::Text),
            ("rev", Type::Text),
            ("state", Type::Text),
            ("reason", Type::Text),
            ("withheld_state", Type::Text),
            ("withheld_reason", Type::Text),
            ("sealed_url", Type::Bytes),
            ("scope", Type::Text),
            ("backlinks", Type::Boolean),
            ("events", Type::Text),
            ("secret_name", Type::Text),
            ("sealed_secret", Type::Bytes),
            ("since_us", Type::BigInteger),
            ("indexed_at_ms", Type::BigInteger),
        ],
    ),
    (
        "reference",
        &[
            ("did", Type::Text),
            ("collection", Type::Text),
            ("rkey", Type::Text),
            ("target", Type::Text),
            ("stored_at_ms", Type::BigInteger),
        ],
    ),
];

/// The table in which sea-orm-migration records what was migrated.
const RECORD: &str = "seaql_migrations";

/// Every row of every table, as text, by its first columns; and each table and column is one that is known
/// here.
pub(crate) async fn all_rows(database: &Database) -> Vec<(&'static str, Vec<Vec<String>>)> {
    let connection = database.connect().await;
    let mut known: Vec<&str> = TABLES.iter().map(|(table, _)| *table).chain([RECORD]).collect();
    known.sort_unstable();
    let mut there = tables_of(&connection, database).await;
    there.sort_unstable();
    assert_eq!(there, known);
    let mut all = Vec::new();
    for (table, columns) in TABLES {
        let known: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        assert_eq!(columns_of(&connection, database, table).await, known, "{table}");
        let sql = format!("SELECT * FROM {table} ORDER BY {}, {}", known[0], known[1]);
        let rows = rows(&connection, &sql).await;
        let shown = columns.iter().filter(|(name, _)| *name != NOT_EXPORTED);
        let text = |row: &QueryResult| shown.clone().map(|(name, of)| value(row, name, *of)).collect();
        all.push((table, rows.iter().map(text).collect()));
    }
    all
}

async fn tables_of(connection: &DatabaseConnection, database: &Database) -> Vec<String> {
    let sql = match database {
        Database::Sqlite { .. } => "SELECT name FROM sqlite_schema WHERE type = 'table'",
        Database::Postgres { .. } => {
            "SELECT table_name::text AS name FROM information_schema.tables WHERE table_schema = 'public'"
        }
    };
    rows(connection, sql).await.iter().map(|row| row.try_get("", "name").unwrap()).collect()
}

async fn columns_of(connection: &DatabaseConnection, database: &Database, table: &str) -> Vec<String> {
    let sql = match database {
        Database::Sqlite { .. } => format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid"),
        Database::Postgres { .. } => format!(
            "SELECT column_name::text AS name FROM information_schema.columns WHERE table_name = '{table}'
             ORDER BY ordinal_position"
        ),
    };
    rows(connection, &sql).await.iter().map(|row| row.try_get("", "name").unwrap()).collect()
}

fn value(row: &QueryResult, name: &str, of: Type) -> String {
    match of {
        Type::Text => format!("{:?}", row.try_get::<Option<String>>("", name).unwrap()),
        Type::Bytes => format!("{:02x?}", row.try_get::<Option<Vec<u8>>>("", name).unwrap()),
        Type::Id => format!("{:?}", row.try_get::<Option<Uuid>>("", name).unwrap()),
        Type::SmallInteger => format!("{:?}", row.try_get::<Option<i16>>("", name).unwrap()),
        Type::Integer => format!("{:?}", row.try_get::<Option<i32>>("", name).unwrap()),
        Type::BigInteger => format!("{:?}", row.try_get::<Option<i64>>("", name).unwrap()),
        Type::Boolean => format!("{:?}", row.try_get::<Option<bool>>("", name).unwrap()),
    }
}
