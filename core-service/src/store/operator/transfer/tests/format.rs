//! Lines as they are written, and lines that are refused.

use uuid::Uuid;

use super::super::intake_row::IntakeRow;
use super::super::line::{Header, Line, LineError, LineFault, LineReader, RowCounts};
use super::super::{check, intake};
use super::{Target, exported, lines, refused_line};
use crate::domain::rule::Rule;
use crate::store::table::account::Model as Account;
use crate::store::table::index_key::Model as IndexKey;
use crate::store::table::record_webhook::Model as RecordWebhook;
use crate::store::table::secret::Model as Secret;
use crate::store::table::webhook::Model as Webhook;

const ID: Uuid = Uuid::from_u128(0x0123_4567_89ab_7def_8123_4567_89ab_cdef);

fn webhook() -> Webhook {
    Webhook {
        id: ID,
        owner_did: "did:plc:a".into(),
        sealed_url: vec![0xff],
        url_hash: vec![0; 32],
        events: "chat,follow".into(),
        active: true,
        name: Some("n\"ä\u{1}".into()),
        description: None,
        prefix: None,
        suffix: None,
        rewrite: "[]".into(),
        mute_words: "[]".into(),
        streamplace_format: false,
        secret_name: Some("s".into()),
        created_at_ms: 1,
        updated_at_ms: Some(2),
        last_triggered_at_ms: Some(3),
        error_count: 4,
        since_us: None,
    }
}

fn record_webhook() -> RecordWebhook {
    RecordWebhook {
        id: ID,
        owner_did: "did:plc:a".into(),
        rkey: "mine".into(),
        rev: "3m6k2xq7v2c2a".into(),
        state: "active".into(),
        reason: None,
        withheld_state: None,
        withheld_reason: None,
        sealed_url: Some(vec![255]),
        scope: Some("at://did:plc:ewvi7nxzyoun6zhxrhs64oiz".into()),
        backlinks: true,
        events: "create".into(),
        secret_name: None,
        sealed_secret: Some(vec![0]),
        since_us: Some(5),
        indexed_at_ms: 6,
    }
}

#[test]
fn rows_of_the_intake_are_checked() {
    let of = |row| intake::check(&IntakeRow::RecordWebhook(Box::new(row)));
    assert_eq!(of(record_webhook()), Ok(()));
    let what = "the state of a wh record";
    let other = RecordWebhook { state: "else".into(), ..record_webhook() };
    assert_eq!(of(other), Err(LineFault::Column { field: "state", what }));
    let what = "there with a scope in this state";
    let no_url = RecordWebhook { sealed_url: None, ..record_webhook() };
    assert_eq!(of(no_url), Err(LineFault::Column { field: "sealed_url", what }));
    let nul = RecordWebhook { rkey: "\0".into(), ..record_webhook() };
    assert_eq!(of(nul), Err(LineFault::Field(Rule::Nul.at("rkey"))));
    let late = RecordWebhook { since_us: Some(i64::MAX), ..record_webhook() };
    let what = "a time of the years 1 to 9999";
    assert_eq!(of(late), Err(LineFault::Column { field: "since_us", what }));
}

fn secret() -> Secret {
    Secret {
        id: ID,
        owner_did: "did:plc:a".into(),
        name: "s".into(),
        sealed_token: b"token".to_vec(),
        created_at_ms: 1,
        last_rotated_at_ms: Some(2),
        previous_sealed_token: Some(b"previous".to_vec()),
        previous_until_ms: Some(3),
    }
}

