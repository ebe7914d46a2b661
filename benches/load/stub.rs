//! Yardstick (b): a core-service that answers at once, in a process of its own.
//!
//! Its responses have the size of the real ones. It stores and checks nothing.

use std::net::SocketAddr;

use process::exit::Failure;
use prost_types::Timestamp;
use proto::athook::secret_service_server::{SecretService, SecretServiceServer};
use proto::athook::webhook_service_server::{WebhookService, WebhookServiceServer};
use proto::athook::{
    self, CreateSecretRequest, CreateSecretResponse, CreateWebhookRequest, CreateWebhookResponse, Webhook,
};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// Calls in flight on one connection, as in the core-service.
const MAX_STREAMS: u32 = 1024;
const CREATED_AT: Timestamp = Timestamp { seconds: 1_767_225_600, nanos: 123_000_000 };

/// Serves until the process is killed.
pub(crate) fn serve(address: SocketAddr) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // The reporter answers SERVING unless told otherwise.
        let (_reporter, health) = tonic_health::server::health_reporter();
        Server::builder()
            .tcp_nodelay(true)
            .max_concurrent_streams(MAX_STREAMS)
            .add_service(health)
            .add_service(SecretServiceServer::new(AtOnce))
            .add_service(WebhookServiceServer::new(AtOnce))
            .serve(address)
            .await
    })?;
    Ok(())
}

struct AtOnce;

/// The bench only creates.
fn not_called() -> Status {
    Status::unimplemented("the bench does not call this")
}

#[tonic::async_trait]
impl SecretService for AtOnce {
    async fn create_secret(
        &self,
        request: Request<CreateSecretRequest>,
    ) -> Result<Response<CreateSecretResponse>, Status> {
        let CreateSecretRequest { caller_did: _, name, token: _ } = request.into_inner();
        let token = "whsec_bm90IGEgc2VjcmV0LCBub3QgYXQgYWxs".to_owned();
        Ok(Response::new(CreateSecretResponse { name, token, created_at: Some(CREATED_AT) }))
    }

    async fn list_secrets(
        &self,
        _: Request<athook::ListSecretsRequest>,
    ) -> Result<Response<athook::ListSecretsResponse>, Status> {
        Err(not_called())
    }

    async fn rotate_secret(
        &self,
        _: Request<athook::RotateSecretRequest>,
    ) -> Result<Response<athook::RotateSecretResponse>, Status> {
        Err(not_called())
    }

    async fn delete_secret(
        &self,
        _: Request<athook::DeleteSecretRequest>,
    ) -> Result<Response<athook::DeleteSecretResponse>, Status> {
        Err(not_called())
    }
}

#[tonic::async_trait]
impl WebhookService for AtOnce {
    async fn create_webhook(
        &self,
        request: Request<CreateWebhookRequest>,
    ) -> Result<Response<CreateWebhookResponse>, Status> {
        let CreateWebhookRequest {
            caller_did: _,
            url,
            events,
            active,
            name,
            description,
            prefix,
            suffix,
            mute_words,
            rewrite,
            streamplace_format,
            secret_id,
        } = request.into_inner();
        let webhook = Webhook {
            id: "019b76da-a800-7000-8000-000000000000".to_owned(),
            url,
            events,
            active: active.unwrap_or(false),
            created_at: Some(CREATED_AT),
            updated_at: None,
            name,
            description,
            prefix,
            suffix,
            rewrite,
            mute_words,
            streamplace_format: Some(streamplace_format.unwrap_or(false)),
            secret_id,
            last_triggered: None,
            error_count: Some(0),
            disabled_reason: None,
            disabled_at: None,
        };
        Ok(Response::new(CreateWebhookResponse { webhook: Some(webhook) }))
    }

    async fn get_webhook(
        &self,
        _: Request<athook::GetWebhookRequest>,
    ) -> Result<Response<athook::GetWebhookResponse>, Status> {
        Err(not_called())
    }

    async fn list_webhooks(
        &self,
        _: Request<athook::ListWebhooksRequest>,
    ) -> Result<Response<athook::ListWebhooksResponse>, Status> {
        Err(not_called())
    }

    async fn update_webhook(
        &self,
        _: Request<athook::UpdateWebhookRequest>,
    ) -> Result<Response<athook::UpdateWebhookResponse>, Status> {
        Err(not_called())
    }

    async fn delete_webhook(
        &self,
        _: Request<athook::DeleteWebhookRequest>,
    ) -> Result<Response<athook::DeleteWebhookResponse>, Status> {
        Err(not_called())
    }
}
