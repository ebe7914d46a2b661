//! `place.wisp.v2.secret.delete`. The rules for names are in `secret_rules`, what holds for every method in
//! `conformance`.

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use crate::harness::answer::{Answer, one_succeeds};
use crate::harness::database::{Kind, number};
use crate::harness::identity::Key;
use crate::harness::on_both;
use crate::harness::sealed;
use crate::harness::stack::{BOB, CREATE_SECRET, CREATE_WEBHOOK, DELETE_SECRET, ROTATE_SECRET, Setup, Stack};
use crate::harness::webhook::made;

on_both! {
    deleted_is_gone, name_can_be_used_again, no_such_secret, webhooks_use_it, secrets_of_others,
    limit_has_room_again, twenty_creations_and_deletions_at_once, twenty_deletions_of_one_at_once,
    deletion_against_webhooks_that_name_it, deletion_against_rotation
}

/// What is said when `count` webhooks use a secret.
fn in_use(count: usize) -> String {
    let subject = if count == 1 { "1 webhook uses".to_owned() } else { format!("{count} webhooks use") };
    format!("{subject} this secret; it can't be deleted")
}

async fn delete(stack: &Stack, name: &str) -> Answer {
    stack.call(DELETE_SECRET, &json!({ "name": name })).await
}

async fn is_there(stack: &Stack, name: &str) -> bool {
    sealed::secret(&stack.database, &stack.alice.did, name).await.is_some()
}

/// Asserts that the answer is that of a deletion: empty.
fn deleted(answer: &Answer) {
    assert_eq!(answer.whole(), (200, String::new()));
}

fn webhook(path: &str, secret: &str) -> Value {
    json!({ "url": format!("https://hooks.example.com/{path}"), "events": ["chat"], "secretId": secret })
}

async fn deleted_is_gone(kind: Kind) {
    let stack = Stack::start(kind).await;
    stack.create_secret("deploys").await.ok();
    stack.create_secret("kept").await.ok();
    deleted(&delete(&stack, "deploys").await);
    let secrets = stack.secrets().await;
    assert_eq!((secrets.len(), &secrets[0]["name"]), (1, &json!("kept")));
    assert!(!is_there(&stack, "deploys").await, "the row is gone, sealed token and all");
    delete(&stack, "deploys").await.error(400, "NotFound");
    stack.call(ROTATE_SECRET, &json!({ "name": "deploys" })).await.error(400, "NotFound");
}

async fn name_can_be_used_again(kind: Kind) {
    let stack = Stack::start(kind).await;
    let first = stack.create_secret("deploys").await.ok();
    deleted(&delete(&stack, "deploys").await);
    let second = stack.create_secret("deploys").await.ok();
    assert_ne!(first["token"], second["token"]);
    let stored = sealed::secret(&stack.database, &stack.alice.did, "deploys").await.unwrap();
    assert_eq!(second["token"], stored.token);
}

async fn no_such_secret(kind: Kind) {
    let stack = Stack::start(kind).await;
    delete(&stack, "deploys").await.error(400, "NotFound");
    stack.create_secret("deploys").await.ok();
    for name in ["Deploys", "deploy", "deploys."] {
        delete(&stack, name).await.error(400, "NotFound");
    }
    assert!(is_there(&stack, "deploys").await);
    stack.database.assert_counted().await;
}

async fn webhooks_use_it(kind: Kind) {
    let stack = Setup::on(kind).core("--probe", "off").start().await;
    for name in ["deploys", "other"] {
        stack.create_secret(name).await.ok();
    }
    // Neither another secret's webhook nor one without a secret counts.
    stack.call(CREATE_WEBHOOK, &webhook("other", "other")).await.ok();
    made(&stack, "none").await;
    for (count, path) in [(1, "a"), (2, "b")] {
        stack.call(CREATE_WEBHOOK, &webhook(path, "deploys")).await.ok();
        delete(&stack, "deploys").await.invalid(&in_use(count));
    }
    assert!(is_there(&stack, "deploys").await);
    stack.database.assert_counted().await;
}

