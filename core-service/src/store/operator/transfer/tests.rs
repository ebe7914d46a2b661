//! The format, and input that an import refuses. The root package's tests export and import whole databases.

mod delivered;
mod format;

use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use tempfile::TempDir;
use uuid::Uuid;

use super::export::export;
use super::import::{ImportError, import};
use super::line::{LineError, LineFault, RowCounts};
use crate::domain::secret::NewSecret;
use crate::store::database::url::DatabaseUrl;
use crate::store::operator::existing::{self, ExistingError};
use crate::store::table::{account, index_key, secret, webhook};
use crate::store::tests::{LIMITS, new_secret, new_webhook, open, opened};

/// When an import happens.
const NOW_MS: i64 = 1_700_000_000_000;

/// An empty database, or one that is not there yet.
struct Target(TempDir);

impl Target {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn url(&self) -> DatabaseUrl {
        format!("sqlite://{}?mode=rwc", self.0.path().join("test.db").display()).parse().unwrap()
    }

    async fn import(&self, lines: &[String]) -> Result<RowCounts, ImportError> {
        import(&self.url(), lines.concat().as_bytes(), NOW_MS).await
    }

    /// Imports lines that must be refused, and checks that no row was written. Returns the error.
    async fn refuses(&self, lines: &[String]) -> ImportError {
        let error = self.import(lines).await.unwrap_err();
        assert_eq!(self.rows().await, 0, "{error}");
        error
    }

    async fn rows(&self) -> u64 {
        let Ok(database) = existing::open(&self.url()).await else { return 0 };
        let reading = &database.reading;
        let rows = account::Entity::find().count(reading).await.unwrap()
            + secret::Entity::find().count(reading).await.unwrap()
            + webhook::Entity::find().count(reading).await.unwrap()
            + index_key::Entity::find().count(reading).await.unwrap();
        database.close().await;
        rows
    }
}

async fn exported(url: &DatabaseUrl) -> Vec<String> {
    let mut text = Vec::new();
    export(url, &mut text).await.unwrap();
    String::from_utf8(text).unwrap().split_inclusive('\n').map(str::to_owned).collect()
}

/// An export: header, index key, account, two secrets, a webhook that names one of them, end.
async fn lines() -> Vec<String> {
    let (folder, store) = opened().await;
    for (id, name) in [(1, "n"), (2, "m")] {
        let new = NewSecret { id: Uuid::from_u128(id), ..new_secret("a", name) };
        store.create_secret(&new).await.unwrap();
    }
    store.create_webhook(&new_webhook("a", "https://example.com/", Some("n"))).await.unwrap();
    let lines = exported(&Target(folder).url()).await;
    assert_eq!(lines.len(), 7);
    lines
}

/// The number of the line that was refused, and why.
fn refused_line(error: ImportError) -> (u64, LineFault) {
    match error {
        ImportError::Line(LineError::Refused { line, fault }) => (line, fault),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn comes_back_as_it_was() {
    let lines = lines().await;
    let target = Target::new();
    let counts = target.import(&lines).await.unwrap();
    assert_eq!(
        counts,
        RowCounts { index_keys: 1, accounts: 1, secrets: 2, webhooks: 1, ..RowCounts::default() }
    );
    assert_eq!(exported(&target.url()).await, lines);
}

#[tokio::test]
async fn nothing_is_a_database_too() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("test.db").display()).parse().unwrap();
    crate::store::migrate(&url).await.unwrap();
    let mut text = Vec::new();
    assert_eq!(export(&url, &mut text).await.unwrap(), RowCounts::default());
    let target = Target::new();
    assert_eq!(import(&target.url(), &*text, NOW_MS).await.unwrap(), RowCounts::default());
    assert_eq!(target.rows().await, 0);
}

