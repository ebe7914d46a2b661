//! The rpcs, one file each: request message → domain types → store → response message.
//!
//! An rpc destructures its message without `..`, so that a new field is a compile error, and makes domain
//! types of its texts; nowhere else is input validated. A service without one of its rpcs does not compile.
//!
//! Owns what all rpcs share: the owner's DID, ids, random bytes, and the size limit of a response.

mod create_secret;
mod create_webhook;
mod delete_secret;
mod delete_webhook;
mod delivery_message;
mod get_delivery;
mod get_webhook;
mod id;
mod list_backlogs;
mod list_deliveries;
mod list_records;
mod list_secrets;
mod list_webhooks;
mod pause_origin;
mod pause_webhook;
pub(crate) mod publish;
mod purge_account;
mod redeliver;
mod redeliver_failed;
mod resume_origin;
mod resume_webhook;
mod rotate_secret;
pub(crate) mod send_test;
mod update_webhook;
mod webhook_message;
mod webhook_target;

use std::sync::Arc;
use std::time::Duration;

use process::clock::Clock;
use prost::Message;
use proto::MAX_ANSWER_BYTES;
use proto::athook::account_service_server::AccountService;
use proto::athook::delivery_service_server::DeliveryService;
use proto::athook::event_service_server::EventService;
use proto::athook::operator_service_server::OperatorService;
use proto::athook::record_service_server::RecordService;
use proto::athook::secret_service_server::SecretService;
use proto::athook::webhook_service_server::WebhookService;
use proto::athook::{
    CreateSecretRequest, CreateSecretResponse, CreateWebhookRequest, CreateWebhookResponse,
    DeleteSecretRequest, DeleteSecretResponse, DeleteWebhookRequest, DeleteWebhookResponse,
    GetDeliveryRequest, GetDeliveryResponse, GetWebhookRequest, GetWebhookResponse, ListBacklogsRequest,
    ListBacklogsResponse, ListDeliveriesRequest, ListDeliveriesResponse, ListRecordsRequest,
    ListRecordsResponse, ListSecretsRequest, ListSecretsResponse, ListWebhooksRequest, ListWebhooksResponse,
    PauseOriginRequest, PauseOriginResponse, PauseWebhookRequest, PauseWebhookResponse, PublishRequest,
    PublishResponse, PurgeAccountRequest, PurgeAccountResponse, RedeliverFailedRequest,
    RedeliverFailedResponse, RedeliverRequest, RedeliverResponse, ResumeOriginRequest, ResumeOriginResponse,
    ResumeWebhookRequest, ResumeWebhookResponse, RotateSecretRequest, RotateSecretResponse, SendTestRequest,
    SendTestResponse, UpdateWebhookRequest, UpdateWebhookResponse,
};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};
use uuid::{Builder, Uuid};

use self::send_test::TestLimit;
use crate::domain::did::Did;
use crate::domain::rule::{BrokenField, field};
use crate::domain::webhook_url::Schemes;
use crate::error::{Error, log_fault};
use crate::probe::Prober;
use crate::randomness::Randomness;
use crate::request_id::RequestId;
use crate::store::Store;

/// The random bytes of a UUIDv7; the rest is its time.
const ID_RANDOM_BYTES: usize = 10;

/// The implementation of all services. Clones share the [`Context`].
#[derive(Clone)]
pub(crate) struct Rpcs(Arc<Context>);

/// What rpcs work with.
pub(crate) struct Context {
    pub(crate) store: Arc<Store>,
    pub(crate) prober: Prober,
    pub(crate) schemes: Schemes,
    /// `--rotation-overlap`.
    pub(crate) rotation_overlap: Duration,
    pub(crate) clock: Clock,
    pub(crate) randomness: Randomness,
    /// `--max-webhooks`.
    pub(crate) max_webhooks: u32,
    pub(crate) tests: TestLimit,
    /// A permit for each byte of payloads that may be under way.
    pub(crate) payloads: Semaphore,
}

/// How many bytes of payloads may be under way.
pub(crate) fn payload_permits() -> Semaphore {
    Semaphore::new(publish::MAX_BYTES_UNDER_WAY)
}

impl Rpcs {
    pub(crate) fn new(context: Context) -> Self {
        Self(Arc::new(context))
    }
}

