//! Lines of events and deliveries, and rows of them that are refused.

use uuid::Uuid;

use super::super::check;
use super::super::import::ImportError;
use super::super::line::{Line, LineFault};
use super::super::settle::Astray;
use super::{NOW_MS, Target, exported, lines, refused_line};
use crate::domain::rule::Rule;
use crate::store::table::attempt::Model as Attempt;
use crate::store::table::delivery::Model as Delivery;
use crate::store::table::event::Model as Event;
use crate::store::table::host_hold::Model as HostHold;
use crate::store::table::paused_origin::Model as PausedOrigin;
use crate::store::table::webhook_state::Model as State;

const ID: Uuid = Uuid::from_u128(0x0123_4567_89ab_7def_8123_4567_89ab_cdef);

fn state() -> State {
    State {
        webhook_id: ID,
        generation: 1,
        origin: vec![0xff; 16],
        discord: false,
        due_at_ms: Some(2),
        held_until_ms: Some(3),
        held_for_secret: true,
        pending: 1,
        dropped: 5,
        last_failed: true,
        error_count: 6,
        failing_since_ms: Some(7),
        last_triggered_at_ms: Some(8),
        disabled_reason: Some("failing".into()),
        disabled_at_ms: Some(9),
        cancelling_since_ms: None,
        paused: false,
        origin_paused: false,
        owner_paused: false,
    }
}

fn event() -> Event {
    Event {
        id: ID,
        publisher: String::new(),
        idempotency_key: "k".into(),
        content_hash: vec![0; 32],
        streamer_did: "did:plc:a".into(),
        r#type: "stream.received".into(),
        occurred_at_ms: 1,
        payload: Some("{}".into()),
        deliveries: 2,
        created_at_ms: 3,
        traceparent: None,
        intake_at_ms: None,
    }
}

fn delivery() -> Delivery {
    Delivery {
        id: ID,
        event_id: ID,
        webhook_id: ID,
        generation: 1,
        state: 0,
        next_at_ms: Some(2),
        lease: Some(ID),
        retried: true,
        attempts: 2,
        body: Some(b"{}".to_vec()),
        last_outcome: Some("http".into()),
        last_status: Some(503),
        last_attempt_at_ms: Some(4),
        ended_at_ms: None,
        created_at_ms: 5,
        redelivered_at_ms: Some(6),
        attempts_before: 1,
    }
}

fn attempt() -> Attempt {
    Attempt {
        delivery_id: ID,
        number: 1,
        at_ms: 2,
        duration_ms: 3,
        outcome: "http".into(),
        status: Some(503),
        response: Some("busy".into()),
        next_at_ms: Some(4),
    }
}

fn host_hold() -> HostHold {
    HostHold { host: "discord.com".into(), held_until_ms: 1 }
}

fn paused_origin() -> PausedOrigin {
    PausedOrigin { origin: vec![0xff; 16], paused_at_ms: 1 }
}

