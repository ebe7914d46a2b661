//! The store on an SQLite file. What needs a Postgres, or several processes, is in the root package's tests.

use std::path::Path;

use futures_util::future::join_all;
use process::clock::Clock;
use sea_orm::{ConnectionTrait as _, DbBackend, PaginatorTrait as _, Statement};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use uuid::Uuid;

use super::commit::event_batch::{DeliveryParts, DeliverySettings, RecordSettings};
use super::table::{account, secret, webhook};
use super::*;
use crate::delivery::lanes::Lanes;
use crate::delivery::lease::Leased;
use crate::delivery::metrics::DeliveryMetrics;
use crate::delivery::record_rates::RecordRates;
use crate::delivery::schedule::Schedule;
use crate::delivery::wake::Wake;
use crate::domain::did::Did;
use crate::domain::event_type::EventTypes;
use crate::domain::mute_word::MuteWords;
use crate::domain::rewrite::Rewrite;
use crate::domain::rule::Rule;
use crate::domain::secret::{NewSecret, SigningToken};
use crate::domain::webhook::{Webhook, WebhookConfig};
use crate::domain::webhook_url::{Schemes, WebhookUrl};
use crate::error::Error;
use crate::intake::owners::{RecordLimits, RecordOwners};
use crate::seal::Purpose;

mod commits;
mod deliveries;
pub(crate) mod intake;
mod intake_records;
mod naming;
mod paging;
mod pauses;
mod queue_depth;
mod secrets;
mod together;
mod url_form;
mod waiting;
mod webhooks;

pub(super) const LIMITS: Limits = Limits { secrets: 3, webhooks: 3 };
pub(super) const TOKEN: &str = "a-token-that-nobody-else-may-see-0123456789";
pub(super) const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

pub(super) async fn open(folder: &Path, limits: Limits) -> Store {
    let (store, _leased) = open_delivering(folder, limits, Clock::manual(0)).await;
    store
}

/// A store whose leases arrive in the channel.
pub(crate) async fn open_delivering(
    folder: &Path,
    limits: Limits,
    clock: Clock,
) -> (Store, UnboundedReceiver<Leased>) {
    let url = format!("sqlite://{}?mode=rwc", folder.join("test.db").display());
    let keys = KeySource::of(KEY.parse().unwrap());
    let (deliveries, leased) = delivery_parts(clock);
    let randomness = Randomness::of_the_system();
    let url = url.parse().unwrap();
    let store = Store::open(&url, limits, keys, randomness, deliveries, &metrics()).await.unwrap();
    (store, leased)
}

pub(super) fn delivery_parts(clock: Clock) -> (DeliveryParts, UnboundedReceiver<Leased>) {
    let (leases, leased) = unbounded_channel();
    let lanes = Lanes::new(64);
    let counted = metrics().register("test", |registry| DeliveryMetrics::new(registry, &lanes));
    let parts = DeliveryParts {
        settings: DeliverySettings {
            max_pending: 100,
            lease_ms: 25_000,
            disable_after: 3,
            disable_after_ms: 24 * 60 * 60 * 1000,
            schedule: Schedule::default(),
        },
        clock,
        lanes,
        leased: Some(leases),
        wake: Wake::default(),
        metrics: Arc::new(counted),
        record_rates: RecordRates::new(600),
        records: RecordSettings {
            owners: RecordOwners::Known,
            limits: RecordLimits { of_owner: 3, in_all: 5 },
            network: false,
        },
        traced: false,
    };
    (parts, leased)
}

pub(crate) fn metrics() -> Metrics {
    Metrics::new(&Clock::manual(0))
}

pub(super) async fn opened() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), LIMITS).await;
    (folder, store)
}

pub(crate) fn did(name: &str) -> Did {
    format!("did:plc:{name}").parse().unwrap()
}

fn id() -> Uuid {
    Uuid::from_bytes(Randomness::of_the_system().bytes().unwrap())
}

pub(crate) fn new_secret(owner: &str, name: &str) -> NewSecret {
    NewSecret {
        id: id(),
        owner: did(owner),
        name: name.parse().unwrap(),
        token: TOKEN.parse::<SigningToken>().unwrap(),
        created_at_ms: 1_700_000_000_000,
    }
}

pub(crate) fn new_webhook(owner: &str, url: &str, secret: Option<&str>) -> Webhook {
    let config = WebhookConfig {
        url: WebhookUrl::parse(url, Schemes::Https).unwrap(),
        events: EventTypes::parse("events", &["stream.received".into(), "chat".into()]).unwrap(),
        active: true,
        name: Some("name".parse().unwrap()),
        description: None,
        prefix: Some("<".parse().unwrap()),
        suffix: Some(">".parse().unwrap()),
        rewrite: Rewrite::parse("rewrite", vec![("\"a\"".into(), "b".into())]).unwrap(),
        mute_words: MuteWords::parse("mute_words", &["ä".into()]).unwrap(),
        streamplace_format: false,
        secret: secret.map(|name| name.parse().unwrap()),
    };
    Webhook::new(id(), did(owner), config, 1_700_000_000_001)
}

