//! Sends spans in batches to an OpenTelemetry collector, by OTLP over gRPC, in the background.
//!
//! A collector that is slow or down loses spans, but delays no request. The OpenTelemetry library reads its
//! own environment variables here (`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_RESOURCE_ATTRIBUTES` and others);
//! flags win over them.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider};
use tonic::transport::{Certificate, ClientTlsConfig};

use crate::exit::Failure;
use crate::settings::otlp::Otlp;
use crate::traces::Tracer;

/// Spans waiting to be sent; further ones are dropped. A request has about seven, in both services together.
const QUEUE_SPANS: usize = 16 * 1024;
/// Spans in one message.
const BATCH_SPANS: usize = 1024;
/// The longest time a span waits for others.
const BATCH_TIME: Duration = Duration::from_secs(1);
/// How long sending one message may take.
const EXPORT_TIME: Duration = Duration::from_secs(3);
/// How long the end of the process waits for the last spans to be sent.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// Sends the spans of one service.
#[derive(Debug)]
pub struct Exporter(SdkTracerProvider);

impl Exporter {
    /// Starts sending the spans of `service` to the collector, which need not be up yet. Must be called
    /// within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// The endpoint or the certificates are unusable.
    pub fn start(otlp: &Otlp, service: &'static str) -> Result<Self, Failure> {
        let Otlp { endpoint, sample, extra_ca } = otlp;
        let mut exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint.to_string())
            .with_timeout(EXPORT_TIME);
        if endpoint.scheme_str() == Some("https") {
            let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
            let mut tls = ClientTlsConfig::new().trust_anchors(roots);
            if let Some(authorities) = extra_ca {
                tls = tls.ca_certificate(Certificate::from_pem(authorities));
            }
            exporter = exporter.with_tls_config(tls);
        }
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_SPANS)
            .with_max_export_batch_size(BATCH_SPANS)
            .with_scheduled_delay(BATCH_TIME)
            .build();
        let processor = BatchSpanProcessor::builder(exporter.build()?).with_batch_config(batches).build();
        let resource = Resource::builder()
            .with_service_name(service)
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(*sample))))
            .with_resource(resource)
            .build();
        Ok(Self(provider))
    }

    /// The tracer whose spans are sent.
    #[must_use]
    pub fn tracer(&self) -> Tracer {
        Tracer(Some(self.0.tracer("athook")))
    }

    /// Sends the spans that are left, for at most 2 s.
    pub async fn end(self) {
        let Self(provider) = self;
        // `shutdown_with_timeout` blocks its thread, while the work it waits for runs on the runtime's only
        // thread.
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIME)).await;
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans were not sent"),
            Err(error) => tracing::warn!(%error, "sending the last spans panicked"),
        }
    }
}