/// A change of one of these texts is a change of the format, which needs a new version.
#[test]
fn lines_as_they_are_written() {
    for (line, text) in [
        (
            Line::WebhookState(Box::new(state())),
            r#"{"webhook_state":{"webhook_id":"01234567-89ab-7def-8123-456789abcdef","generation":1,"origin":"/////////////////////w==","discord":false,"due_at_ms":2,"held_until_ms":3,"held_for_secret":true,"pending":1,"dropped":5,"last_failed":true,"error_count":6,"failing_since_ms":7,"last_triggered_at_ms":8,"disabled_reason":"failing","disabled_at_ms":9,"paused":false,"origin_paused":false,"owner_paused":false}}"#,
        ),
        (
            Line::Event(Box::new(event())),
            r#"{"event":{"id":"01234567-89ab-7def-8123-456789abcdef","publisher":"","idempotency_key":"k","content_hash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","streamer_did":"did:plc:a","type":"stream.received","occurred_at_ms":1,"payload":"{}","deliveries":2,"created_at_ms":3}}"#,
        ),
        (
            Line::Delivery(Box::new(delivery())),
            r#"{"delivery":{"id":"01234567-89ab-7def-8123-456789abcdef","event_id":"01234567-89ab-7def-8123-456789abcdef","webhook_id":"01234567-89ab-7def-8123-456789abcdef","generation":1,"state":0,"next_at_ms":2,"lease":"01234567-89ab-7def-8123-456789abcdef","retried":true,"attempts":2,"body":"e30=","last_outcome":"http","last_status":503,"last_attempt_at_ms":4,"created_at_ms":5,"redelivered_at_ms":6,"attempts_before":1}}"#,
        ),
        (
            Line::Attempt(attempt()),
            r#"{"attempt":{"delivery_id":"01234567-89ab-7def-8123-456789abcdef","number":1,"at_ms":2,"duration_ms":3,"outcome":"http","status":503,"response":"busy","next_at_ms":4}}"#,
        ),
        (Line::HostHold(host_hold()), r#"{"host_hold":{"host":"discord.com","held_until_ms":1}}"#),
        (
            Line::PausedOrigin(paused_origin()),
            r#"{"paused_origin":{"origin":"/////////////////////w==","paused_at_ms":1}}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&line).unwrap(), text);
        assert_eq!(serde_json::from_str::<Line>(text).unwrap(), line);
    }
}

/// `line` as the line of an export.
fn text(line: &Line) -> String {
    serde_json::to_string(line).unwrap() + "\n"
}

/// The export of [`lines`] with a webhook state, an event, a delivery, an attempt and a hold.
async fn with_deliveries() -> Vec<String> {
    let mut lines = lines().await;
    let end = lines.pop().unwrap();
    lines.push(text(&Line::WebhookState(Box::new(state()))));
    lines.push(text(&Line::Event(Box::new(event()))));
    lines.push(text(&Line::Delivery(Box::new(delivery()))));
    lines.push(text(&Line::Attempt(attempt())));
    lines.push(text(&Line::HostHold(host_hold())));
    lines.push(text(&Line::PausedOrigin(paused_origin())));
    let zeros =
        r#""webhook_states":0,"events":0,"deliveries":0,"attempts":0,"host_holds":0,"paused_origins":0"#;
    assert!(end.contains(zeros), "{end}");
    lines.push(end.replace(zeros, &zeros.replace(":0", ":1")));
    lines
}

#[tokio::test]
async fn lease_ends_and_what_is_pending_is_counted() {
    let mut lines = with_deliveries().await;
    lines[6] = text(&Line::WebhookState(Box::new(State { pending: 7, ..state() })));
    let target = Target::new();
    target.import(&lines).await.unwrap();
    let due = State { due_at_ms: Some(NOW_MS), ..state() };
    lines[6] = text(&Line::WebhookState(Box::new(due)));
    let due = Delivery { lease: None, next_at_ms: Some(NOW_MS), ..delivery() };
    lines[8] = text(&Line::Delivery(Box::new(due)));
    assert_eq!(exported(&target.url()).await, lines);
}

#[tokio::test]
async fn lease_of_a_webhook_that_is_held() {
    let mut lines = with_deliveries().await;
    let held = Some(NOW_MS + 1);
    lines[6] = text(&Line::WebhookState(Box::new(State { due_at_ms: held, held_until_ms: held, ..state() })));
    let target = Target::new();
    target.import(&lines).await.unwrap();
    assert_eq!(exported(&target.url()).await[6], lines[6]);
}

#[tokio::test]
async fn lease_of_a_webhook_that_is_paused() {
    let mut lines = with_deliveries().await;
    let paused = State { paused: true, due_at_ms: None, ..state() };
    lines[6] = text(&Line::WebhookState(Box::new(paused)));
    let target = Target::new();
    target.import(&lines).await.unwrap();
    assert_eq!(exported(&target.url()).await[6], lines[6]);
}

#[tokio::test]
async fn rows_that_belong_to_nothing() {
    const OTHER: Uuid = Uuid::from_u128(1);
    let all = with_deliveries().await;
    for (at, line, what) in [
        (6, Line::WebhookState(Box::new(State { generation: 0, ..state() })), Astray::Webhook),
        (6, Line::WebhookState(Box::new(State { webhook_id: OTHER, ..state() })), Astray::Webhook),
        (7, Line::Event(Box::new(Event { id: OTHER, ..event() })), Astray::Event),
        (9, Line::Attempt(Attempt { delivery_id: OTHER, ..attempt() }), Astray::Delivery),
    ] {
        let mut lines = all.clone();
        lines[at] = text(&line);
        let refused = Target::new().refuses(&lines).await;
        assert!(matches!(refused, ImportError::Astray(astray) if astray == what), "{refused:?}");
    }
}

#[tokio::test]
async fn lines_in_another_order() {
    let lines = with_deliveries().await;
    for first in 5..lines.len() - 2 {
        let mut lines = lines.clone();
        lines.swap(first, first + 1);
        let (line, fault) = refused_line(Target::new().refuses(&lines).await);
        assert_eq!((line, fault), (first as u64 + 2, LineFault::Order));
    }
}

#[test]
fn rows_that_the_service_could_not_have_written() {
    let column = |field, what| LineFault::Column { field, what };
    let (count, time) = ("0 to 1,000,000,000", "a time of the years 1 to 9999");
    assert!(check::webhook_state(&State { dropped: 1_000_000_000, ..state() }).is_ok());
    assert!(check::webhook_state(&state()).is_ok());
    assert!(check::webhook_state(&State { origin: Vec::new(), ..state() }).is_ok());
    for (row, fault) in [
        (State { origin: vec![0; 15], ..state() }, column("origin", "16 bytes, or none")),
        (
            State { disabled_at_ms: None, ..state() },
            column("disabled_at_ms", "there when disabled_reason is"),
        ),
        (
            State { disabled_reason: Some("other".into()), ..state() },
            column("disabled_reason", "gone or failing"),
        ),
        (State { dropped: -1, ..state() }, column("dropped", count)),
        (State { dropped: i64::MAX, ..state() }, column("dropped", count)),
        (State { pending: -1, ..state() }, column("pending", count)),
        (State { generation: -1, ..state() }, column("generation", count)),
        (State { generation: i32::MAX, ..state() }, column("generation", count)),
        (State { failing_since_ms: Some(i64::MIN), ..state() }, column("failing_since_ms", time)),
    ] {
        assert_eq!(check::webhook_state(&row).unwrap_err(), fault);
    }
    assert!(check::event(&event()).is_ok());
    assert!(check::event(&Event { occurred_at_ms: 253_402_300_799_999, ..event() }).is_ok());
    let payload = "the JSON of an event of this type";
    for (row, fault) in [
        (
            Event { streamer_did: "alice".into(), ..event() },
            LineFault::Field(Rule::Did { max: 2048 }.at("streamer_did")),
        ),
        (Event { r#type: "party".into(), ..event() }, LineFault::Field(Rule::EventType.at("type"))),
        (Event { content_hash: vec![0; 31], ..event() }, column("content_hash", "32 bytes")),
        (Event { payload: Some("[".into()), ..event() }, column("payload", payload)),
        (Event { r#type: "chat".into(), ..event() }, column("payload", payload)),
        (Event { traceparent: Some("\0".into()), ..event() }, LineFault::Field(Rule::Nul.at("traceparent"))),
        (
            Event {
                r#type: "chat".into(),
                payload: Some(r#"{"author":{"did":"did:plc:a"},"text":"\u0000","uri":"at://a"}"#.into()),
                ..event()
            },
            LineFault::Field(Rule::Nul.at("payload.text")),
        ),
        (Event { deliveries: -1, ..event() }, column("deliveries", count)),
        (Event { occurred_at_ms: 253_402_300_800_000, ..event() }, column("occurred_at_ms", time)),
    ] {
        assert_eq!(check::event(&row).unwrap_err(), fault);
    }
    assert!(check::delivery(&delivery()).is_ok());
    let ended = || Delivery { state: 2, next_at_ms: None, ended_at_ms: Some(7), ..delivery() };
    assert!(check::delivery(&ended()).is_ok());
    for (row, fault) in [
        (Delivery { state: 3, ..delivery() }, column("state", "0, 1 or 2")),
        (
            Delivery { next_at_ms: None, ..delivery() },
            column("next_at_ms", "there when the delivery is pending"),
        ),
        (
            Delivery { next_at_ms: Some(1), ..ended() },
            column("next_at_ms", "there when the delivery is pending"),
        ),
        (
            Delivery { ended_at_ms: None, ..ended() },
            column("ended_at_ms", "there when the delivery has ended"),
        ),
        (Delivery { attempts_before: 3, ..delivery() }, column("attempts_before", "at most attempts")),
        (Delivery { attempts: i32::MAX, ..delivery() }, column("attempts", count)),
        (Delivery { created_at_ms: i64::MAX, ..delivery() }, column("created_at_ms", time)),
        (
            Delivery { last_outcome: Some("fine".into()), ..delivery() },
            column("last_outcome", "the outcome of an attempt"),
        ),
        (
            Delivery { last_status: Some(99), ..delivery() },
            column("last_status", "the status of an HTTP answer"),
        ),
    ] {
        assert_eq!(check::delivery(&row).unwrap_err(), fault);
    }
    assert!(check::attempt(&attempt()).is_ok());
    for (row, fault) in [
        (Attempt { number: 0, ..attempt() }, column("number", "1 or more")),
        (Attempt { at_ms: i64::MIN, ..attempt() }, column("at_ms", time)),
        (Attempt { outcome: String::new(), ..attempt() }, column("outcome", "the outcome of an attempt")),
        (Attempt { status: Some(1000), ..attempt() }, column("status", "the status of an HTTP answer")),
        (Attempt { response: Some("\0".into()), ..attempt() }, LineFault::Field(Rule::Nul.at("response"))),
    ] {
        assert_eq!(check::attempt(&row).unwrap_err(), fault);
    }
    assert!(check::host_hold(&host_hold()).is_ok());
    assert_eq!(
        check::host_hold(&HostHold { host: String::new(), held_until_ms: 1 }).unwrap_err(),
        column("host", "not empty")
    );
    assert!(check::paused_origin(&paused_origin()).is_ok());
    assert_eq!(
        check::paused_origin(&PausedOrigin { origin: vec![0; 15], paused_at_ms: 1 }).unwrap_err(),
        column("origin", "16 bytes")
    );
}