/// How many of each result there are.
fn count<T>(results: &[Result<T, Error>], expected: Result<(), &Error>) -> usize {
    let same = |result: &&Result<T, Error>| match (result, expected) {
        (Ok(_), Ok(())) => true,
        (Err(error), Err(expected)) => error == expected,
        _ => false,
    };
    results.iter().filter(same).count()
}

/// How many secrets and webhooks `owner` has by the account row; `None`: there is no such row.
pub(super) async fn account(store: &Store, owner: &str) -> Option<(i32, i32)> {
    let row = account::Entity::find_by_id(did(owner).to_string()).one(&store.database.reading).await;
    row.unwrap().map(|account::Model { did: _, secrets, webhooks }| (secrets, webhooks))
}

pub(super) async fn counts(store: &Store, owner: &str) -> (i32, i32) {
    account(store, owner).await.unwrap()
}

#[tokio::test]
async fn stored_sealed_and_openable() {
    let (_folder, store) = opened().await;
    let new = new_secret("a", "n");
    store.create_secret(&new).await.unwrap();
    let row = secret::Entity::find_by_id(new.id).one(&store.database.reading).await.unwrap().unwrap();
    let purpose = Purpose::Token { owner: &new.owner, name: &new.name };
    assert_eq!(store.sealer.keys.open(purpose, &row.sealed_token).unwrap(), TOKEN.as_bytes());

    let new = new_webhook("a", "https://example.com/hook", Some("n"));
    store.create_webhook(&new).await.unwrap();
    let row = webhook::Entity::find_by_id(new.id).one(&store.database.reading).await.unwrap().unwrap();
    let purpose = Purpose::Url { owner: &new.owner, webhook: new.id };
    assert_eq!(store.sealer.keys.open(purpose, &row.sealed_url).unwrap(), b"https://example.com/hook");
    let webhook::Model { sealed_url, url_hash, .. } = row.clone();
    let expected = webhook::Model {
        id: new.id,
        owner_did: "did:plc:a".into(),
        sealed_url,
        url_hash,
        events: "stream.received,chat".into(),
        active: true,
        name: Some("name".into()),
        description: None,
        prefix: Some("<".into()),
        suffix: Some(">".into()),
        rewrite: r#"[["\"a\"","b"]]"#.into(),
        mute_words: r#"["ä"]"#.into(),
        streamplace_format: false,
        secret_name: Some("n".into()),
        created_at_ms: 1_700_000_000_001,
        updated_at_ms: None,
        last_triggered_at_ms: None,
        error_count: 0,
        since_us: None,
    };
    assert_eq!(row, expected);
    assert_eq!(counts(&store, "a").await, (1, 1));
}

#[tokio::test]
async fn nothing_in_clear_in_the_files() {
    let (folder, store) = opened().await;
    store.create_secret(&new_secret("a", "n")).await.unwrap();
    let url = "https://discord.com/api/webhooks/1/credential";
    store.create_webhook(&new_webhook("a", url, None)).await.unwrap();
    let look = |needle: &str| {
        let files = std::fs::read_dir(folder.path()).unwrap();
        files
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .any(|bytes| bytes.windows(needle.len()).any(|window| window == needle.as_bytes()))
    };
    assert!(look("did:plc:a"), "the files have what is not sealed");
    for needle in [TOKEN, "discord.com", "credential"] {
        assert!(!look(needle), "{needle}");
    }
    let printed = format!("{:?} {store:?}", new_webhook("a", url, None));
    for needle in [TOKEN, "discord.com", KEY] {
        assert!(!printed.contains(needle), "{needle}");
    }
}

#[tokio::test]
async fn same_name_many_times_at_once() {
    let (_folder, store) = opened().await;
    let new: Vec<_> = (0..20).map(|_| new_secret("a", "n")).collect();
    let results = join_all(new.iter().map(|new| store.create_secret(new))).await;
    assert_eq!(count(&results, Ok(())), 1);
    assert_eq!(count(&results, Err(&Error::SecretExists)), 19);
    assert_eq!(counts(&store, "a").await, (1, 0));
    assert_eq!(store.create_secret(&new_secret("b", "n")).await, Ok(()));
    assert_eq!(store.create_secret(&new_secret("a", "N")).await, Ok(()));
}

#[tokio::test]
async fn same_url_many_times_at_once() {
    let (_folder, store) = opened().await;
    let new: Vec<_> = (0..20).map(|_| new_webhook("a", "https://example.com/", None)).collect();
    let results = join_all(new.iter().map(|new| store.create_webhook(new))).await;
    assert_eq!(count(&results, Ok(())), 1);
    assert_eq!(count(&results, Err(&Error::WebhookExists)), 19);
    assert_eq!(counts(&store, "a").await, (0, 1));
    let of_another = new_webhook("b", "https://example.com/", None);
    assert_eq!(store.create_webhook(&of_another).await, Ok(()));
}