async fn secrets_of_others(kind: Kind) {
    let stack = Setup::on(kind).core("--probe", "off").start().await;
    let bob = stack.newcomer(BOB, Key::p256());
    stack.create_secret("deploys").await.ok();
    let input = json!({ "name": "deploys" });
    stack.call_as(&bob, DELETE_SECRET, &input).await.error(400, "NotFound");
    assert!(is_there(&stack, "deploys").await);
    // Bob's webhook names bob's secret, and keeps nobody else's from being deleted.
    stack.call_as(&bob, CREATE_SECRET, &input).await.ok();
    stack.call_as(&bob, CREATE_WEBHOOK, &webhook("bobs", "deploys")).await.ok();
    stack.call_as(&bob, DELETE_SECRET, &input).await.invalid(&in_use(1));
    deleted(&delete(&stack, "deploys").await);
    assert!(sealed::secret(&stack.database, BOB, "deploys").await.is_some());
    stack.database.assert_counted().await;
}

async fn limit_has_room_again(kind: Kind) {
    let stack = Setup::on(kind).core("--max-secrets", "2").start().await;
    stack.create_secret("one").await.ok();
    stack.create_secret("two").await.ok();
    stack.create_secret("three").await.invalid("the limit of 2 secrets is reached");
    deleted(&delete(&stack, "one").await);
    // A deletion that finds nothing makes no room.
    delete(&stack, "one").await.error(400, "NotFound");
    stack.create_secret("three").await.ok();
    stack.create_secret("four").await.invalid("the limit of 2 secrets is reached");
    stack.database.assert_counted().await;
}

async fn twenty_creations_and_deletions_at_once(kind: Kind) {
    let stack = Setup::on(kind).core("--max-secrets", "25").start().await;
    let old: Vec<String> = (0..20).map(|number| format!("old{number}")).collect();
    let new: Vec<String> = (0..20).map(|number| format!("new{number}")).collect();
    for name in &old {
        stack.create_secret(name).await.ok();
    }
    let deletions = join_all(old.iter().map(|name| delete(&stack, name)));
    let creations = join_all(new.iter().map(|name| stack.create_secret(name)));
    let (deletions, created) = join(deletions, creations).await;
    deletions.iter().for_each(deleted);
    let (made, refused): (Vec<_>, Vec<_>) = created.iter().partition(|answer| answer.status == 200);
    assert!(made.len() >= 5, "as many as there was room for from the start");
    for answer in refused {
        answer.invalid("the limit of 25 secrets is reached");
    }
    stack.database.assert_counted().await;
    // The limit is as exact as before.
    for number in made.len()..25 {
        stack.create_secret(&format!("more{number}")).await.ok();
    }
    stack.create_secret("one-too-many").await.invalid("the limit of 25 secrets is reached");
}

async fn twenty_deletions_of_one_at_once(kind: Kind) {
    let stack = Stack::start(kind).await;
    stack.create_secret("kept").await.ok();
    stack.create_secret("deploys").await.ok();
    let answers = join_all((0..20).map(|_| delete(&stack, "deploys"))).await;
    one_succeeds(&answers, "NotFound");
    stack.database.assert_counted().await;
}

async fn deletion_against_webhooks_that_name_it(kind: Kind) {
    let stack = Setup::on(kind).core("--probe", "off").start().await;
    stack.create_secret("kept").await.ok();
    for round in 0..10 {
        let name = format!("s{round}");
        stack.create_secret(&name).await.ok();
        let creation = webhook(&name, &name);
        let creation = stack.call(CREATE_WEBHOOK, &creation);
        let (deletion, created) = if round % 2 == 0 {
            join(delete(&stack, &name), creation).await
        } else {
            let (created, deletion) = join(creation, delete(&stack, &name)).await;
            (deletion, created)
        };
        // One of the two came first, and the other fails.
        if deletion.status == 200 {
            created.invalid("input.secretId: must name a secret of the caller");
        } else {
            deletion.invalid(&in_use(1));
            created.ok();
        }
    }
    let dangling = "SELECT count(*) FROM webhook w WHERE secret_name IS NOT NULL AND NOT EXISTS \
                    (SELECT 1 FROM secret s WHERE s.owner_did = w.owner_did AND s.name = w.secret_name)";
    assert_eq!(number(&stack.database.connect().await, dangling).await, 0);
    stack.database.assert_counted().await;
}

async fn deletion_against_rotation(kind: Kind) {
    let stack = Stack::start(kind).await;
    for round in 0..5 {
        let name = format!("s{round}");
        stack.create_secret(&name).await.ok();
        let input = json!({ "name": name });
        let (deletion, rotated) = join(delete(&stack, &name), stack.call(ROTATE_SECRET, &input)).await;
        deleted(&deletion);
        if rotated.status != 200 {
            rotated.error(400, "NotFound");
        }
        assert!(!is_there(&stack, &name).await, "a rotation brings nothing back");
    }
}
