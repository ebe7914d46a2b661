//! A full queue: a million deliveries that wait for their next attempt, of a hundred thousand webhooks.

use process::clock::Clock;
use process::exit::Failure;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend};

use crate::databases::connect;

/// Webhooks that have something waiting.
const WEBHOOKS: u32 = 100_000;
/// What waits for each of them.
const DELIVERIES: u32 = 10;
/// When the first is due: after the run.
const DUE_AFTER_MS: i64 = 6 * 60 * 60 * 1_000;

/// Inserts the rows. The webhooks have the sealed URL of another, since they are not opened.
pub(crate) async fn fill(database_url: &str) -> Result<(), Failure> {
    let database = connect(database_url, 1).await?.remove(0);
    let due_ms = Clock::system().unix_ms() + DUE_AFTER_MS;
    let sql = Dialect::of(&database);
    let (webhook, delivery) = (sql.id("webhook.n"), sql.id("delivery.n"));
    let (webhooks, deliveries) = (sql.numbers("webhook", WEBHOOKS), sql.numbers("delivery", DELIVERIES));
    let of_webhook = sql.id(&format!("webhook.n * {DELIVERIES} + delivery.n + {WEBHOOKS} * 10"));
    let statements = [
        format!(
            "INSERT INTO account (did, secrets, webhooks) VALUES ('did:web:waiting.example', 0, {WEBHOOKS})"
        ),
        format!(
            "INSERT INTO webhook (id, owner_did, sealed_url, url_hash, events, active, rewrite, mute_words, \
             streamplace_format, created_at_ms, error_count) \
             SELECT {webhook}, 'did:web:waiting.example', (SELECT sealed_url FROM webhook LIMIT 1), {}, \
             '[\"chat\"]', true, '[]', '[]', false, {due_ms}, 0 FROM {webhooks}",
            sql.bytes("webhook.n"),
        ),
        format!(
            "INSERT INTO webhook_state (webhook_id, generation, origin, discord, due_at_ms, held_for_secret, \
             pending, dropped, last_failed, error_count) \
             SELECT {webhook}, 0, {}, false, {due_ms} + webhook.n, false, {DELIVERIES}, 0, true, 0 \
             FROM {webhooks}",
            sql.bytes("webhook.n % 1000"),
        ),
        format!(
            "INSERT INTO event (id, publisher, idempotency_key, content_hash, streamer_did, type, \
             occurred_at_ms, payload, deliveries, created_at_ms) \
             SELECT {delivery}, 'waiting', 'message-' || delivery.n, {}, 'did:web:waiting.example', 'chat', \
             {due_ms}, '{{}}', {WEBHOOKS}, {due_ms} FROM {deliveries}",
            sql.bytes("delivery.n"),
        ),
        format!(
            "INSERT INTO delivery (id, event_id, webhook_id, generation, state, next_at_ms, retried, \
             attempts, body, last_outcome, last_status, last_attempt_at_ms, created_at_ms) \
             SELECT {of_webhook}, {delivery}, {webhook}, 0, 0, {due_ms} + webhook.n, true, 1, {}, 'http', 503, \
             {due_ms}, {due_ms} FROM {webhooks}, {deliveries}",
            sql.body(),
        ),
    ];
    for statement in statements {
        database.execute_unprepared(&statement).await?;
    }
    for statement in sql.after {
        database.execute_unprepared(statement).await?;
    }
    Ok(())
}

/// What the two databases say differently.
struct Dialect {
    backend: DbBackend,
    after: &'static [&'static str],
}

impl Dialect {
    fn of(database: &DatabaseConnection) -> Self {
        let backend = database.get_database_backend();
        let after: &[&str] = match backend {
            DbBackend::Postgres => &["VACUUM ANALYZE", "CHECKPOINT"],
            _ => &["ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"],
        };
        Self { backend, after }
    }

    /// The numbers from 1 on, as column `n` of a table of that name.
    fn numbers(&self, name: &str, last: u32) -> String {
        match self.backend {
            DbBackend::Postgres => format!("generate_series(1, {last}) AS {name}(n)"),
            _ => format!(
                "(WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {last}) \
                 SELECT n FROM numbers) AS {name}"
            ),
        }
    }

    /// A UUID of a number.
    fn id(&self, number: &str) -> String {
        match self.backend {
            DbBackend::Postgres => format!("lpad(to_hex({number}), 32, '0')::uuid"),
            _ => format!("unhex(printf('%032x', {number}))"),
        }
    }

    /// 32 bytes of a number.
    fn bytes(&self, number: &str) -> String {
        match self.backend {
            DbBackend::Postgres => format!("decode(lpad(to_hex({number}), 64, '0'), 'hex')"),
            _ => format!("unhex(printf('%064x', {number}))"),
        }
    }

    /// A body as long as those of the run.
    fn body(&self) -> &'static str {
        match self.backend {
            DbBackend::Postgres => "decode(repeat('78', 390), 'hex')",
            _ => "zeroblob(390)",
        }
    }
}
