//! `core-service requeue`: deliveries that have ended are made once more, under the same ids.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::response::IntoResponse as _;
use http::StatusCode;
use process::clock::Clock;
use proto::athook::UpdateWebhookRequest;
use sea_orm::ConnectionTrait as _;

use crate::harness::commands;
use crate::harness::database::{Database, Kind, number, until_number};
use crate::harness::direct::Direct;
use crate::harness::hook::Hook;
use crate::harness::on_both;
use crate::harness::publisher::Publisher;
use crate::harness::slow::{Manner, Slow};

const ALICE: &str = "did:plc:alice2222222222222222222";
const NONE_LEFT: &str =
    "left alone: 0 cancelled, 0 of webhooks that are off or deleted, 0 without payload, 0 without room";

on_both! { arrive_again, as_many_as_there_is_room_for, leases_that_have_ended }

/// A datetime so long ago.
fn ago(time: Duration) -> String {
    let seconds = Clock::system().unix_ms() / 1000 - i64::try_from(time.as_secs()).unwrap();
    prost_types::Timestamp { seconds, nanos: 0 }.to_string()
}

/// The lines that the command prints.
async fn requeue(database: &Database, arguments: &[&str]) -> Vec<String> {
    let url = database.url();
    let all = [&["requeue", "--database-url", &url], arguments].concat();
    commands::run(&all).await.ok().output.lines().map(str::to_owned).collect()
}

async fn arrive_again(kind: Kind) {
    let database = Database::create(kind, false).await;
    let connection = database.connect().await;
    let service = database.core_service_for_loopback().start().await;
    let (client, publisher) = (Direct::to(service.address).await, Publisher::of(service.address));
    let mut delivered = Hook::start().await;
    let mut failed = Hook::answering(|number, _| match number {
        0..3 => StatusCode::NOT_FOUND.into_response(),
        _ => StatusCode::OK.into_response(),
    })
    .await;
    for path in ["/kept", "/off", "/deleted", "/cancelled"] {
        client.create_active_webhook(ALICE, &delivered.url(path)).await.unwrap();
    }
    client.create_active_webhook(ALICE, &failed.url("/")).await.unwrap();
    let mut events = Vec::new();
    for number in 0..3 {
        events.push(publisher.chat(ALICE, &number.to_string(), "hello").await.event_id);
        for _ in 0..4 {
            delivered.next().await;
        }
        failed.next().await;
    }
    until_number(&connection, "SELECT count(*) FROM delivery WHERE ended_at_ms IS NOT NULL", 15).await;

    // The newest first.
    let [_, cancelled, deleted, off, _] = &client.webhooks(ALICE).await[..] else { panic!("five webhooks") };
    client.delete_webhook(ALICE, deleted).await;
    let switch_off = UpdateWebhookRequest {
        caller_did: ALICE.to_owned(),
        id: off.clone(),
        active: Some(false),
        given: Some(prost_types::FieldMask { paths: vec!["active".to_owned()] }),
        ..Default::default()
    };
    client.update_webhook(switch_off).await;
    let of_webhook = |id: &str| match kind {
        Kind::Sqlite => format!("webhook_id = x'{}'", id.replace('-', "")),
        Kind::Postgres => format!("webhook_id = '{id}'"),
    };
    let of_event = "event_id = (SELECT id FROM event WHERE idempotency_key =";
    let kept = of_webhook(&client.webhooks(ALICE).await[3]);
    for statement in [
        // The first event is too old, the second has no payload, and of one webhook the third was cancelled.
        format!("UPDATE delivery SET ended_at_ms = ended_at_ms - 3600000 WHERE {of_event} '0')"),
        "UPDATE event SET payload = NULL WHERE idempotency_key = '1'".to_owned(),
        format!("UPDATE delivery SET body = NULL WHERE {kept} AND {of_event} '1')"),
        format!(
            "UPDATE delivery SET state = 2, last_outcome = 'cancelled' WHERE {} AND {of_event} '2')",
            of_webhook(cancelled)
        ),
    ] {
        assert!(connection.execute_unprepared(&statement).await.unwrap().rows_affected() > 0, "{statement}");
    }
    let since = ago(Duration::from_secs(1800));
    let printed = requeue(&database, &["--since", &since]).await;
    let left =
        "left alone: 1 cancelled, 4 of webhooks that are off or deleted, 1 without payload, 0 without room";
    assert_eq!(printed, ["due again: 4 deliveries; leases freed: 0", left]);

    let ids =
        |events: &[&String]| -> BTreeSet<String> { events.iter().map(|id| format!("msg_{id}")).collect() };
    let mut again = BTreeSet::new();
    for _ in 0..2 {
        let received = delivered.next().await;
        again.insert((received.path.clone(), received.header("webhook-id").to_owned()));
    }
    let expected = [("/cancelled", &events[1]), ("/kept", &events[2])];
    assert_eq!(again, expected.map(|(path, id)| (path.to_owned(), format!("msg_{id}"))).into());
    let mut again = BTreeSet::new();
    for _ in 0..2 {
        again.insert(failed.next().await.header("webhook-id").to_owned());
    }
    assert_eq!(again, ids(&[&events[1], &events[2]]));
    until_number(&connection, "SELECT count(*) FROM delivery WHERE attempts = 2 AND state = 1", 4).await;
    assert_eq!(number(&connection, "SELECT count(*) FROM webhook_state WHERE pending <> 0").await, 0);
    assert!(delivered.waiting().is_none() && failed.waiting().is_none());
}

