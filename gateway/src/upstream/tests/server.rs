//! A core-service for tests: a tonic server in its own runtime, so that it can be killed at once.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use proto::athook::secret_service_server::{SecretService, SecretServiceServer};
use proto::athook::{
    CreateSecretRequest, CreateSecretResponse, DeleteSecretRequest, DeleteSecretResponse, ListSecretsRequest,
    ListSecretsResponse, RotateSecretRequest, RotateSecretResponse,
};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Server as Tonic, ServerTlsConfig};
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

type Answer = Result<Response<CreateSecretResponse>, Status>;
type Handler = Arc<dyn Fn(Request<CreateSecretRequest>) -> BoxFuture<'static, Answer> + Send + Sync>;

pub(super) struct Server {
    address: SocketAddr,
    runtime: Runtime,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    health: HealthReporter,
}

impl Server {
    /// A server that responds with its address as the token.
    pub(super) async fn start(ip: IpAddr, port: u16) -> Self {
        Self::with(ip, port, |_| Ok(())).await
    }

    /// A server that responds like [`start`](Self::start), unless `check` fails.
    pub(super) async fn with<C>(ip: IpAddr, port: u16, check: C) -> Self
    where
        C: Fn(Request<CreateSecretRequest>) -> Result<(), Status> + Send + Sync + 'static,
    {
        let handler = move |request| -> BoxFuture<'static, Answer> {
            let checked = check(request);
            Box::pin(async move { checked.map(|()| answer_from(ip)) })
        };
        Self::launch(ip, port, None, Arc::new(handler)).await
    }

    /// A server whose rpc does what `handler` does.
    pub(super) async fn handling<H>(ip: IpAddr, port: u16, handler: H) -> Self
    where
        H: Fn(Request<CreateSecretRequest>) -> BoxFuture<'static, Answer> + Send + Sync + 'static,
    {
        Self::launch(ip, port, None, Arc::new(handler)).await
    }

    /// A server like [`start`](Self::start) with TLS.
    pub(super) async fn secured(ip: IpAddr, tls: ServerTlsConfig) -> Self {
        let handler = move |_| -> BoxFuture<'static, Answer> { Box::pin(async move { Ok(answer_from(ip)) }) };
        Self::launch(ip, 0, Some(tls), Arc::new(handler)).await
    }

    async fn launch(ip: IpAddr, port: u16, tls: Option<ServerTlsConfig>, handler: Handler) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let binding = runtime.spawn(async move { TcpListener::bind((ip, port)).await });
        let listener = binding.await.unwrap().unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let (health, health_service) = health_reporter();
        let mut builder = Tonic::builder();
        if let Some(tls) = tls {
            builder = builder.tls_config(tls).unwrap();
        }
        let router =
            builder.add_service(health_service).add_service(SecretServiceServer::new(Service(handler)));
        let serving = runtime.spawn(async move {
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            router.serve_with_incoming_shutdown(incoming, stopped).await.unwrap();
        });
        Self { address, runtime, stop, serving, health }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) async fn set_health(&self, status: ServingStatus) {
        self.health.set_service_status("", status).await;
    }

    /// Starts a graceful shutdown: no new connections, and GOAWAY on the others.
    pub(super) fn begin_shutdown(&self) {
        self.stop.cancel();
    }

    /// Shuts down gracefully: calls in flight finish.
    pub(super) async fn shut_down(self) {
        self.begin_shutdown();
        self.serving.await.unwrap();
        self.runtime.shutdown_background();
    }

    /// Stops it and cuts every connection. Returns when that is done.
    pub(super) async fn kill(self) {
        let runtime = self.runtime;
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(super::PATIENCE)).await.unwrap();
    }

    /// Leaves it running until the test ends, because a runtime can't be dropped in async code.
    pub(super) fn leave(self) {
        self.runtime.shutdown_background();
    }
}

pub(super) fn answer_from(ip: IpAddr) -> Response<CreateSecretResponse> {
    Response::new(CreateSecretResponse { token: ip.to_string(), ..CreateSecretResponse::default() })
}

struct Service(Handler);

#[tonic::async_trait]
impl SecretService for Service {
    async fn create_secret(&self, request: Request<CreateSecretRequest>) -> Answer {
        (self.0)(request).await
    }

    async fn list_secrets(
        &self,
        _: Request<ListSecretsRequest>,
    ) -> Result<Response<ListSecretsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn rotate_secret(
        &self,
        _: Request<RotateSecretRequest>,
    ) -> Result<Response<RotateSecretResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn delete_secret(
        &self,
        _: Request<DeleteSecretRequest>,
    ) -> Result<Response<DeleteSecretResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}
