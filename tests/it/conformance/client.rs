//! A caller of one method, made from the method's lexicon and its least input.

use http::Method as Verb;
use serde_json::{Value, json};

use crate::harness::answer::{Answer, Whole};
use crate::harness::contract::methods;
use crate::harness::identity::{Identity, Key};
use crate::harness::stack::{
    CREATE_SECRET, CREATE_WEBHOOK, DELETE_SECRET, DELETE_WEBHOOK, GET_DELIVERY, GET_WEBHOOK, LIST_DELIVERIES,
    LIST_RECORDS, LIST_SECRETS, LIST_WEBHOOKS, REDELIVER, REDELIVER_FAILED, ROTATE_SECRET, SEND_TEST,
    SERVICE, Stack, UPDATE_WEBHOOK,
};
use crate::harness::webhook::{id, made_by};

/// The smallest input that the method takes, for a caller who has the secret `deploys`, and a webhook and a
/// delivery with these ids.
fn least_input(nsid: &str, webhook: &str, delivery: &str) -> Value {
    match nsid {
        CREATE_SECRET => json!({ "name": "new" }),
        ROTATE_SECRET | DELETE_SECRET => json!({ "name": "deploys" }),
        CREATE_WEBHOOK => json!({ "url": "https://hooks.example.com/new", "events": ["chat"] }),
        UPDATE_WEBHOOK => json!({ "id": webhook, "active": true }),
        GET_WEBHOOK | DELETE_WEBHOOK => json!({ "id": webhook }),
        LIST_SECRETS | LIST_WEBHOOKS | LIST_RECORDS => json!({}),
        LIST_DELIVERIES | SEND_TEST => json!({ "webhookId": webhook }),
        REDELIVER_FAILED => json!({ "webhookId": webhook, "since": "2026-01-01T00:00:00Z" }),
        GET_DELIVERY | REDELIVER => json!({ "id": delivery }),
        _ => panic!("add the least input of {nsid}"),
    }
}

/// A method, and somebody new who calls it and has a secret and a webhook.
pub(super) struct Client<'a> {
    pub(super) stack: &'a Stack,
    pub(super) caller: Identity,
    pub(super) nsid: &'static str,
    main: &'static Value,
    pub(super) least: Value,
}

/// One client for each method.
pub(super) async fn clients(stack: &Stack) -> Vec<Client<'_>> {
    let mut clients = Vec::new();
    for (number, (nsid, main)) in methods().enumerate() {
        let caller = stack.newcomer(&format!("did:plc:caller{number:018}"), Key::k256());
        stack.call_as(&caller, CREATE_SECRET, &json!({ "name": "deploys" })).await.ok();
        let webhook = made_by(stack, &caller, "a").await;
        let test = json!({ "webhookId": id(&webhook) });
        let delivery = stack.call_as(&caller, SEND_TEST, &test).await.ok();
        let least = least_input(nsid, id(&webhook), id(&delivery));
        clients.push(Client { stack, caller, nsid, main, least });
    }
    assert!(!clients.is_empty());
    clients
}

impl Client<'_> {
    pub(super) fn is_query(&self) -> bool {
        self.main["type"] == "query"
    }

    /// Where error messages say that a field of this method is.
    pub(super) fn root(&self) -> &'static str {
        if self.is_query() { "params" } else { "input" }
    }

    pub(super) fn schema(&self) -> &'static Value {
        if self.is_query() { &self.main["parameters"] } else { &self.main["input"]["schema"] }
    }

    /// The fields of the input, or the parameters, with their schemas.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, &'static Value)> {
        let properties = self.schema()["properties"].as_object();
        properties.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema))
    }

    pub(super) fn token(&self) -> String {
        self.caller.token(SERVICE, self.nsid)
    }

    /// The least input with this field as well.
    pub(super) fn with(&self, field: &str, value: Value) -> Value {
        let mut input = self.least.clone();
        input[field] = value;
        input
    }

    /// The path, and of a query the parameters in this input.
    pub(super) fn target(&self, input: &Value) -> String {
        let path = format!("/xrpc/{}", self.nsid);
        if !self.is_query() {
            return path;
        }
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let mut query = url::form_urlencoded::Serializer::new(format!("{path}?"));
        query.extend_pairs(input.as_object().unwrap().iter().map(|(name, value)| (name, text(value))));
        query.finish()
    }

    /// The call with this input, without a token.
    pub(super) fn request(&self, input: &Value) -> reqwest::RequestBuilder {
        if self.is_query() {
            return self.stack.request(Verb::GET, &self.target(input));
        }
        self.stack.post(self.nsid).json(input)
    }

    /// Calls the method.
    pub(super) async fn call(&self, input: &Value) -> Answer {
        self.stack.send(self.request(input).bearer_auth(self.token())).await
    }

    /// Calls a query, with this after its least input.
    pub(super) async fn query(&self, more: &str) -> Answer {
        let target = format!("{}&{more}", self.target(&self.least));
        self.stack.send(self.stack.request(Verb::GET, &target).bearer_auth(self.token())).await
    }

    /// Calls a procedure with this body.
    pub(super) async fn post(&self, body: String) -> Answer {
        let request = self.stack.post(self.nsid).bearer_auth(self.token());
        self.stack.send(request.header("content-type", "application/json").body(body)).await
    }

    /// All that the caller has.
    pub(super) async fn state(&self) -> [Whole; 2] {
        let secrets = self.stack.query_as(&self.caller, LIST_SECRETS, &[]).await;
        [secrets.whole(), self.stack.query_as(&self.caller, LIST_WEBHOOKS, &[]).await.whole()]
    }
}
