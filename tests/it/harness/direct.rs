//! A gRPC client of the core-service, such as an internal service has.

use std::net::SocketAddr;

use proto::athook::account_service_client::AccountServiceClient;
use proto::athook::secret_service_client::SecretServiceClient;
use proto::athook::webhook_service_client::WebhookServiceClient;
use proto::athook::{
    CreateSecretRequest, CreateWebhookRequest, DeleteWebhookRequest, ListWebhooksRequest,
    PurgeAccountRequest, PurgeAccountResponse, UpdateWebhookRequest,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// A client. Clones share its connection.
#[derive(Clone)]
pub(crate) struct Direct(Channel);

impl Direct {
    /// Connects to the core-service at `address`.
    pub(crate) async fn to(address: SocketAddr) -> Self {
        Self(Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap())
    }

    /// Creates a secret; only its name is given.
    pub(crate) async fn create_secret(&self, did: &str, name: &str) -> Result<(), Code> {
        let request = CreateSecretRequest { caller_did: did.to_owned(), name: name.to_owned(), token: None };
        let answer = SecretServiceClient::new(self.0.clone()).create_secret(request).await;
        answer.map(|_| ()).map_err(|status| status.code())
    }

    /// Creates a webhook, which may name a secret.
    pub(crate) async fn create_webhook(
        &self,
        did: &str,
        url: &str,
        secret: Option<&str>,
    ) -> Result<(), Code> {
        let request = CreateWebhookRequest {
            caller_did: did.to_owned(),
            url: url.to_owned(),
            events: vec!["chat".to_owned()],
            secret_id: secret.map(str::to_owned),
            ..Default::default()
        };
        let answer = WebhookServiceClient::new(self.0.clone()).create_webhook(request).await;
        answer.map(|_| ()).map_err(|status| status.code())
    }

    /// Creates an active webhook for chat messages.
    pub(crate) async fn create_active_webhook(&self, did: &str, url: &str) -> Result<(), Code> {
        self.create_active_webhook_for(did, url, &["chat"]).await
    }

    /// Creates an active webhook for these types of events.
    pub(crate) async fn create_active_webhook_for(
        &self,
        did: &str,
        url: &str,
        events: &[&str],
    ) -> Result<(), Code> {
        let request = CreateWebhookRequest {
            caller_did: did.to_owned(),
            url: url.to_owned(),
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            active: Some(true),
            ..Default::default()
        };
        let answer = WebhookServiceClient::new(self.0.clone()).create_webhook(request).await;
        answer.map(|_| ()).map_err(|status| status.code())
    }

    /// The ids of all webhooks of `did`.
    pub(crate) async fn webhooks(&self, did: &str) -> Vec<String> {
        let request =
            ListWebhooksRequest { caller_did: did.to_owned(), limit: Some(100), ..Default::default() };
        let answer = WebhookServiceClient::new(self.0.clone()).list_webhooks(request).await.unwrap();
        answer.into_inner().webhooks.into_iter().map(|webhook| webhook.id).collect()
    }

    /// Changes a webhook.
    pub(crate) async fn update_webhook(&self, request: UpdateWebhookRequest) {
        WebhookServiceClient::new(self.0.clone()).update_webhook(request).await.unwrap();
    }

    /// Deletes a webhook.
    pub(crate) async fn delete_webhook(&self, did: &str, id: &str) {
        let request = DeleteWebhookRequest { caller_did: did.to_owned(), id: id.to_owned() };
        WebhookServiceClient::new(self.0.clone()).delete_webhook(request).await.unwrap();
    }

    /// Removes all that `did` has.
    pub(crate) async fn purge(&self, did: &str) -> Result<PurgeAccountResponse, Status> {
        let request = PurgeAccountRequest { did: did.to_owned() };
        Ok(AccountServiceClient::new(self.0.clone()).purge_account(request).await?.into_inner())
    }
}
