//! The gRPC server: which services, behind which guard, within which limits.

mod connections;
mod guard;
mod health;
pub(crate) mod metrics;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use process::files::connection_limit;
use process::settings::CoreToken;
use process::shutdown::Shutdown;
use process::traces::Tracer;
use prometheus_client::metrics::gauge::Gauge;
use proto::MAX_ANSWER_BYTES;
use proto::athook::account_service_server::AccountServiceServer;
use proto::athook::secret_service_server::SecretServiceServer;
use proto::athook::webhook_service_server::WebhookServiceServer;
use tokio::net::TcpListener;
use tonic::Code;
use tonic::transport::Server;
use tonic_reflection::server::Builder as ReflectionBuilder;
use tower::layer::layer_fn;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::validate_request::ValidateRequestHeaderLayer;

use self::connections::{MAX_CONNECTIONS, accepted};
use self::guard::Guard;
use self::metrics::{ServerMetrics, Watched};
use crate::config::Tls;
use crate::rpc::Rpcs;
use crate::store::Store;

/// The largest message that is read, in bytes. The gateway takes 64 KiB of JSON.
const MAX_MESSAGE_BYTES: usize = 128 * 1024;
/// How long a call may take that brings no `grpc-timeout` of its own.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// Calls that one connection may have in flight.
const MAX_STREAMS: u32 = 1024;
/// What a client may send ahead of being read, in bytes: for a call, the largest message and its frame's
/// head; for a connection, some of those.
const STREAM_WINDOW_BYTES: u32 = 132 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Calls that a client began and reset before they were taken up, on one connection at once; with more the
/// connection is closed (the "rapid reset" attack, CVE-2023-44487). A gateway whose clients all leave at the
/// same time may reset as many as it has in flight.
const MAX_PENDING_RESETS: usize = MAX_STREAMS as usize;
/// Calls that this side reset because a client broke HTTP/2's rules; with more the connection is closed.
const MAX_ERROR_RESETS: usize = 1024;
/// The largest header block of a call, in bytes.
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// A connection without traffic is asked whether it lives after this time, and closed without an answer.
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(10);
/// A connection is asked to end after this time, so that clients spread over new replicas.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(300);
const MAX_CONNECTION_AGE_GRACE: Duration = Duration::from_secs(30);

/// Serving that could not start, or ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("reflection can't be set up")]
    Reflection(#[source] tonic_reflection::server::Error),
    #[error("the gRPC server failed")]
    Transport(#[source] tonic::transport::Error),
}

/// What is served, and where.
pub(crate) struct Served {
    pub(crate) listener: TcpListener,
    /// The health service alone, in plaintext.
    pub(crate) health_listener: Option<TcpListener>,
    pub(crate) tls: Option<Tls>,
    pub(crate) tokens: Vec<CoreToken>,
    pub(crate) rpcs: Rpcs,
    /// What health depends on.
    pub(crate) store: Arc<Store>,
    pub(crate) metrics: ServerMetrics,
    pub(crate) tracer: Tracer,
}

/// Serves until `shutdown` drains and the calls in flight have ended.
///
/// # Errors
///
/// The settings can't be served, or the server failed.
pub(crate) async fn serve(served: Served, shutdown: &Shutdown) -> Result<(), ServerError> {
    let Served { listener, health_listener, tls, tokens, rpcs, store, metrics, tracer } = served;
    let metrics = Arc::new(metrics);
    metrics.connections_limit.set(i64::try_from(MAX_CONNECTIONS).unwrap_or(i64::MAX));
    let secrets = SecretServiceServer::new(rpcs.clone())
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_ANSWER_BYTES);
    let accounts = AccountServiceServer::new(rpcs.clone())
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_ANSWER_BYTES);
    let webhooks = WebhookServiceServer::new(rpcs)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_ANSWER_BYTES);
    let reflection = || {
        ReflectionBuilder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let reflection_v1 = reflection().build_v1().map_err(ServerError::Reflection)?;
    let reflection_v1alpha = reflection().build_v1alpha().map_err(ServerError::Reflection)?;
    let (health, watching) = health::start(store, shutdown.clone(), metrics.database_up.clone());

    let mut server = limited();
    if let Some(tls) = tls {
        server = server.tls_config(tls.server).map_err(ServerError::Transport)?;
    }
    let counted = Arc::clone(&metrics);
    let main = server
        .layer(layer_fn(move |inner| Watched::new(inner, Arc::clone(&counted), tracer.clone())))
        .layer(CatchPanicLayer::custom(answer_to_panic))
        .layer(ValidateRequestHeaderLayer::custom(Guard::new(tokens)))
        .add_service(health.clone())
        .add_service(secrets)
        .add_service(webhooks)
        .add_service(accounts)
        .add_service(reflection_v1)
        .add_service(reflection_v1alpha)
        .serve_with_incoming_shutdown(
            accepted(listener, connection_limit(MAX_CONNECTIONS), metrics.connections.clone()),
            shutdown.draining(),
        );
    let health_alone = async {
        match health_listener {
            None => Ok(()),
            Some(listener) => {
                limited()
                    .add_service(health)
                    .serve_with_incoming_shutdown(
                        accepted(listener, connection_limit(MAX_CONNECTIONS), Gauge::default()),
                        shutdown.draining(),
                    )
                    .await
            }
        }
    };
    let ended = tokio::try_join!(main, health_alone);
    watching.abort();
    ended.map(drop).map_err(ServerError::Transport)
}

/// A server with every limit of a connection set.
fn limited() -> Server {
    Server::builder()
        .timeout(CALL_LIMIT)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
        .http2_max_local_error_reset_streams(Some(MAX_ERROR_RESETS))
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
        .max_connection_age(MAX_CONNECTION_AGE)
        .max_connection_age_grace(MAX_CONNECTION_AGE_GRACE)
}

/// A panic costs one call. Where it happened is in the log already: the panic hook writes it.
fn answer_to_panic(_: Box<dyn Any + Send>) -> http::Response<tonic::body::Body> {
    tracing::error!("a call panicked");
    proto::error::status(Code::Internal, "", "internal error", None).into_http()
}
