//! Metrics of the gRPC server: calls by code, their duration, calls in flight, connections, database health.
//!
//! Owns [`Instrument`], the layer that counts calls and begins their spans. The series of all services and
//! methods are made at start from the descriptors; whatever else a client calls counts as `other`, so that no
//! client can add series.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use process::held::metrics::HeldMetrics;
use process::metrics::{Labels, counters_by, gauge, labels, seconds_by, series};
use process::traces::{Span, Tracer};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use proto::error::{CODES, code_index};
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_health::pb::health_server::SERVICE_NAME as HEALTH;
use tower::Service;

/// The labels `service` and `method` of a call that no descriptor has.
const OTHER: &str = "other";

/// The metrics of one server.
pub(crate) struct ServerMetrics {
    in_flight: Gauge,
    /// By path: `/package.Service/Method`.
    rpcs: HashMap<String, Arc<RpcSeries>>,
    other: Arc<RpcSeries>,
    pub(super) connections: Gauge,
    pub(super) connections_limit: Gauge,
    pub(super) held: HeldMetrics,
    /// Whether the database answers: 1 or 0.
    pub(super) database_up: Gauge,
}

/// The series of one rpc.
struct RpcSeries {
    seconds: Histogram,
    codes: [Counter; CODES.len()],
    /// The name of its spans. `None` for health checks, which come every few seconds and are not traced.
    span: Option<String>,
}

impl RpcSeries {
    fn new(
        count: &Family<Labels, Counter>,
        seconds: &Family<Labels, Histogram>,
        service: &str,
        method: &str,
    ) -> Self {
        let rpc = [("service", service), ("method", method)];
        Self {
            codes: series(count, &rpc, "code", CODES),
            seconds: seconds.get_or_create_owned(&labels(&rpc)),
            span: (service != HEALTH).then(|| format!("{service}/{method}")),
        }
    }
}

impl ServerMetrics {
    /// Registers the metrics, with the series of every rpc of athook and of the health service.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let count = counters_by(registry, "rpcs", "Calls by service, method and gRPC code");
        let seconds = seconds_by(registry, "rpc", "From a call's arrival to its answer");
        let mut rpcs = HashMap::new();
        for file in [proto::DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET] {
            let set = FileDescriptorSet::decode(file).expect("made by the compiler of the .proto files");
            for FileDescriptorProto { package, service: services, .. } in set.file {
                for service in services {
                    let name = format!("{}.{}", package.as_deref().unwrap_or_default(), service.name());
                    for method in service.method {
                        let rpc = RpcSeries::new(&count, &seconds, &name, method.name());
                        rpcs.insert(format!("/{name}/{}", method.name()), Arc::new(rpc));
                    }
                }
            }
        }
        Self {
            in_flight: gauge(registry, "rpcs_in_flight", "Calls that have arrived and are not answered"),
            rpcs,
            other: Arc::new(RpcSeries::new(&count, &seconds, OTHER, OTHER)),
            connections: gauge(registry, "connections", "Connections that are open"),
            connections_limit: gauge(registry, "connections_limit", "Connections that may be open at once"),
            held: HeldMetrics::new(registry),
            database_up: gauge(registry, "database_up", "Whether the database answers: 1, or 0"),
        }
    }

    /// Begins to count a call of `path`.
    fn begin(&self, path: &str) -> InFlightCall {
        self.in_flight.inc();
        let rpc = self.rpcs.get(path).unwrap_or(&self.other);
        InFlightCall {
            rpc: Arc::clone(rpc),
            in_flight: self.in_flight.clone(),
            start: Instant::now(),
            code: Code::Cancelled,
        }
    }
}

/// A call in flight. It is counted when it is dropped: as CANCELLED, unless it was answered.
struct InFlightCall {
    rpc: Arc<RpcSeries>,
    in_flight: Gauge,
    start: Instant,
    code: Code,
}

impl InFlightCall {
    fn answered(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for InFlightCall {
    fn drop(&mut self) {
        let RpcSeries { seconds, codes, span: _ } = &*self.rpc;
        self.in_flight.dec();
        seconds.observe(self.start.elapsed().as_secs_f64());
        codes[code_index(self.code)].inc();
    }
}

/// Counts and traces the calls of `inner`.
#[derive(Clone)]
pub(super) struct Instrument<Inner> {
    inner: Inner,
    metrics: Arc<ServerMetrics>,
    tracer: Tracer,
}

impl<Inner> Instrument<Inner> {
    pub(super) fn new(inner: Inner, metrics: Arc<ServerMetrics>, tracer: Tracer) -> Self {
        Self { inner, metrics, tracer }
    }
}

impl<Inner, RequestBody, ResponseBody> Service<http::Request<RequestBody>> for Instrument<Inner>
where
    Inner: Service<http::Request<RequestBody>, Response = http::Response<ResponseBody>>,
    Inner::Future: Send + 'static,
{
    type Response = Inner::Response;
    type Error = Inner::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Inner::Response, Inner::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Inner::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<RequestBody>) -> Self::Future {
        let call = self.metrics.begin(request.uri().path());
        let mut span = match &call.rpc.span {
            Some(name) => self.tracer.serve(name, request.headers()),
            None => Span::none(),
        };
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = span.context().scope(response).await?;
            // A unary call that fails has its status in the headers; only a stream could fail later.
            let status = Status::from_header_map(response.headers());
            let code = status.map_or(Code::Ok, |status| status.code());
            call.answered(code);
            span.note("rpc.system", "grpc");
            span.note("rpc.grpc.status_code", i64::from(i32::from(code)));
            if is_server_error(code) {
                span.fail();
            }
            Ok(response)
        })
    }
}

/// Whether a span with `code` has failed (OpenTelemetry semantic conventions, "gRPC server spans").
fn is_server_error(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}
