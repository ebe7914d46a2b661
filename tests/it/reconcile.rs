//! `core-service reconcile`: wh records are read at their owners' PDSes by hand, beside a service that runs.

use fakes::jetstream::{Item, Wire};
use serde_json::json;

use crate::harness::commands;
use crate::harness::database::Kind;
use crate::harness::intake::{CAROL, Intake, WH};
use crate::harness::on_both;
use crate::harness::stack::{CREATE_SECRET, LIST_RECORDS};

on_both! { records_that_the_stream_never_had }

const ALICE: &str = "did:plc:alice2222222222222222222";
const THING: &str = "app.example.thing";

/// What the command prints, with the settings of the service.
async fn reconcile(intake: &Intake, more: &[&str]) -> String {
    let flags = intake.stack.core_flags();
    commands::run(&[&["reconcile"], &flags[..], more].concat()).await.ok().output
}

async fn records_that_the_stream_never_had(kind: Kind) {
    let mut intake = Intake::start(kind, Wire::V2).await;
    intake.stack.call(CREATE_SECRET, &json!({ "name": "main" })).await.ok();
    intake.reloaded().await;
    // Nothing is new yet.
    let nothing = "read the wh records of 1 of 1 accounts; changed: those of 0\n";
    assert_eq!(reconcile(&intake, &["--did", ALICE]).await, nothing);

    let record = intake.wh(&format!("at://{CAROL}/{THING}"), &json!({}));
    intake.network.put(ALICE, WH, "a", record);
    let found = "read the wh records of 1 of 1 accounts; changed: those of 1\n";
    assert_eq!(reconcile(&intake, &["--did", ALICE]).await, found);
    let listed = intake.stack.query(LIST_RECORDS, &[]).await.ok();
    assert_eq!(
        (&listed["records"][0]["state"], listed["records"].as_array().unwrap().len()),
        (&json!("active"), 1)
    );
    // Whoever reads asks for its collection now, from where reading was.
    intake.push(Item::create(CAROL, THING, "3m6k2xq7v2c2a", r#"{"$type":"app.example.thing"}"#));
    assert_eq!(intake.next().await.json()["rkey"], "3m6k2xq7v2c2a");

    // Gone, and of all that are known; of one whom the directory does not know.
    intake.network.delete(ALICE, WH, "a");
    assert_eq!(reconcile(&intake, &[]).await, found);
    assert_eq!(intake.stack.query(LIST_RECORDS, &[]).await.ok(), json!({ "records": [] }));
    let stranger = ["--did", "did:plc:stranger2222222222222222"];
    let ended = commands::run(&[&["reconcile"], &intake.stack.core_flags()[..], &stranger].concat()).await;
    let printed = "not read: did:plc:stranger2222222222222222\nread the wh records of 0 of 1 accounts; changed: those of 0\n";
    assert_eq!((ended.status.code(), ended.output.as_str()), (Some(1), printed));
    let refused =
        commands::run(&[&["reconcile"], &intake.stack.core_flags()[..], &["--did", "alice"]].concat()).await;
    assert_eq!(refused.status.code(), Some(2));
}