/// A change of one of these texts is a change of the format, which needs a new version.
#[test]
fn lines_as_they_are_written() {
    let header = Header { format: "athook-export".into(), version: 3, athook: "0.1.0".into() };
    for (line, text) in [
        (Line::Header(header), r#"{"header":{"format":"athook-export","version":3,"athook":"0.1.0"}}"#),
        (
            Line::IndexKey(IndexKey { id: 1, sealed_key: vec![0, 255], url_form: 0 }),
            r#"{"index_key":{"id":1,"sealed_key":"AP8="}}"#,
        ),
        (
            Line::Account(Account { did: "did:plc:a".into(), secrets: 1, webhooks: 2 }),
            r#"{"account":{"did":"did:plc:a","secrets":1,"webhooks":2}}"#,
        ),
        (
            Line::Secret(secret()),
            r#"{"secret":{"id":"01234567-89ab-7def-8123-456789abcdef","owner_did":"did:plc:a","name":"s","sealed_token":"dG9rZW4=","created_at_ms":1,"last_rotated_at_ms":2,"previous_sealed_token":"cHJldmlvdXM=","previous_until_ms":3}}"#,
        ),
        (
            Line::Webhook(Box::new(webhook())),
            r#"{"webhook":{"id":"01234567-89ab-7def-8123-456789abcdef","owner_did":"did:plc:a","sealed_url":"/w==","url_hash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","events":"chat,follow","active":true,"name":"n\"ä\u0001","rewrite":"[]","mute_words":"[]","streamplace_format":false,"secret_name":"s","created_at_ms":1,"updated_at_ms":2,"last_triggered_at_ms":3,"error_count":4}}"#,
        ),
        (
            Line::IntakeRow(IntakeRow::RecordWebhook(Box::new(record_webhook()))),
            r#"{"intake_row":{"record_webhook":{"id":"01234567-89ab-7def-8123-456789abcdef","owner_did":"did:plc:a","rkey":"mine","rev":"3m6k2xq7v2c2a","state":"active","sealed_url":"/w==","scope":"at://did:plc:ewvi7nxzyoun6zhxrhs64oiz","backlinks":true,"events":"create","sealed_secret":"AA==","since_us":5,"indexed_at_ms":6}}}"#,
        ),
        (
            Line::End(RowCounts {
                index_keys: 1,
                accounts: 2,
                secrets: 3,
                webhooks: 4,
                webhook_states: 5,
                events: 6,
                deliveries: 7,
                attempts: 8,
                host_holds: 9,
                paused_origins: 10,
                intake_rows: 11,
            }),
            r#"{"end":{"index_keys":1,"accounts":2,"secrets":3,"webhooks":4,"webhook_states":5,"events":6,"deliveries":7,"attempts":8,"host_holds":9,"paused_origins":10,"intake_rows":11}}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&line).unwrap(), text);
        assert_eq!(serde_json::from_str::<Line>(text).unwrap(), line);
    }
}

/// Exports of earlier releases stay readable. Exported again, their rows are the same byte for byte.
#[tokio::test]
async fn export_of_the_first_version_is_read() {
    let lines = [
        r#"{"header":{"format":"athook-export","version":1,"athook":"0.1.0"}}"#,
        r#"{"index_key":{"id":1,"sealed_key":"AP8="}}"#,
        r#"{"account":{"did":"did:plc:a","secrets":2,"webhooks":2}}"#,
        r#"{"secret":{"id":"01234567-89ab-7def-8123-456789abcdee","owner_did":"did:plc:a","name":"r","sealed_token":"dG9rZW4=","created_at_ms":1}}"#,
        r#"{"secret":{"id":"01234567-89ab-7def-8123-456789abcdef","owner_did":"did:plc:a","name":"s","sealed_token":"dG9rZW4=","created_at_ms":1,"last_rotated_at_ms":2,"previous_sealed_token":"cHJldmlvdXM=","previous_until_ms":3}}"#,
        r#"{"webhook":{"id":"01234567-89ab-7def-8123-456789abcdee","owner_did":"did:plc:a","sealed_url":"/w==","url_hash":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","events":"chat","active":false,"rewrite":"[]","mute_words":"[]","streamplace_format":false,"created_at_ms":1,"error_count":0}}"#,
        r#"{"webhook":{"id":"01234567-89ab-7def-8123-456789abcdef","owner_did":"did:plc:a","sealed_url":"/w==","url_hash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","events":"chat,follow","active":true,"name":"n\"ä\u0001","description":"d","prefix":"p","suffix":"x","rewrite":"[[\"a\",\"b\"]]","mute_words":"[\"c\"]","streamplace_format":true,"secret_name":"s","created_at_ms":1,"updated_at_ms":2,"last_triggered_at_ms":3,"error_count":4}}"#,
        r#"{"end":{"index_keys":1,"accounts":1,"secrets":2,"webhooks":2}}"#,
    ];
    let lines: Vec<String> = lines.iter().map(|line| format!("{line}\n")).collect();
    let target = Target::new();
    let counts = target.import(&lines).await.unwrap();
    assert_eq!((counts.total(), counts.events), (6, 0));
    let again = exported(&target.url()).await;
    assert_eq!(again[1..again.len() - 1], lines[1..lines.len() - 1]);
}

#[tokio::test]
async fn broken_line_is_named() {
    let good = lines().await;
    let secret = &good[4];
    assert!(secret.contains(r#""created_at_ms":1700000000000"#), "{secret}");
    let with = |from: &str, to: &str| {
        let changed = secret.replacen(from, to, 1);
        assert_ne!(&changed, secret, "{from}");
        changed
    };
    for broken in [
        "\n".to_owned(),
        "{\n".to_owned(),
        "[]\n".to_owned(),
        "{}\n".to_owned(),
        with("secret", "token"),
        with("}}", "},\"account\":{}}"),
        with("}}", ",\"color\":1}}"),
        with("}}", ",\"created_at_ms\":2}}"),
        with(r#""created_at_ms":1700000000000"#, r#""created_at_ms":1700000000000.5"#),
        with(r#""created_at_ms":1700000000000"#, r#""created_at_ms":"1""#),
        with(r#""created_at_ms":1700000000000"#, r#""created_at_ms":null"#),
        with(r#","created_at_ms":1700000000000"#, ""),
        with("}}", "}} {}"),
        with(r#""sealed_token":""#, r#""sealed_token":"-"#),
        with(r#""id":""#, r#""id":"x"#),
    ] {
        let mut lines = good.clone();
        lines[4].clone_from(&broken);
        let (line, fault) = refused_line(Target::new().refuses(&lines).await);
        assert_eq!(line, 5, "{broken}");
        assert!(matches!(fault, LineFault::Json { .. } | LineFault::Shape { .. }), "{broken}: {fault}");
    }
}

#[tokio::test]
async fn header_that_is_refused() {
    let mut lines = lines().await;
    for (header, fault) in [
        (r#"{"header":{"format":"other","version":1,"athook":"1"}}"#, LineFault::NoHeader),
        (r#"{"header":{"format":"athook-export","version":0,"athook":"1"}}"#, LineFault::NoHeader),
        (
            r#"{"header":{"format":"athook-export","version":4,"athook":"7.0.0","columns":[]}}"#,
            LineFault::NewerVersion { version: 4, athook: "7.0.0".into() },
        ),
    ] {
        lines[0] = format!("{header}\n");
        let target = Target::new();
        assert_eq!(refused_line(target.refuses(&lines).await), (1, fault));
        assert!(!target.0.path().join("test.db").exists(), "the database is not even opened");
    }
}

#[test]
fn longest_line() {
    let line = |length: usize| {
        let text = serde_json::to_string(&Line::Account(Account {
            did: "did:plc:a".into(),
            secrets: 1,
            webhooks: 2,
        }));
        let text = text.unwrap();
        format!("{text}{}\n", " ".repeat(length - text.len() - 1))
    };
    let limit = 1024 * 1024;
    assert!(matches!(LineReader::new(line(limit).as_bytes()).next(), Ok(Some(Line::Account(_)))));
    let error = LineReader::new(line(limit + 1).as_bytes()).next().unwrap_err();
    assert!(matches!(error, LineError::Refused { line: 1, fault: LineFault::TooLong }), "{error:?}");
}

#[test]
fn rows_that_the_service_could_not_have_written() {
    let nul = || Some("a\0b".to_owned());
    let field = |rule: Rule, field: &str| LineFault::Field(rule.at(field));
    let did = || Rule::Did { max: 2048 };
    assert!(check::secret(&secret()).is_ok());
    for (row, fault) in [
        (Secret { owner_did: "alice".into(), ..secret() }, field(did(), "owner_did")),
        (Secret { name: "a b".into(), ..secret() }, field(Rule::RecordKey, "name")),
        (
            Secret { sealed_token: Vec::new(), ..secret() },
            LineFault::Column { field: "sealed_token", what: "not empty" },
        ),
        (
            Secret { previous_sealed_token: Some(Vec::new()), ..secret() },
            LineFault::Column { field: "previous_sealed_token", what: "not empty" },
        ),
        (
            Secret { previous_until_ms: None, ..secret() },
            LineFault::Column { field: "previous_until_ms", what: "there when previous_sealed_token is" },
        ),
    ] {
        assert_eq!(check::secret(&row).unwrap_err(), fault);
    }
    assert!(check::webhook(&webhook()).is_ok());
    let hash = |length| Webhook { url_hash: vec![0; length], ..webhook() };
    let hash_rule = || LineFault::Column { field: "url_hash", what: "32 bytes" };
    for (row, fault) in [
        (Webhook { owner_did: "alice".into(), ..webhook() }, field(did(), "owner_did")),
        (Webhook { secret_name: Some("..".into()), ..webhook() }, field(Rule::RecordKey, "secret_name")),
        (Webhook { events: String::new(), ..webhook() }, field(Rule::EventType, "events")),
        (Webhook { events: "chat,party".into(), ..webhook() }, field(Rule::EventType, "events")),
        (Webhook { name: nul(), ..webhook() }, field(Rule::Nul, "name")),
        (Webhook { description: nul(), ..webhook() }, field(Rule::Nul, "description")),
        (Webhook { prefix: nul(), ..webhook() }, field(Rule::Nul, "prefix")),
        (Webhook { suffix: nul(), ..webhook() }, field(Rule::Nul, "suffix")),
        (hash(31), hash_rule()),
        (hash(33), hash_rule()),
        (
            Webhook { rewrite: r#"[["a"]]"#.into(), ..webhook() },
            LineFault::Column { field: "rewrite", what: "a JSON array of [from, to]" },
        ),
        (
            Webhook { mute_words: "null".into(), ..webhook() },
            LineFault::Column { field: "mute_words", what: "a JSON array of strings" },
        ),
        (
            Webhook { error_count: -1, ..webhook() },
            LineFault::Column { field: "error_count", what: "0 to 1,000,000,000" },
        ),
    ] {
        assert_eq!(check::webhook(&row).unwrap_err(), fault);
    }
    let account = |secrets, webhooks| Account { did: "did:plc:a".into(), secrets, webhooks };
    assert!(check::account(&account(0, 0)).is_ok());
    assert!(check::account(&account(-1, 0)).is_err() && check::account(&account(0, -1)).is_err());
    assert!(check::index_key(&IndexKey { id: 2, sealed_key: vec![1], url_form: 0 }).is_err());
    assert!(check::index_key(&IndexKey { id: 1, sealed_key: Vec::new(), url_form: 0 }).is_err());
}
