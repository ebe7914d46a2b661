//! Account rows: who has nothing has none, whatever was tried.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::database::{Kind, number};
use crate::harness::identity::{Identity, Key};
use crate::harness::on_both;
use crate::harness::stack::{
    CREATE_SECRET, CREATE_WEBHOOK, DELETE_SECRET, DELETE_WEBHOOK, ROTATE_SECRET, Setup, Stack, UPDATE_WEBHOOK,
};
use crate::harness::webhook::{id, made};

on_both! {
    strangers_leave_none,
    refused_creations_leave_none
}

fn strangers(stack: &Stack) -> Vec<Identity> {
    let letters = ["a", "b", "c", "d", "e", "f", "g", "h"];
    letters
        .map(|letter| stack.newcomer(&format!("did:plc:{}", letter.repeat(24)), Key::k256()))
        .into_iter()
        .collect()
}

async fn accounts(stack: &Stack) -> usize {
    number(&stack.database.connect().await, "SELECT count(*) FROM account").await
}

/// Each stranger makes each call, all at once.
async fn all_are_refused(stack: &Stack, calls: &[(&str, Value)]) {
    let strangers = strangers(stack);
    let calls = strangers.iter().flat_map(|one| calls.iter().map(move |call| (one, call)));
    join_all(calls.map(async |(stranger, (nsid, input))| {
        let answer = stack.call_as(stranger, nsid, input).await;
        assert_eq!(answer.status, 400, "{nsid}: {answer:?}");
    }))
    .await;
}

async fn strangers_leave_none(kind: Kind) {
    let stack = Setup::on(kind).core("--probe", "off").start().await;
    stack.create_secret("deploys").await.ok();
    let webhook = made(&stack, "a").await;
    all_are_refused(
        &stack,
        &[
            (ROTATE_SECRET, json!({ "name": "deploys" })),
            (DELETE_SECRET, json!({ "name": "deploys" })),
            (UPDATE_WEBHOOK, json!({ "id": id(&webhook), "name": "x" })),
            (UPDATE_WEBHOOK, json!({ "id": id(&webhook), "url": "https://other.example.com/" })),
            (DELETE_WEBHOOK, json!({ "id": id(&webhook) })),
            (
                CREATE_WEBHOOK,
                json!({ "url": "https://hooks.example.com/", "events": ["chat"], "secretId": "deploys" }),
            ),
        ],
    )
    .await;
    assert_eq!(accounts(&stack).await, 1);
    for (nsid, input) in
        [(DELETE_WEBHOOK, json!({ "id": id(&webhook) })), (DELETE_SECRET, json!({ "name": "deploys" }))]
    {
        assert_eq!(stack.call(nsid, &input).await.status, 200);
    }
    assert_eq!(accounts(&stack).await, 0);
}

async fn refused_creations_leave_none(kind: Kind) {
    let stack = Setup::on(kind)
        .core("--probe", "off")
        .core("--max-secrets", "0")
        .core("--max-webhooks", "0")
        .start()
        .await;
    let refused = [
        (CREATE_SECRET, json!({ "name": "a" })),
        (CREATE_WEBHOOK, json!({ "url": "https://hooks.example.com/a", "events": ["chat"] })),
        (CREATE_WEBHOOK, json!({ "url": "https://10.0.0.1/", "events": ["chat"] })),
    ];
    all_are_refused(&stack, &refused).await;
    assert_eq!(accounts(&stack).await, 0);
}
