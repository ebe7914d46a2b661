//! The rpcs: message to domain to store to message. One file each; a service that lacks one does not compile.

mod create_secret;
mod create_webhook;
mod timestamp;

use std::sync::Arc;

use process::clock::Clock;
use proto::athook::secret_service_server::SecretService;
use proto::athook::webhook_service_server::WebhookService;
use proto::athook::{CreateSecretRequest, CreateSecretResponse, CreateWebhookRequest, CreateWebhookResponse};
use tonic::{Request, Response, Status};
use uuid::{Builder, Uuid};

use crate::domain::did::Did;
use crate::domain::rule::{BrokenField, field};
use crate::domain::webhook_url::Schemes;
use crate::error::{Error, log_fault};
use crate::probe::Prober;
use crate::randomness::Randomness;
use crate::request_id::RequestId;
use crate::store::Store;

/// Bytes of an id that are random; the rest is its time.
const ID_RANDOM_BYTES: usize = 10;

/// What the rpcs work with. Clones share it.
#[derive(Clone)]
pub(crate) struct Rpcs(Arc<Parts>);

/// See [`Rpcs`].
pub(crate) struct Parts {
    pub(crate) store: Arc<Store>,
    pub(crate) prober: Prober,
    pub(crate) schemes: Schemes,
    pub(crate) clock: Clock,
    pub(crate) randomness: Randomness,
}

impl Rpcs {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Parts {
    /// `N` bytes of the operating system's generator.
    fn random<const N: usize>(&self) -> Result<[u8; N], Error> {
        self.randomness.bytes().map_err(|error| log_fault(Error::Internal, &error))
    }

    /// A UUIDv7 of the millisecond `at_ms`.
    fn new_id(&self, at_ms: i64) -> Result<Uuid, Error> {
        let random: [u8; ID_RANDOM_BYTES] = self.random()?;
        let millis = u64::try_from(at_ms).unwrap_or(0);
        Ok(Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }
}

/// The owner. Only a caller inside can get it wrong: the gateway fills it in.
fn caller(did: &str) -> Result<Did, BrokenField> {
    field("caller_did", did)
}

/// Serves one call, so that what goes wrong is logged with the id of its request.
async fn serve<Message, Answer, Call>(
    request: Request<Message>,
    call: impl FnOnce(Message) -> Call,
) -> Result<Response<Answer>, Status>
where
    Call: Future<Output = Result<Answer, Error>>,
{
    let request_id = RequestId::of(request.metadata());
    let answer = request_id.scope(call(request.into_inner())).await?;
    Ok(Response::new(answer))
}

#[tonic::async_trait]
impl SecretService for Rpcs {
    async fn create_secret(
        &self,
        request: Request<CreateSecretRequest>,
    ) -> Result<Response<CreateSecretResponse>, Status> {
        serve(request, |message| create_secret::create_secret(&self.0, message)).await
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
}
