//! Metrics and traces of a process: what is started once at its start and flushed at its end.
//!
//! Owns the metrics endpoint and the span exporters; each service is given its own [`Telemetry`].

use std::net::SocketAddr;

use crate::clock::Clock;
use crate::exit::{Failure, chain, listen};
use crate::metrics::Metrics;
use crate::metrics::endpoint::Endpoint;
use crate::settings::Shared;
use crate::settings::otlp::Otlp;
use crate::traces::Tracer;
use crate::traces::export::Exporter;

/// What a service needs to record metrics and traces.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// The metrics of the process.
    pub metrics: Metrics,
    /// Starts the service's spans.
    pub tracer: Tracer,
}

/// The telemetry of a process, for as long as it runs.
#[derive(Debug)]
pub struct Watch {
    metrics: Metrics,
    endpoint: Option<(Endpoint, SocketAddr)>,
    otlp: Option<Otlp>,
    exporters: Vec<Exporter>,
}

impl Watch {
    /// Starts the metrics endpoint, if `--metrics-listen` is set. Must be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// The address of `--metrics-listen` can't be bound.
    pub fn start(shared: &Shared, clock: &Clock) -> Result<Self, Failure> {
        let metrics = Metrics::new(clock);
        let endpoint = match shared.metrics_listen {
            None => None,
            Some(address) => {
                let listener = listen("--metrics-listen", address)?;
                let address = listener.local_addr()?;
                tracing::info!(%address, "metrics are served");
                Some((Endpoint::start(listener, metrics.clone()), address))
            }
        };
        Ok(Self { metrics, endpoint, otlp: shared.otlp.clone(), exporters: Vec::new() })
    }

    /// Sets up the telemetry of the service `name`. Must be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// `--otlp-endpoint` or `--extra-ca` is unusable. A collector that does not answer is no error.
    pub fn telemetry(&mut self, name: &'static str) -> Result<Telemetry, Failure> {
        let tracer = match &self.otlp {
            None => Tracer::off(),
            Some(otlp) => {
                let exporter = Exporter::start(otlp, name)
                    .map_err(|error| format!("--otlp-endpoint {}: {}", otlp.endpoint, chain(&*error)))?;
                let tracer = exporter.tracer();
                self.exporters.push(exporter);
                tracer
            }
        };
        Ok(Telemetry { metrics: self.metrics.clone(), tracer })
    }

    /// The address of the metrics endpoint, if there is one.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.endpoint.as_ref().map(|(_, address)| *address)
    }

    /// Sends the last spans, for at most 2 s for each service, then stops the metrics endpoint. To be called
    /// after the services have ended.
    pub async fn end(self) {
        let Self { metrics: _, endpoint, otlp: _, exporters } = self;
        for exporter in exporters {
            exporter.end().await;
        }
        drop(endpoint);
    }
}
