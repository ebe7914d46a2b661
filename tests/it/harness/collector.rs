//! An OpenTelemetry collector on loopback, which keeps the spans that it receives.

use std::net::SocketAddr;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::server::{ServerTlsConfig, TcpIncoming};
use tonic::transport::{Identity, Server};
use tonic::{Request, Response, Status};

use crate::harness::receiver::Authority;

/// How long spans may take to arrive.
const LIMIT: Duration = Duration::from_secs(30);

/// A span, and the service that sent it.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) service: String,
    pub(crate) span: Span,
}

impl Sent {
    /// The value of an attribute, as text.
    pub(crate) fn attribute(&self, key: &str) -> Option<String> {
        text(&self.span.attributes, key)
    }
}

/// The collector. It stops when dropped.
pub(crate) struct Collector {
    scheme: &'static str,
    address: SocketAddr,
    spans: watch::Receiver<Vec<Sent>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        Self::with("http", Server::builder()).await
    }

    /// One with a certificate for 127.0.0.1 of the authority of the tests.
    pub(crate) async fn with_tls() -> Self {
        let (certificate, key) = Authority::shared().issue(&["127.0.0.1"]);
        let identity = Identity::from_pem(certificate.pem(), key.serialize_pem());
        let server = Server::builder().tls_config(ServerTlsConfig::new().identity(identity)).unwrap();
        Self::with("https", server).await
    }

    async fn with(scheme: &'static str, mut server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, spans) = watch::channel(Vec::new());
        let serving = server
            .add_service(TraceServiceServer::new(Keeps(sender)))
            .serve_with_incoming(TcpIncoming::from(listener));
        Self { scheme, address, spans, serving: tokio::spawn(async move { serving.await.unwrap() }) }
    }

    /// For `--otlp-endpoint`.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Waits until `wanted` finds what it looks for among the spans.
    pub(crate) async fn until<T>(&self, wanted: impl Fn(&[Sent]) -> Option<T>) -> T {
        let mut spans = self.spans.clone();
        let found = async {
            loop {
                if let Some(found) = wanted(&spans.borrow_and_update()) {
                    return found;
                }
                spans.changed().await.unwrap();
            }
        };
        let found = tokio::time::timeout(LIMIT, found).await;
        found.unwrap_or_else(|_| panic!("not among {:#?}", self.all()))
    }

    /// Waits for the span `name` of `service` in the trace `trace`.
    pub(crate) async fn span(&self, service: &str, name: &str, trace: &str) -> Sent {
        let wanted = |sent: &&Sent| {
            sent.service == service && sent.span.name == name && hex(&sent.span.trace_id) == trace
        };
        self.until(|spans| spans.iter().find(wanted).cloned()).await
    }

    /// All spans that have come.
    pub(crate) fn all(&self) -> Vec<Sent> {
        self.spans.borrow().clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Keeps(watch::Sender<Vec<Sent>>);

#[tonic::async_trait]
impl TraceService for Keeps {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.send_modify(|kept| {
            for resource in request.into_inner().resource_spans {
                let attributes = resource.resource.unwrap_or_default().attributes;
                let service = text(&attributes, "service.name").unwrap();
                assert!(text(&attributes, "service.version").is_some());
                let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
                kept.extend(spans.map(|span| Sent { service: service.clone(), span }));
            }
        });
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    match attribute.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{key}: {other:?}"),
    }
}

/// An id as `traceparent` and logs have it.
pub(crate) fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