#[tokio::test]
async fn cut_off_anywhere() {
    let lines = lines().await;
    for length in 0..lines.len() {
        let error = Target::new().refuses(&lines[..length]).await;
        let expected = length as u64;
        match error {
            ImportError::Line(LineError::Refused { line: 1, fault: LineFault::NoHeader }) => {
                assert_eq!(length, 0);
            }
            ImportError::Line(LineError::CutOff { line }) => assert_eq!(line, expected),
            other => panic!("{length}: {other:?}"),
        }
        // In the middle of a line.
        let mut broken = lines[..=length].to_vec();
        let half = broken[length].len() / 2;
        broken[length].truncate(half);
        let error = Target::new().refuses(&broken).await;
        let cut_off = matches!(error, ImportError::Line(LineError::CutOff { line }) if line == expected + 1);
        assert!(cut_off, "{length}: {error:?}");
    }
}

#[tokio::test]
async fn lines_in_another_order() {
    let lines = lines().await;
    let [header, index_key, account, secret, other, webhook, end] = &lines[..] else { panic!("{lines:?}") };
    for (order, line, fault) in [
        (&[index_key, header][..], 1, LineFault::NoHeader),
        (&[header, header], 2, LineFault::Order),
        (&[header, index_key, account, index_key], 4, LineFault::Order),
        (&[header, index_key, account, secret, webhook, other, end], 6, LineFault::Order),
        (&[header, index_key, account, secret, account], 5, LineFault::Order),
        (&[header, index_key, account, secret, webhook, end], 6, LineFault::Counts),
        (&[header, index_key, account, secret, other, webhook, end, end], 8, LineFault::AfterEnd),
        (
            &[header, index_key, account, secret, other, webhook, end, &"\n".to_owned()],
            8,
            LineFault::AfterEnd,
        ),
    ] {
        let order: Vec<String> = order.iter().map(|&line| line.clone()).collect();
        assert_eq!(refused_line(Target::new().refuses(&order).await), (line, fault));
    }
    let error = Target::new().refuses(&[header.clone(), account.clone()]).await;
    assert!(matches!(error, ImportError::NoIndexKey), "{error:?}");
}

#[tokio::test]
async fn what_the_database_refuses() {
    let mut lines = lines().await;
    let again = [&lines[..4], &lines[3..]].concat();
    let error = Target::new().refuses(&again).await;
    assert!(matches!(error, ImportError::Refused { first: 4, last: 6, .. }), "a row twice: {error:?}");
    lines.remove(3);
    lines[5] = lines[5].replace(r#""secrets":2"#, r#""secrets":1"#);
    let error = Target::new().refuses(&lines).await;
    assert!(matches!(error, ImportError::Refused { first: 5, last: 5, .. }), "no such secret: {error:?}");
}

#[tokio::test]
async fn counts_of_an_account_that_are_wrong() {
    for count in [r#""secrets":2"#, r#""webhooks":1"#] {
        let mut lines = lines().await;
        assert!(lines[2].contains(count));
        lines[2] = lines[2].replace(count, &format!("{}7", &count[..count.len() - 1]));
        let error = Target::new().refuses(&lines).await;
        assert!(matches!(&error, ImportError::AccountCounts(did) if did == "did:plc:a"), "{error:?}");
    }
}

#[tokio::test]
async fn target_that_is_not_empty() {
    let lines = lines().await;
    let target = Target::new();
    // Nothing but the index key of a service that was started once.
    open(target.0.path(), LIMITS).await.close().await;
    let error = target.import(&lines).await.unwrap_err();
    assert!(matches!(error, ImportError::NotEmpty(_)), "{error:?}");
    assert_eq!(target.rows().await, 1);
    let target = Target::new();
    target.import(&lines).await.unwrap();
    assert!(matches!(target.import(&lines).await.unwrap_err(), ImportError::NotEmpty(_)));
    assert_eq!(target.rows().await, 5);
}

#[tokio::test]
async fn target_of_a_newer_release() {
    let lines = lines().await;
    let target = Target::new();
    let store = open(target.0.path(), LIMITS).await;
    let newer = "DELETE FROM index_key; INSERT INTO seaql_migrations VALUES ('m9999_from_the_future', 0)";
    sea_orm::ConnectionTrait::execute_unprepared(&store.database.writing, newer).await.unwrap();
    let error = target.refuses(&lines).await;
    assert!(matches!(error, ImportError::Existing(ExistingError::Newer { .. })), "{error:?}");
}