impl Context {
    /// `N` bytes from the operating system's random number generator.
    fn random<const N: usize>(&self) -> Result<[u8; N], Error> {
        self.randomness.bytes().map_err(|error| log_fault(Error::Internal, &error))
    }

    /// A UUIDv7 for the millisecond `at_ms`.
    fn new_id(&self, at_ms: i64) -> Result<Uuid, Error> {
        let random: [u8; ID_RANDOM_BYTES] = self.random()?;
        let millis = u64::try_from(at_ms).unwrap_or(0);
        Ok(Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }
}

/// The owner, from the field `caller_did`. The gateway fills it in, so that only other internal callers can
/// send a wrong one.
fn caller(did: &str) -> Result<Did, BrokenField> {
    field("caller_did", did)
}

/// Serves one call; faults are logged with the id of its request.
async fn serve<Input, Output, Call>(
    request: Request<Input>,
    call: impl FnOnce(Input) -> Call,
) -> Result<Response<Output>, Status>
where
    Output: Message,
    Call: Future<Output = Result<Output, Error>>,
{
    let request_id = RequestId::of(request.metadata());
    let output = request_id.scope(async { check_size(call(request.into_inner()).await?) }).await?;
    Ok(Response::new(output))
}

/// Refuses a response that is too large to send. That is a fault of this service, INTERNAL; tonic itself
/// would answer OUT_OF_RANGE, which blames the caller.
fn check_size<Output: Message>(output: Output) -> Result<Output, Error> {
    let bytes = output.encoded_len();
    if bytes > MAX_ANSWER_BYTES {
        return Err(log_fault(Error::Internal, &TooLarge { bytes }));
    }
    Ok(output)
}

/// A response of more than [`MAX_ANSWER_BYTES`].
#[derive(Debug, thiserror::Error)]
#[error("the answer has {bytes} bytes, of {MAX_ANSWER_BYTES} that may be sent")]
struct TooLarge {
    bytes: usize,
}

#[tonic::async_trait]
impl SecretService for Rpcs {
    async fn create_secret(
        &self,
        request: Request<CreateSecretRequest>,
    ) -> Result<Response<CreateSecretResponse>, Status> {
        serve(request, |message| create_secret::create_secret(&self.0, message)).await
    }

    async fn list_secrets(
        &self,
        request: Request<ListSecretsRequest>,
    ) -> Result<Response<ListSecretsResponse>, Status> {
        serve(request, |message| list_secrets::list_secrets(&self.0, message)).await
    }

    async fn rotate_secret(
        &self,
        request: Request<RotateSecretRequest>,
    ) -> Result<Response<RotateSecretResponse>, Status> {
        serve(request, |message| rotate_secret::rotate_secret(&self.0, message)).await
    }

    async fn delete_secret(
        &self,
        request: Request<DeleteSecretRequest>,
    ) -> Result<Response<DeleteSecretResponse>, Status> {
        serve(request, |message| delete_secret::delete_secret(&self.0, message)).await
    }
}

#[tonic::async_trait]
impl WebhookService for Rpcs {
    async fn create_webhook(
        &self,
        request: Request<CreateWebhookRequest>,
    ) -> Result<Response<CreateWebhookResponse>, Status> {
        serve(request, |message| create_webhook::create_webhook(&self.0, message)).await
    }

    async fn get_webhook(
        &self,
        request: Request<GetWebhookRequest>,
    ) -> Result<Response<GetWebhookResponse>, Status> {
        serve(request, |message| get_webhook::get_webhook(&self.0, message)).await
    }

    async fn list_webhooks(
        &self,
        request: Request<ListWebhooksRequest>,
    ) -> Result<Response<ListWebhooksResponse>, Status> {
        serve(request, |message| list_webhooks::list_webhooks(&self.0, message)).await
    }

    async fn update_webhook(
        &self,
        request: Request<UpdateWebhookRequest>,
    ) -> Result<Response<UpdateWebhookResponse>, Status> {
        serve(request, |message| update_webhook::update_webhook(&self.0, message)).await
    }

