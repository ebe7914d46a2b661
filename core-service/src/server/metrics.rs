//! What is counted of rpcs: how many, how they ended, how long they took.
//!
//! Owns the layer around the services, which also begins the span of each call. The names of services and methods are those of the descriptors; whatever else
//! a client calls is counted under one name.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use process::metrics::{Labels, counters_by, gauge, labels, seconds_by, series};
use process::traces::{Span, Tracer};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use proto::error::{CODES, place};
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_health::pb::health_server::SERVICE_NAME as HEALTH;
use tower::Service;

/// The service and the method of a call of anything else.
const OTHER: &str = "other";

/// The rpcs of a server, and its connections.
pub(crate) struct ServerMetrics {
    in_flight: Gauge,
    rpcs: HashMap<String, Arc<Rpc>>,
    other: Arc<Rpc>,
    pub(super) connections: Gauge,
    pub(super) connections_limit: Gauge,
    /// Whether the database answers: 1 or 0.
    pub(super) database_up: Gauge,
}

struct Rpc {
    seconds: Histogram,
    codes: [Counter; CODES.len()],
    /// What the spans of its calls are called. `None`: it is asked for all the time, and has none.
    span: Option<String>,
}

impl Rpc {
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
    /// Registers what is counted, with the series of all rpcs of athook's and of the health service.
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
                        let rpc = Rpc::new(&count, &seconds, &name, method.name());
                        rpcs.insert(format!("/{name}/{}", method.name()), Arc::new(rpc));
                    }
                }
            }
        }
        Self {
            in_flight: gauge(registry, "rpcs_in_flight", "Calls that have arrived and are not answered"),
            rpcs,
            other: Arc::new(Rpc::new(&count, &seconds, OTHER, OTHER)),
            connections: gauge(registry, "connections", "Connections that are open"),
            connections_limit: gauge(registry, "connections_limit", "Connections that may be open at once"),
            database_up: gauge(registry, "database_up", "Whether the database answers: 1, or 0"),
        }
    }

    /// A call of `path` (`/package.Service/Method`) has arrived.
    fn calling(&self, path: &str) -> Calling {
        self.in_flight.inc();
        let rpc = self.rpcs.get(path).unwrap_or(&self.other);
        Calling {
            rpc: Arc::clone(rpc),
            in_flight: self.in_flight.clone(),
            begun: Instant::now(),
            code: Code::Cancelled,
        }
    }
}

/// A call, which is counted when it is dropped: as CANCELLED, unless it was answered.
struct Calling {
    rpc: Arc<Rpc>,
    in_flight: Gauge,
    begun: Instant,
    code: Code,
}

impl Calling {
    fn answered(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        let Rpc { seconds, codes, span: _ } = &*self.rpc;
        self.in_flight.dec();
        seconds.observe(self.begun.elapsed().as_secs_f64());
        codes[place(self.code)].inc();
    }
}

/// Counts and traces the calls of the services that it goes around.
#[derive(Clone)]
pub(super) struct Watched<Inner> {
    inner: Inner,
    metrics: Arc<ServerMetrics>,
    tracer: Tracer,
}

impl<Inner> Watched<Inner> {
    pub(super) fn new(inner: Inner, metrics: Arc<ServerMetrics>, tracer: Tracer) -> Self {
        Self { inner, metrics, tracer }
    }
}

impl<Inner, Asked, Answered> Service<http::Request<Asked>> for Watched<Inner>
where
    Inner: Service<http::Request<Asked>, Response = http::Response<Answered>>,
    Inner::Future: Send + 'static,
{
    type Response = Inner::Response;
    type Error = Inner::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Inner::Response, Inner::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Inner::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Asked>) -> Self::Future {
        let calling = self.metrics.calling(request.uri().path());
        let mut span = match &calling.rpc.span {
            Some(name) => self.tracer.serve(name, request.headers()),
            None => Span::none(),
        };
        let answering = self.inner.call(request);
        Box::pin(async move {
            let answered = span.context().scope(answering).await?;
            // A failure is told in the head of the answer; only a stream could fail after it.
            let status = Status::from_header_map(answered.headers());
            let code = status.map_or(Code::Ok, |status| status.code());
            calling.answered(code);
            span.note("rpc.system", "grpc");
            span.note("rpc.grpc.status_code", i64::from(i32::from(code)));
            if is_ours(code) {
                span.fail();
            }
            Ok(answered)
        })
    }
}

/// Whether a code tells of a fault on this side (OpenTelemetry, "gRPC server spans").
fn is_ours(code: Code) -> bool {
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
