//! The webhook and the secret that `athook listen` makes for itself at a running `athook dev`.

use std::time::Duration;

use process::exit::{Failure, chain};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::xrpc::{CallError, Xrpc};

/// The name of the secret.
const SECRET: &str = "athook-listen";
const EVENTS: [&str; 5] = ["chat", "livestream", "follow", "mention", "stream.received"];
/// How long the core-service may take to be there after `athook dev` has started.
const READY_LIMIT: Duration = Duration::from_secs(10);
/// How often it is looked for.
const READY_INTERVAL: Duration = Duration::from_millis(100);

/// The webhook, while it is there.
pub(super) struct OwnWebhook {
    xrpc: Xrpc,
    id: String,
}

/// Waits until calls can be made. `false`: nobody answers, `athook dev` does not run any more.
///
/// # Errors
///
/// It runs, but its core-service is not there in time.
pub(super) async fn ready(xrpc: &Xrpc) -> Result<bool, Failure> {
    let end = Instant::now() + READY_LIMIT;
    loop {
        match xrpc.is_ready().await {
            None => return Ok(false),
            Some(true) => return Ok(true),
            Some(false) if Instant::now() > end => {
                return Err("`athook dev` runs, but its core-service is not ready".into());
            }
            Some(false) => sleep(READY_INTERVAL).await,
        }
    }
}

impl OwnWebhook {
    /// Gives the secret this token, and makes the webhook for `url`, or takes up the one that is there.
    pub(super) async fn make(xrpc: Xrpc, url: &str, token: &str) -> Result<Self, Failure> {
        let secret = json!({ "name": SECRET, "token": token });
        match xrpc.procedure("place.wisp.v2.secret.create", &secret).await {
            Err(error) if error.is("AlreadyExists") => {
                xrpc.procedure("place.wisp.v2.secret.rotate", &secret).await?;
            }
            result => drop(result?),
        }
        let webhook = json!({ "url": url, "events": EVENTS, "secretId": SECRET, "active": true });
        let made = match xrpc.procedure("place.stream.server.createWebhook", &webhook).await {
            Err(error) if error.is("DuplicateWebhook") => take_up(&xrpc, url).await?,
            result => result?,
        };
        let id = made["webhook"]["id"].as_str().ok_or("the webhook has no id")?.to_owned();
        Ok(Self { xrpc, id })
    }

    /// Removes the webhook. The secret stays; it gets another token next time.
    pub(super) async fn remove(self) -> Result<(), Failure> {
        let Self { xrpc, id } = self;
        match xrpc.procedure("place.stream.server.deleteWebhook", &json!({ "id": id })).await {
            Err(error) if !error.is("WebhookNotFound") => {
                Err(format!("the webhook stays, and the next `athook listen` takes it up: {}", chain(&error))
                    .into())
            }
            _ => Ok(()),
        }
    }
}

/// Makes a webhook that is there, perhaps left behind by a process that was killed, what it should be.
async fn take_up(xrpc: &Xrpc, url: &str) -> Result<Value, CallError> {
    const LIST: &str = "place.stream.server.listWebhooks";
    let mut page = xrpc.query(LIST, &[]).await?;
    loop {
        let webhooks = page["webhooks"].as_array().cloned().unwrap_or_default();
        if let Some(found) = webhooks.iter().find(|webhook| webhook["url"] == url) {
            let update = json!({ "id": found["id"], "events": EVENTS, "secretId": SECRET, "active": true });
            return xrpc.procedure("place.stream.server.updateWebhook", &update).await;
        }
        let Some(cursor) = page["cursor"].as_str() else {
            return Ok(Value::Null);
        };
        page = xrpc.query(LIST, &[("cursor", cursor)]).await?;
    }
}
