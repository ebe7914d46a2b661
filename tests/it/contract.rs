//! Lexicons, routes and errors fit together: no lexicon without a route, no route without a lexicon, no
//! declared error that is never answered.
//!
//! `harness/contract.rs` checks every answer of every test against its lexicon.

use std::path::Path;

use http::Method;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use crate::harness::answer::Answer;
use crate::harness::contract::{Contract, NEVER_ANSWERED, built_in, methods};
use crate::harness::database::Kind;
use crate::harness::identity::{Identity, Key};
use crate::harness::stack::{
    CREATE_SECRET, CREATE_WEBHOOK, GET_DELIVERY, LIST_DELIVERIES, LIST_RECORDS, REDELIVER, REDELIVER_FAILED,
    SEND_TEST, SERVICE, Setup, Stack,
};

/// Webhooks that one caller may have here.
const MAX_WEBHOOKS: usize = 2;

fn verb(main: &Value) -> Method {
    if main["type"] == "query" { Method::GET } else { Method::POST }
}

/// What a gateway reports when it should serve these documents.
fn drift<'a>(documents: impl Iterator<Item = &'a Value>) -> String {
    let folder = tempfile::tempdir().unwrap();
    for document in documents {
        let name = format!("{}.json", document["id"].as_str().unwrap());
        std::fs::write(folder.path().join(name), document.to_string()).unwrap();
    }
    match gateway::bound(Some(folder.path()), None) {
        Ok(_) => String::new(),
        Err(error) => process::exit::chain(&error),
    }
}

fn documents() -> impl Iterator<Item = &'static Value> {
    built_in().iter().map(|(_, document)| document)
}

#[test]
fn documents_where_their_ids_say() {
    for (path, document) in built_in() {
        let id = document["id"].as_str().unwrap();
        assert_eq!(Path::new(path), Path::new(&id.replace('.', "/")).with_extension("json"));
    }
    Contract::of(documents()).unwrap();
    assert_eq!(drift(documents()), "");
}

#[test]
fn references_lead_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let mut seen = 0;
    for document in documents() {
        let mut found = Vec::new();
        references(document, &mut found);
        for reference in found {
            let (target, name) = reference.split_once('#').unwrap_or((reference, "main"));
            let target = if target.is_empty() { document["id"].as_str().unwrap() } else { target };
            let mut targets = documents().filter(|document| document["id"] == target);
            assert!(
                targets.next().is_some_and(|document| document["defs"].get(name).is_some()),
                "{reference}"
            );
            seen += 1;
        }
    }
    assert!(seen > 0);
}

#[test]
fn lexicon_without_a_route() {
    let (_, some) = methods().find(|(_, main)| main.get("input").is_none()).unwrap();
    let stray = json!({ "lexicon": 1, "id": "place.wisp.v2.secret.stray", "defs": { "main": some } });
    let more: Vec<Value> = documents().cloned().chain([stray]).collect();
    let problems = drift(more.iter());
    assert!(problems.contains("place.wisp.v2.secret.stray"), "{problems}");
}

#[test]
fn route_without_a_lexicon() {
    for (nsid, _) in methods() {
        let problems = drift(documents().filter(|document| document["id"] != nsid));
        assert!(problems.contains(nsid), "{nsid}: {problems}");
    }
}

#[test]
fn error_that_the_lexicon_does_not_declare() {
    for (nsid, name) in [(CREATE_SECRET, "AlreadyExists"), (CREATE_WEBHOOK, "TooManyWebhooks")] {
        let mut less: Vec<Value> = documents().cloned().collect();
        let document = less.iter_mut().find(|document| document["id"] == nsid).unwrap();
        document["defs"]["main"]["errors"].as_array_mut().unwrap().retain(|error| error["name"] != name);
        let problems = drift(less.iter());
        assert!(problems.contains(name), "{name}: {problems}");
    }
}

#[tokio::test]
async fn every_declared_error_is_provoked() {
    let limit = MAX_WEBHOOKS.to_string();
    let core = Setup::on(Kind::Sqlite).core("--probe", "off").core("--delivery", "off");
    let stack = core.core("--max-webhooks", &limit).start().await;
    let mut provoked = 0;
    for (nsid, main) in methods() {
        for name in Contract::of_athook().declared_errors(nsid) {
            if name == NEVER_ANSWERED {
                continue;
            }
            let did = format!("did:plc:caller{provoked:018}");
            let caller = Caller { stack: &stack, identity: stack.newcomer(&did, Key::k256()) };
            let status = if name == "AuthenticationRequired" { 401 } else { 400 };
            provoke(&caller, nsid, main, name).await.error(status, name);
            provoked += 1;
        }
    }
    assert!(provoked > methods().count(), "{provoked}");
}

/// A new caller for each error.
struct Caller<'a> {
    stack: &'a Stack,
    identity: Identity,
}

