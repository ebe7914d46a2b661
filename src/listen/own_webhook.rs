//! The webhook and the secret that `athook listen` makes for itself at a running `athook dev`.

use process::exit::{Failure, chain};
use serde_json::{Value, json};

use crate::xrpc::{CallError, Xrpc};

/// The name of the secret.
const SECRET: &str = "athook-listen";

/// The webhook, while it is there.
pub(super) struct OwnWebhook {
    xrpc: Xrpc,
    id: String,
}

impl OwnWebhook {
    /// Gives the secret this token, and makes the webhook for `url` and `events`, or takes up the one that is
    /// there.
    pub(super) async fn make(xrpc: Xrpc, url: &str, token: &str, events: &[String]) -> Result<Self, Failure> {
        let secret = json!({ "name": SECRET, "token": token });
        match xrpc.procedure("place.wisp.v2.secret.create", &secret).await {
            Err(error) if error.is("AlreadyExists") => {
                xrpc.procedure("place.wisp.v2.secret.rotate", &secret).await?;
            }
            result => drop(result?),
        }
        let webhook = json!({ "url": url, "events": events, "secretId": SECRET, "active": true });
        let made = match xrpc.procedure("place.stream.server.createWebhook", &webhook).await {
            Err(error) if error.is("DuplicateWebhook") => take_up(&xrpc, url, events).await?,
            result => result?,
        };
        let id = made["webhook"]["id"].as_str().ok_or("the webhook has no id")?.to_owned();
        Ok(Self { xrpc, id })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
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
async fn take_up(xrpc: &Xrpc, url: &str, events: &[String]) -> Result<Value, CallError> {
    const LIST: &str = "place.stream.server.listWebhooks";
    let mut page = xrpc.query(LIST, &[]).await?;
    loop {
        let webhooks = page["webhooks"].as_array().cloned().unwrap_or_default();
        if let Some(found) = webhooks.iter().find(|webhook| webhook["url"] == url) {
            let update = json!({ "id": found["id"], "events": events, "secretId": SECRET, "active": true });
            return xrpc.procedure("place.stream.server.updateWebhook", &update).await;
        }
        let Some(cursor) = page["cursor"].as_str() else {
            return Ok(Value::Null);
        };
        page = xrpc.query(LIST, &[("cursor", cursor.to_owned())]).await?;
    }
}
