//! Rows inserted directly into a database.

use sea_orm::sea_query::{Alias, Query, SimpleExpr};
use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use uuid::Uuid;

use crate::harness::database::Database;
use crate::harness::rows::TABLES;

/// How many secrets, and how many webhooks, are seeded.
pub(super) const EACH: u64 = 10_000;
/// How many accounts own them.
const ACCOUNTS: u64 = 100;

/// Inserts accounts, secrets and webhooks directly. Sealed columns hold random bytes; optional columns are
/// NULL in some rows and as long as possible in others.
pub(super) async fn seed(database: &Database) {
    let connection = database.connect().await;
    let of_each = i32::try_from(EACH / ACCOUNTS).unwrap();
    let accounts = (0..ACCOUNTS).map(|number| vec![did(number).into(), of_each.into(), of_each.into()]);
    insert(&connection, "account", accounts.collect()).await;
    insert(&connection, "secret", (0..EACH).map(secret).collect()).await;
    insert(&connection, "webhook", (0..EACH).map(webhook).collect()).await;
}

async fn insert(connection: &DatabaseConnection, table: &str, rows: Vec<Vec<SimpleExpr>>) {
    let (_, columns) = TABLES.iter().find(|(name, _)| *name == table).unwrap();
    for rows in rows.chunks(500) {
        let mut statement = Query::insert();
        statement.into_table(Alias::new(table)).columns(columns.iter().map(|(name, _)| Alias::new(*name)));
        for row in rows {
            statement.values_panic(row.clone());
        }
        connection.execute(&statement).await.unwrap();
    }
}

/// Inserts a row, or some, into each table of the intake.
pub(super) async fn seed_intake(connection: &DatabaseConnection) {
    let time = || SimpleExpr::from(1_800_000_000_000_000_i64);
    let ms = || SimpleExpr::from(1_800_000_000_000_i64);
    let none = || SimpleExpr::from(None::<String>);
    let text = |text: &str| SimpleExpr::from(text);
    let (wh, rev) = ("place.wisp.v2.wh", "3m6k2xq7v2c2a");
    let place = vec![
        text("network"),
        None::<Uuid>.into(),
        7_i64.into(),
        None::<i64>.into(),
        text("wss://a.example/subscribe"),
        1_i16.into(),
        time(),
        time(),
        time(),
    ];
    let gap = vec![id().into(), text("wss://a.example/subscribe"), time(), None::<i64>.into(), ms(), ms()];
    let record = |rkey: &str, state: &str, sealed: Option<Vec<u8>>| {
        let scope = sealed.as_ref().map(|_| "at://did:plc:ewvi7nxzyoun6zhxrhs64oiz".to_owned());
        vec![
            id().into(),
            did(1).into(),
            text(rkey),
            text(rev),
            text(state),
            none(),
            none(),
            none(),
            sealed.clone().into(),
            scope.into(),
            true.into(),
            text("create,delete"),
            none(),
            sealed.into(),
            time(),
            ms(),
        ]
    };
    let records = vec![
        record("a", "active", Some(random(50))),
        record("b", "invalid", None),
        record("c", "deleted", None),
    ];
    let tables: [(&str, Vec<Vec<SimpleExpr>>); 11] = [
        ("intake", vec![place]),
        ("intake_gap", vec![gap]),
        ("intake_sync", vec![vec![did(1).into(), text(rev), ms()]]),
        ("intake_unreadable", vec![vec![random(32).into(), text("not JSON"), ms()]]),
        (
            "mirror",
            vec![
                vec![
                    did(1).into(),
                    text("app.bsky.graph.block"),
                    text("a"),
                    text(rev),
                    did(2).into(),
                    none(),
                ],
                vec![
                    did(1).into(),
                    text("place.stream.chat.access"),
                    text("a"),
                    text(rev),
                    none(),
                    text("deny"),
                ],
            ],
        ),
        ("mirrored_owner", vec![vec![did(1).into(), text("app.bsky.graph.block"), ms()]]),
        ("on_air", vec![vec![did(1).into(), time()]]),
        ("recent_follow", vec![vec![did(1).into(), did(2).into(), time()]]),
        ("owner_status", vec![vec![did(1).into(), text("suspended"), time()]]),
        ("record_webhook", records),
        ("reference", vec![vec![did(2).into(), text(wh), text("a"), text("at://did:plc:x"), ms()]]),
    ];
    for (table, rows) in tables {
        insert(connection, table, rows).await;
    }
}

fn did(number: u64) -> String {
    format!("did:plc:seeded{}", number % ACCOUNTS)
}

fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).unwrap();
    bytes
}

fn id() -> Uuid {
    Uuid::from_slice(&random(16)).unwrap()
}

fn secret(number: u64) -> Vec<SimpleExpr> {
    let rotated = number.is_multiple_of(3).then(|| 253_402_300_799_999 - i64::try_from(number).unwrap());
    vec![
        id().into(),
        did(number).into(),
        format!("s-{number}").into(),
        random(37 + usize::try_from(number % 256).unwrap()).into(),
        i64::try_from(1_700_000_000_000 + number).unwrap().into(),
        rotated.into(),
        rotated.map(|_| random(50)).into(),
        rotated.into(),
    ]
}

fn webhook(number: u64) -> Vec<SimpleExpr> {
    let text =
        |of: u64, length: usize| number.is_multiple_of(of).then(|| "\"\\\u{1}ä☃🦀'\n".repeat(length / 16));
    let time =
        |of: u64| number.is_multiple_of(of).then(|| i64::try_from(1_700_000_000_000 + number).unwrap());
    let words = ["\"", "\\\\", "🦀", "\n"].map(|word| serde_json::Value::from(word.repeat(20)));
    let words = if number.is_multiple_of(4) {
        serde_json::Value::from(words.to_vec()).to_string()
    } else {
        "[]".to_owned()
    };
    let rewrite = if number.is_multiple_of(5) { r#"[["a","\u0000"],["\u0001",""]]"# } else { "[]" };
    let secret = number.is_multiple_of(2).then(|| format!("s-{number}"));
    vec![
        id().into(),
        did(number).into(),
        random(37 + usize::try_from(number % 2048).unwrap()).into(),
        random(32).into(),
        ["chat", "stream.received,chat"][usize::from(number.is_multiple_of(2))].into(),
        number.is_multiple_of(2).into(),
        text(2, 100).into(),
        text(3, 500).into(),
        text(5, 100).into(),
        text(7, 100).into(),
        rewrite.into(),
        words.into(),
        number.is_multiple_of(3).into(),
        secret.into(),
        i64::try_from(1_700_000_000_000 + number).unwrap().into(),
        time(2).into(),
        time(3).into(),
        i32::try_from(number % 51).unwrap().into(),
        time(4).into(),
    ]
}
