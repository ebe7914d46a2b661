//! The gRPC server: its services, the guard before them, and the limits of connections and calls.
//!
//! A call passes these layers, the outermost first:
//!
//! 1. [`CountAnswers`] counts the answer until the client has taken it.
//! 2. [`Instrument`] counts the call and begins its span.
//! 3. `CatchPanic`: a panic becomes INTERNAL, and costs one call.
//! 4. [`explain`] gives each refusal a reason.
//! 5. [`Guard`] refuses a call without the shared token.
//! 6. tonic's routes find the service and decode the message; [`Rpcs`] serves it.
//!
//! A call may take as long as its `grpc-timeout` says, at most [`CALL_LIMIT`]; tonic enforces both. The
//! gateway sets it to what is left of the request's deadline. Within it each step has a limit of its own: the
//! probe of a URL, waiting for a database connection, a lock, a statement, a transaction.
//!
//! Owns no rpc ([`crate::rpc`]) and no address: the listeners are handed in.

mod calls;
mod connections;
pub(crate) mod guard;
mod health;
pub(crate) mod metrics;
mod tls;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::Either;
use process::files::connection_limit;
use process::held::{HELD_LIMIT_BYTES, Ledger};
use process::shutdown::Shutdown;
use process::traces::Tracer;
use prometheus_client::metrics::gauge::Gauge;
use proto::MAX_ANSWER_BYTES;
use proto::athook::account_service_server::AccountServiceServer;
use proto::athook::delivery_service_server::DeliveryServiceServer;
use proto::athook::event_service_server::EventServiceServer;
use proto::athook::operator_service_server::OperatorServiceServer;
use proto::athook::record_service_server::RecordServiceServer;
use proto::athook::secret_service_server::SecretServiceServer;
use proto::athook::webhook_service_server::WebhookServiceServer;
use proto::error::{CODES, code_index};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tonic::body::Body;
use tonic::transport::Server;
use tonic::{Code, Status};
use tonic_reflection::server::Builder as ReflectionBuilder;
use tower::layer::layer_fn;
use tower::util::MapResponseLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::validate_request::ValidateRequestHeaderLayer;

use self::calls::{CountAnswers, LimitHealth};
use self::connections::{MAX_CONNECTIONS, accept};
use self::guard::Guard;
use self::metrics::{Instrument, ServerMetrics};
use self::tls::handshaken;
use crate::config::credentials::Credentials;
use crate::rpc::Rpcs;
use crate::store::Store;

/// The largest request message, in bytes. The gateway takes at most 64 KiB of JSON.
const MAX_MESSAGE_BYTES: usize = 128 * 1024;
/// The largest message of a publication, in bytes (docs/delivery.md, "Publishing").
const MAX_PUBLICATION_BYTES: usize = 4 * 1024 * 1024;
/// How long a call may take, if its `grpc-timeout` is not shorter.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// Calls in flight on one connection.
const MAX_STREAMS: u32 = 1024;
/// HTTP/2 flow-control windows, in bytes. A stream's has room for the largest message with its frame header,
/// a connection's for several of them.
const STREAM_WINDOW_BYTES: u32 = 132 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Streams of one connection that the client reset before the server accepted them; with more, the connection
/// is closed ("rapid reset", CVE-2023-44487). A gateway whose clients all disconnect at once resets as many
/// as it has in flight, so the limit is not lower than that.
const MAX_PENDING_RESETS: usize = MAX_STREAMS as usize;
/// Streams of one connection that the server reset because the client violated HTTP/2; with more, the
/// connection is closed.
const MAX_ERROR_RESETS: usize = 1024;
/// The largest header block of a call, in bytes.
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// A connection without traffic gets a ping after this time.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// How long the answer to a ping may take; then the connection is closed.
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(10);
/// A connection gets GOAWAY after this time, so that clients spread over new replicas.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(300);
/// How often connections are looked for whose clients take nothing of their answers.
const STALL_CHECK: Duration = Duration::from_secs(1);