impl Caller<'_> {
    async fn call(&self, nsid: &str, input: &Value) -> Answer {
        self.stack.call_as(&self.identity, nsid, input).await
    }

    /// Calls a query, with a query string that begins with `?`.
    async fn query(&self, nsid: &str, query: &str) -> Answer {
        let request = self.stack.request(Method::GET, &format!("/xrpc/{nsid}{query}"));
        self.stack.send(request.bearer_auth(self.identity.token(SERVICE, nsid))).await
    }

    /// Creates a webhook for this path of a host. Returns its id.
    async fn webhook(&self, path: &str) -> String {
        let made = self.call(CREATE_WEBHOOK, &webhook(path)).await.ok();
        made["webhook"]["id"].as_str().unwrap().to_owned()
    }

    /// Removes the contents of all events, as retention does.
    async fn forget_contents(&self) {
        let connection = self.stack.database.connect().await;
        connection.execute_unprepared("UPDATE event SET payload = NULL").await.unwrap();
    }
}

fn webhook(path: &str) -> Value {
    json!({ "url": format!("https://hooks.example.com/{path}"), "events": ["chat"] })
}

/// An id that no webhook and no delivery has.
const NOTHING: &str = "0198c2f5-0000-7000-8000-000000000000";

/// Makes the method answer with the error `name`. A declared error without an arm here fails the test.
async fn provoke(caller: &Caller<'_>, nsid: &str, main: &Value, name: &str) -> Answer {
    match (nsid, name) {
        (_, "AuthenticationRequired") => {
            caller.stack.send(caller.stack.request(verb(main), &format!("/xrpc/{nsid}"))).await
        }
        (
            "place.wisp.v2.secret.create" | "place.wisp.v2.secret.rotate" | "place.wisp.v2.secret.delete",
            "InvalidRequest",
        ) => caller.call(nsid, &json!({ "name": "a b" })).await,
        ("place.wisp.v2.secret.create", "AlreadyExists") => {
            caller.call(nsid, &json!({ "name": "a" })).await.ok();
            caller.call(nsid, &json!({ "name": "a" })).await
        }
        ("place.wisp.v2.secret.rotate" | "place.wisp.v2.secret.delete", "NotFound") => {
            caller.call(nsid, &json!({ "name": "a" })).await
        }
        ("place.stream.server.createWebhook", "InvalidUrl") => {
            caller.call(nsid, &json!({ "url": "https://10.0.0.1/", "events": ["chat"] })).await
        }
        ("place.stream.server.createWebhook", "DuplicateWebhook") => {
            caller.webhook("a").await;
            caller.call(nsid, &webhook("a")).await
        }
        ("place.stream.server.createWebhook", "TooManyWebhooks") => {
            for number in 0..MAX_WEBHOOKS {
                caller.webhook(&number.to_string()).await;
            }
            caller.call(nsid, &webhook("more")).await
        }
        ("place.stream.server.updateWebhook", "InvalidUrl") => {
            let id = caller.webhook("a").await;
            caller.call(nsid, &json!({ "id": id, "url": "https://10.0.0.1/" })).await
        }
        ("place.stream.server.updateWebhook", "DuplicateWebhook") => {
            caller.webhook("a").await;
            let id = caller.webhook("b").await;
            caller.call(nsid, &json!({ "id": id, "url": webhook("a")["url"] })).await
        }
        ("place.stream.server.updateWebhook" | "place.stream.server.deleteWebhook", "WebhookNotFound") => {
            caller.call(nsid, &json!({ "id": NOTHING, "active": true })).await
        }
        ("place.stream.server.getWebhook", "WebhookNotFound") => {
            caller.query(nsid, &format!("?id={NOTHING}")).await
        }
        ("place.stream.server.listWebhooks" | LIST_RECORDS, "InvalidCursor") => {
            caller.query(nsid, "?cursor=!").await
        }
        (LIST_DELIVERIES, "InvalidCursor") => {
            let id = caller.webhook("a").await;
            caller.query(nsid, &format!("?webhookId={id}&cursor=!")).await
        }
        (LIST_DELIVERIES, "WebhookNotFound") => caller.query(nsid, &format!("?webhookId={NOTHING}")).await,
        (GET_DELIVERY, "DeliveryNotFound") => caller.query(nsid, &format!("?id={NOTHING}")).await,
        (REDELIVER, "DeliveryNotFound") => caller.call(nsid, &json!({ "id": NOTHING })).await,
        (REDELIVER, "PayloadExpired") => {
            let id = caller.webhook("a").await;
            let made = caller.call(SEND_TEST, &json!({ "webhookId": id })).await.ok();
            caller.forget_contents().await;
            caller.call(nsid, &json!({ "id": made["id"] })).await
        }
        (REDELIVER_FAILED | SEND_TEST, "WebhookNotFound") => {
            caller.call(nsid, &json!({ "webhookId": NOTHING, "since": "2026-01-01T00:00:00Z" })).await
        }
        _ => panic!("nothing here provokes {name} of {nsid}"),
    }
}