#[tokio::test]
async fn one_place_left() {
    let (_folder, store) = opened().await;
    store.create_secret(&new_secret("a", "first")).await.unwrap();
    store.create_secret(&new_secret("a", "second")).await.unwrap();
    let new: Vec<_> = (0..20).map(|number| new_secret("a", &format!("n{number}"))).collect();
    let results = join_all(new.iter().map(|new| store.create_secret(new))).await;
    let over = Error::TooManySecrets { limit: 3 };
    assert_eq!(count(&results, Ok(())), 1);
    assert_eq!(count(&results, Err(&over)), 19);
    assert_eq!(secret::Entity::find().count(&store.database.reading).await.unwrap(), 3);
    assert_eq!(counts(&store, "a").await, (3, 0));
    // What exists goes before the limit.
    let again = store.create_secret(&new_secret("a", "first")).await;
    assert_eq!(again, Err(Error::SecretExists));
    assert_eq!(store.create_secret(&new_secret("a", "other")).await, Err(over));
    assert_eq!(counts(&store, "a").await, (3, 0));
}

#[tokio::test]
async fn limit_of_webhooks() {
    let (_folder, store) = opened().await;
    let url = |number| format!("https://example.com/{number}");
    let new: Vec<_> = (0..20).map(|number| new_webhook("a", &url(number), None)).collect();
    let results = join_all(new.iter().map(|new| store.create_webhook(new))).await;
    let over = Error::TooManyWebhooks { limit: 3 };
    assert_eq!(count(&results, Ok(())), 3);
    assert_eq!(count(&results, Err(&over)), 17);
    assert_eq!(webhook::Entity::find().count(&store.database.reading).await.unwrap(), 3);
    assert_eq!(counts(&store, "a").await, (0, 3));
    let of_another = new_webhook("b", &url(0), None);
    assert_eq!(store.create_webhook(&of_another).await, Ok(()));
}

#[tokio::test]
async fn secret_that_is_not_there() {
    let (_folder, store) = opened().await;
    store.create_secret(&new_secret("a", "n")).await.unwrap();
    let unknown: Error = Rule::UnknownSecret.at("secret_id").into();
    for (owner, name, expected) in
        [("a", "n", Ok(())), ("a", "N", Err(unknown.clone())), ("b", "n", Err(unknown.clone()))]
    {
        let new = new_webhook(owner, "https://example.com/", Some(name));
        assert_eq!(store.create_webhook(&new).await, expected, "{owner} {name}");
    }
    assert_eq!(account(&store, "b").await, None);
}

#[tokio::test]
async fn two_stores_on_one_new_file() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = tokio::join!(open(folder.path(), LIMITS), open(folder.path(), LIMITS));
        let (new, same) =
            (new_webhook("a", "https://example.com/", None), new_webhook("a", "https://example.com/", None));
        let results = tokio::join!(one.create_webhook(&new), other.create_webhook(&same));
        let results = [results.0, results.1];
        assert_eq!(count(&results, Ok(())), 1);
        assert_eq!(count(&results, Err(&Error::WebhookExists)), 1);
    }
}

#[tokio::test]
async fn other_seal_keys_are_refused() {
    let (folder, store) = opened().await;
    store.close().await;
    let url = format!("sqlite://{}", folder.path().join("test.db").display());
    let keys = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=".parse().unwrap();
    let refused = Store::open(
        &url.parse().unwrap(),
        LIMITS,
        KeySource::of(keys),
        Randomness::of_the_system(),
        delivery_parts(Clock::manual(0)).0,
        &metrics(),
    )
    .await;
    let message = chain(&refused.unwrap_err());
    assert!(message.contains("the seal keys do not open it"), "{message}");
}

#[tokio::test]
async fn every_connection_has_the_guarantees() {
    let (_folder, store) = opened().await;
    for pool in [&store.database.writing, &store.database.reading] {
        for (pragma, expected) in [("synchronous", "2"), ("foreign_keys", "1"), ("journal_mode", "wal")] {
            let sql = format!("SELECT CAST({pragma} AS TEXT) AS value FROM pragma_{pragma}");
            let statement = Statement::from_string(pool.get_database_backend(), sql);
            let row = pool.query_one_raw(statement).await.unwrap().unwrap();
            assert_eq!(row.try_get::<String>("", "value").unwrap(), expected, "{pragma}");
        }
    }
}

#[tokio::test]
async fn ping() {
    let (_folder, store) = opened().await;
    store.ping().await.unwrap();
    store.database.close().await;
    assert!(store.ping().await.is_err());
}

/// What a statement is undone with: for a batch it is more than SQLite keeps in memory by itself, and would
/// be written to a temporary file.
#[tokio::test]
async fn statement_journals_stay_in_memory() {
    let (_folder, store) = opened().await;
    let statement = Statement::from_string(DbBackend::Sqlite, "PRAGMA temp_store");
    let setting = store.database.writing.query_one_raw(statement).await.unwrap().unwrap();
    // 2 is MEMORY.
    assert_eq!(setting.try_get_by_index::<i32>(0), Ok(2));
}