/// The server could not start, or failed while it ran.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("reflection can't be set up")]
    Reflection(#[source] tonic_reflection::server::Error),
    #[error("the gRPC server failed")]
    Transport(#[source] tonic::transport::Error),
}

/// What a server is made of.
pub(crate) struct ServerParts {
    pub(crate) listener: TcpListener,
    /// Serves the health service alone, in plaintext.
    pub(crate) health_listener: Option<TcpListener>,
    /// Replaced when their files change.
    pub(crate) credentials: Arc<ArcSwap<Credentials>>,
    /// `--delivery only`.
    pub(crate) only_delivers: bool,
    pub(crate) rpcs: Rpcs,
    /// Its database decides the health status.
    pub(crate) store: Arc<Store>,
    pub(crate) metrics: ServerMetrics,
    pub(crate) tracer: Tracer,
}

/// Serves until `shutdown` drains and the calls in flight have ended.
///
/// # Errors
///
/// Reflection can't be set up, or the server failed.
pub(crate) async fn serve(parts: ServerParts, shutdown: &Shutdown) -> Result<(), ServerError> {
    let ServerParts { listener, health_listener, credentials, only_delivers, rpcs, store, metrics, tracer } =
        parts;
    let metrics = Arc::new(metrics);
    metrics.connections_limit.set(i64::try_from(MAX_CONNECTIONS).unwrap_or(i64::MAX));
    let secrets = SecretServiceServer::new(rpcs.clone())
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_ANSWER_BYTES);
    let accounts = AccountServiceServer::new(rpcs.clone())
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_ANSWER_BYTES);
    let events = EventServiceServer::new(rpcs.clone())
        .max_decoding_message_size(MAX_PUBLICATION_BYTES)
        .max_encoding_message_size(MAX_ANSWER_BYTES);
    let deliveries = DeliveryServiceServer::new(rpcs.clone())
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_ANSWER_BYTES);
    let records = RecordServiceServer::new(rpcs.clone())
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_ANSWER_BYTES);
    let operators = OperatorServiceServer::new(rpcs.clone())
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
    let ledger = Ledger::new(HELD_LIMIT_BYTES, metrics.held.clone());
    let (health, health_task) = health::start(store, shutdown.clone(), metrics.database_up.clone());

    let health = LimitHealth(health);
    let call_metrics = Arc::clone(&metrics);
    let router = server_with_limits()
        .layer(layer_fn(CountAnswers))
        .layer(layer_fn(move |inner| Instrument::new(inner, Arc::clone(&call_metrics), tracer.clone())))
        .layer(CatchPanicLayer::custom(answer_to_panic))
        .layer(MapResponseLayer::new(explain))
        .layer(ValidateRequestHeaderLayer::custom(Guard::new(Arc::clone(&credentials), only_delivers)))
        .add_service(health.clone())
        .add_service(secrets)
        .add_service(webhooks)
        .add_service(deliveries)
        .add_service(records)
        .add_service(accounts)
        .add_service(operators)
        .add_service(events)
        .add_service(reflection_v1)
        .add_service(reflection_v1alpha);
    let incoming =
        accept(listener, connection_limit(MAX_CONNECTIONS), metrics.connections.clone(), ledger.clone());
    let main = if credentials.load().tls.is_some() {
        let incoming = handshaken(incoming, credentials);
        Either::Left(router.serve_with_incoming_shutdown(incoming, shutdown.draining()))
    } else {
        Either::Right(router.serve_with_incoming_shutdown(incoming, shutdown.draining()))
    };
    let health_only = async {
        match health_listener {
            None => Ok(()),
            Some(listener) => {
                server_with_limits()
                    .layer(layer_fn(CountAnswers))
                    .layer(MapResponseLayer::new(explain))
                    .add_service(health)
                    .serve_with_incoming_shutdown(
                        accept(listener, connection_limit(MAX_CONNECTIONS), Gauge::default(), ledger.clone()),
                        shutdown.draining(),
                    )
                    .await
            }
        }
    };
    let closing_stalled = async {
        loop {
            sleep(STALL_CHECK).await;
            ledger.close_stalled();
        }
    };
    let ended = tokio::select! {
        ended = async { tokio::try_join!(main, health_only) } => ended,
        () = closing_stalled => unreachable!("it goes on for ever"),
    };
    health_task.abort();
    ended.map(drop).map_err(ServerError::Transport)
}

/// A server with every limit of calls and connections set.
fn server_with_limits() -> Server {
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
        // Without a time of grace: with one, tonic 0.14 closes the connection and sends no GOAWAY.
        .max_connection_age(MAX_CONNECTION_AGE)
}

/// The answer to a call that panicked. The panic hook has logged where.
fn answer_to_panic(_: Box<dyn Any + Send>) -> http::Response<Body> {
    process::once_a_second!(error, "a call panicked");
    proto::error::status(Code::Internal, "INTERNAL", "internal error", None).into_http()
}

/// Adds `google.rpc.ErrorInfo` to a refusal by tonic itself, such as of an unknown rpc: its reason is the
/// name of the code.
fn explain(mut response: http::Response<Body>) -> http::Response<Body> {
    let refused = Status::from_header_map(response.headers());
    if let Some(refused) = refused.filter(|status| status.code() != Code::Ok && status.details().is_empty()) {
        let reason = CODES[code_index(refused.code())];
        let explained = proto::error::status(refused.code(), reason, refused.message(), None);
        // It came from header fields, so that it fits into them.
        let _ = explained.add_header(response.headers_mut());
    }
    response
}