    async fn delete_webhook(
        &self,
        request: Request<DeleteWebhookRequest>,
    ) -> Result<Response<DeleteWebhookResponse>, Status> {
        serve(request, |message| delete_webhook::delete_webhook(&self.0, message)).await
    }
}

#[tonic::async_trait]
impl AccountService for Rpcs {
    async fn purge_account(
        &self,
        request: Request<PurgeAccountRequest>,
    ) -> Result<Response<PurgeAccountResponse>, Status> {
        serve(request, |message| purge_account::purge_account(&self.0, message)).await
    }
}

#[tonic::async_trait]
impl EventService for Rpcs {
    async fn publish(&self, request: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        let publisher = request.extensions().get().cloned();
        serve(request, |message| publish::publish(&self.0, publisher, message)).await
    }
}

#[tonic::async_trait]
impl DeliveryService for Rpcs {
    async fn list_deliveries(
        &self,
        request: Request<ListDeliveriesRequest>,
    ) -> Result<Response<ListDeliveriesResponse>, Status> {
        serve(request, |message| list_deliveries::list_deliveries(&self.0, message)).await
    }

    async fn get_delivery(
        &self,
        request: Request<GetDeliveryRequest>,
    ) -> Result<Response<GetDeliveryResponse>, Status> {
        serve(request, |message| get_delivery::get_delivery(&self.0, message)).await
    }

    async fn redeliver(
        &self,
        request: Request<RedeliverRequest>,
    ) -> Result<Response<RedeliverResponse>, Status> {
        serve(request, |message| redeliver::redeliver(&self.0, message)).await
    }

    async fn redeliver_failed(
        &self,
        request: Request<RedeliverFailedRequest>,
    ) -> Result<Response<RedeliverFailedResponse>, Status> {
        serve(request, |message| redeliver_failed::redeliver_failed(&self.0, message)).await
    }

    async fn send_test(
        &self,
        request: Request<SendTestRequest>,
    ) -> Result<Response<SendTestResponse>, Status> {
        serve(request, |message| send_test::send_test(&self.0, message)).await
    }
}

#[tonic::async_trait]
impl RecordService for Rpcs {
    async fn list_records(
        &self,
        request: Request<ListRecordsRequest>,
    ) -> Result<Response<ListRecordsResponse>, Status> {
        serve(request, |message| list_records::list_records(&self.0, message)).await
    }
}

#[tonic::async_trait]
impl OperatorService for Rpcs {
    async fn list_backlogs(
        &self,
        request: Request<ListBacklogsRequest>,
    ) -> Result<Response<ListBacklogsResponse>, Status> {
        serve(request, |message| list_backlogs::list_backlogs(&self.0, message)).await
    }

    async fn pause_webhook(
        &self,
        request: Request<PauseWebhookRequest>,
    ) -> Result<Response<PauseWebhookResponse>, Status> {
        serve(request, |message| pause_webhook::pause_webhook(&self.0, message)).await
    }

    async fn resume_webhook(
        &self,
        request: Request<ResumeWebhookRequest>,
    ) -> Result<Response<ResumeWebhookResponse>, Status> {
        serve(request, |message| resume_webhook::resume_webhook(&self.0, message)).await
    }

    async fn pause_origin(
        &self,
        request: Request<PauseOriginRequest>,
    ) -> Result<Response<PauseOriginResponse>, Status> {
        serve(request, |message| pause_origin::pause_origin(&self.0, message)).await
    }

    async fn resume_origin(
        &self,
        request: Request<ResumeOriginRequest>,
    ) -> Result<Response<ResumeOriginResponse>, Status> {
        serve(request, |message| resume_origin::resume_origin(&self.0, message)).await
    }
}

#[cfg(test)]
mod tests {
    use proto::athook::{ListSecretsResponse, Secret};

    use super::*;

    #[test]
    fn answer_that_is_too_large_is_a_fault_of_the_service() {
        let answer = |bytes: usize| ListSecretsResponse {
            secrets: vec![Secret { name: "n".repeat(bytes), ..Secret::default() }],
        };
        let around = answer(MAX_ANSWER_BYTES).encoded_len() - MAX_ANSWER_BYTES;
        assert!(check_size(answer(MAX_ANSWER_BYTES - around)).is_ok());
        assert_eq!(check_size(answer(MAX_ANSWER_BYTES - around + 1)), Err(Error::Internal));
    }
}