async fn as_many_as_there_is_room_for(kind: Kind) {
    let database = Database::create(kind, false).await;
    let connection = database.connect().await;
    let service = database.core_service_for_loopback().start().await;
    let mut hook = Hook::start().await;
    Direct::to(service.address).await.create_active_webhook(ALICE, &hook.url("/")).await.unwrap();
    let publisher = Publisher::of(service.address);
    for number in 0..5 {
        publisher.chat(ALICE, &number.to_string(), "hello").await;
        hook.next().await;
    }
    let ended =
        |attempts: usize| format!("SELECT count(*) FROM delivery WHERE state = 1 AND attempts = {attempts}");
    until_number(&connection, &ended(1), 5).await;
    let since = ago(Duration::from_secs(1800));
    let room = |count| NONE_LEFT.replace("0 without room", &format!("{count} without room"));
    let printed = requeue(&database, &["--since", &since, "--max-pending", "2"]).await;
    assert_eq!(printed[..2], ["due again: 2 deliveries; leases freed: 0".to_owned(), room(3)]);
    let before = printed[2].strip_prefix("when there is room, repeat it with --before ").unwrap();
    for (due, left) in [(2, 1), (1, 0)] {
        until_number(&connection, "SELECT pending FROM webhook_state", 0).await;
        let repeat = ["--since", &since, "--max-pending", "2", "--before", before];
        let printed = requeue(&database, &repeat).await;
        assert_eq!(printed[0], format!("due again: {due} deliveries; leases freed: 0"));
        assert_eq!(printed[1], room(left));
    }
    until_number(&connection, &ended(2), 5).await;
    let mut again = BTreeSet::new();
    for _ in 0..5 {
        again.insert(hook.next().await.header("webhook-id").to_owned());
    }
    assert!(again.len() == 5 && hook.waiting().is_none());
}

async fn leases_that_have_ended(kind: Kind) {
    let database = Database::create(kind, false).await;
    let connection = database.connect().await;
    let service = database.core_service_for_loopback().start().await;
    let slow = Slow::start(Manner::Waits(204)).await;
    Direct::to(service.address).await.create_active_webhook(ALICE, &slow.url(0)).await.unwrap();
    Publisher::of(service.address).chat(ALICE, "k", "hello").await;
    slow.arrived(1).await;
    let since = ago(Duration::from_secs(1800));
    let printed = requeue(&database, &["--since", &since]).await;
    assert_eq!(printed, ["due again: 0 deliveries; leases freed: 0", NONE_LEFT], "it is under way");
    service.kill();
    for table in ["delivery SET next_at_ms = 1", "webhook_state SET due_at_ms = 1"] {
        connection.execute_unprepared(&format!("UPDATE {table}")).await.unwrap();
    }
    let printed = requeue(&database, &["--since", &since]).await;
    assert_eq!(printed, ["due again: 0 deliveries; leases freed: 1", NONE_LEFT]);
    let _service = database.core_service_for_loopback().start().await;
    slow.arrived(2).await;
    slow.release();
    until_number(&connection, "SELECT count(*) FROM delivery WHERE state = 1 AND attempts = 1", 1).await;
    assert_eq!(number(&connection, "SELECT count(*) FROM attempt WHERE outcome = 'ok'").await, 1);
}

#[tokio::test]
async fn wrong_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let missing = format!("sqlite://{}/none.db?mode=rwc", folder.path().display());
    let run = async |arguments: &[&str]| {
        commands::run(&[&["requeue", "--database-url", &missing], arguments].concat()).await
    };
    let rule = "must be a datetime such as 2026-11-29T08:00:00Z, from 1970 on";
    for since in ["yesterday", "2026-11-29", "2026-11-29T08:00:00", "1969-12-31T23:59:59Z"] {
        let ended = run(&["--since", since]).await;
        assert_eq!(ended.failed(2).trim(), format!("--since: {since:?}: {rule}"));
    }
    for (arguments, problem) in [
        (
            &["--since", "2999-01-01T00:00:00Z"][..],
            "--since: is in the future, and nothing was attempted since then",
        ),
        (
            &["--since", "2020-01-02T00:00:00Z", "--before", "2020-01-02T00:00:00Z"],
            "--before: must be after --since",
        ),
    ] {
        assert_eq!(run(arguments).await.failed(2).trim(), problem);
    }
    let ended = run(&["--since", "2020-11-29T08:00:00Z", "--before", "never", "--max-pending", "0"]).await;
    ended.failed(2);
    for problem in [&format!("--before: \"never\": {rule}"), "--max-pending: 1 to 1000000000"] {
        assert!(ended.log.contains(problem), "{}", ended.log);
    }
    assert_eq!(run(&[]).await.status.code(), Some(2));
    let ended = run(&["--since", "2020-11-29T08:00:00+01:00"]).await;
    assert!(ended.failed(1).starts_with("error: there is no database: SQLite file"), "{}", ended.log);
}
