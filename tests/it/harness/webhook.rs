//! Webhooks that tests start with, and their rows.

use sea_orm::{ConnectionTrait as _, Statement, TryGetable, Value as Parameter};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::answer::Answer;
use crate::harness::database::Kind;
use crate::harness::identity::Identity;
use crate::harness::stack::{CREATE_WEBHOOK, LIST_WEBHOOKS, Setup, Stack};

/// A stack that looks nothing up and connects to nobody, for what does not concern reaching a URL.
pub(crate) async fn start(kind: Kind) -> Stack {
    Setup::on(kind).core("--probe", "off").start().await
}

/// A URL with this path.
pub(crate) fn url(path: &str) -> String {
    format!("https://hooks.example.com/{path}")
}

/// Creates a webhook as alice; only what is required is given.
pub(crate) async fn create(stack: &Stack, url: &str) -> Answer {
    stack.call(CREATE_WEBHOOK, &json!({ "url": url, "events": ["chat"] })).await
}

/// A new webhook of alice's, of which only what is required is given.
pub(crate) async fn made(stack: &Stack, path: &str) -> Value {
    made_by(stack, &stack.alice, path).await
}

/// The same for `owner`.
pub(crate) async fn made_by(stack: &Stack, owner: &Identity, path: &str) -> Value {
    let input = json!({ "url": url(path), "events": ["chat"] });
    stack.call_as(owner, CREATE_WEBHOOK, &input).await.ok()["webhook"].take()
}

/// A new webhook of alice's with these fields beside the URL; `events` is `["chat"]` if it is not among them.
pub(crate) async fn made_with(stack: &Stack, path: &str, fields: Value) -> Value {
    let mut input = json!({ "url": url(path), "events": ["chat"] });
    for (field, value) in fields.as_object().unwrap() {
        input[field] = value.clone();
    }
    stack.call(CREATE_WEBHOOK, &input).await.ok()["webhook"].take()
}

/// A new webhook of alice's with every field there is, and the secret that it names.
pub(crate) async fn made_whole(stack: &Stack) -> Value {
    stack.create_secret("deploys").await.ok();
    let fields = json!({
        "events": ["livestream", "chat", "stream.received", "mention", "follow"],
        "active": true,
        "name": "Möwe",
        "description": "what it is for",
        "prefix": "> ",
        "suffix": " <",
        "rewrite": [{ "from": "a", "to": "b" }, { "from": "\"c\"", "to": "" }],
        "muteWords": ["one", "two words, and a comma"],
        "streamplaceFormat": true,
        "secretId": "deploys",
    });
    made_with(stack, "whole?a=b", fields).await
}

/// The id of a webhook.
pub(crate) fn id(webhook: &Value) -> &str {
    webhook["id"].as_str().unwrap()
}

/// A page of listWebhooks and the cursor of the next one.
pub(crate) async fn page(
    stack: &Stack,
    params: &[(&str, &str)],
    cursor: Option<&str>,
) -> (Vec<Value>, Option<String>) {
    let mut params = params.to_vec();
    params.extend(cursor.map(|cursor| ("cursor", cursor)));
    let mut page = stack.query(LIST_WEBHOOKS, &params).await.ok();
    let next = page.get("cursor").map(|cursor| cursor.as_str().unwrap().to_owned());
    (serde_json::from_value(page["webhooks"].take()).unwrap(), next)
}

/// All pages of listWebhooks with these parameters.
pub(crate) async fn pages(stack: &Stack, params: &[(&str, &str)]) -> Vec<Vec<Value>> {
    let (mut pages, mut cursor) = (Vec::new(), None);
    loop {
        let (webhooks, next) = page(stack, params, cursor.as_deref()).await;
        pages.push(webhooks);
        match next {
            Some(_) => cursor = next,
            None => return pages,
        }
    }
}

/// One column of a webhook's row.
pub(crate) async fn column<T: TryGetable>(stack: &Stack, webhook: &Value, name: &str) -> T {
    let connection = stack.database.connect().await;
    let sql = format!("SELECT {name} AS value FROM webhook WHERE id = $1");
    let id: Uuid = id(webhook).parse().unwrap();
    let statement = Statement::from_sql_and_values(connection.get_database_backend(), sql, [id.into()]);
    connection.query_one_raw(statement).await.unwrap().unwrap().try_get("", "value").unwrap()
}

/// Writes one column of a webhook's row directly.
pub(crate) async fn set_column(stack: &Stack, webhook: &Value, name: &str, value: impl Into<Parameter>) {
    let connection = stack.database.connect().await;
    let sql = format!("UPDATE webhook SET {name} = $1 WHERE id = $2");
    let id: Uuid = id(webhook).parse().unwrap();
    let values = [value.into(), id.into()];
    let statement = Statement::from_sql_and_values(connection.get_database_backend(), sql, values);
    assert_eq!(connection.execute_raw(statement).await.unwrap().rows_affected(), 1);
}

/// Seals the URL of a webhook with a key that the core-service does not have.
pub(crate) async fn seal_with_an_unknown_key(stack: &Stack, webhook: &Value) {
    let mut sealed = vec![0_u8; 80];
    // The version; the id of the key follows.
    sealed[0] = 1;
    set_column(stack, webhook, "sealed_url", sealed).await;
}

/// How many webhooks `owner` has by the count of the account, and by the rows.
pub(crate) async fn counts(stack: &Stack, owner: &Identity) -> (i64, i64) {
    let connection = stack.database.connect().await;
    let sql = "SELECT CAST(webhooks AS BIGINT) AS counted, \
               (SELECT COUNT(*) FROM webhook WHERE owner_did = did) AS stored FROM account WHERE did = $1";
    let values = [owner.did.as_str().into()];
    let statement = Statement::from_sql_and_values(connection.get_database_backend(), sql, values);
    // A caller who owns nothing may have no account row.
    let Some(row) = connection.query_one_raw(statement).await.unwrap() else { return (0, 0) };
    (row.try_get("", "counted").unwrap(), row.try_get("", "stored").unwrap())
}
