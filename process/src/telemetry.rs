//! How a process shows what it does, beside its logs: metrics that are asked for, and traces that are sent.
//!
//! Owns what is started and ended once for the whole process; a service is handed its [`Telemetry`].

use std::net::SocketAddr;

use crate::clock::Clock;
use crate::exit::{Failure, chain, listen};
use crate::metrics::Metrics;
use crate::metrics::endpoint::Endpoint;
use crate::settings::{Otlp, Shared};
use crate::traces::Tracer;
use crate::traces::export::Exporter;

/// What a service counts and traces with.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// The metrics of the process.
    pub metrics: Metrics,
    /// Begins the service's spans.
    pub tracer: Tracer,
}

/// Everything that shows a process to its operators, for as long as it runs.
#[derive(Debug)]
pub struct Watch {
    metrics: Metrics,
    endpoint: Option<(Endpoint, SocketAddr)>,
    otlp: Option<Otlp>,
    exporters: Vec<Exporter>,
}

impl Watch {
    /// Begins to serve metrics where `shared` says. Must be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// The address of `--metrics-listen` can't be had.
    pub async fn start(shared: &Shared, clock: &Clock) -> Result<Self, Failure> {
        let metrics = Metrics::new(clock);
        let endpoint = match shared.metrics_listen {
            None => None,
            Some(address) => {
                let listener = listen("--metrics-listen", address).await?;
                let address = listener.local_addr()?;
                tracing::info!(%address, "metrics are served");
                Some((Endpoint::start(listener, metrics.clone()), address))
            }
        };
        Ok(Self { metrics, endpoint, otlp: shared.otlp.clone(), exporters: Vec::new() })
    }

    /// What the service `name` of this process counts and traces with. Must be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// The collector of `--otlp-endpoint` can't be sent to, whether it is there or not.
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

    /// Where metrics are served, if they are.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.endpoint.as_ref().map(|(_, address)| *address)
    }

    /// Sends the last spans, for at most 2 s each, and then serves metrics no more. The services have ended.
    pub async fn end(self) {
        let Self { metrics: _, endpoint, otlp: _, exporters } = self;
        for exporter in exporters {
            exporter.end().await;
        }
        drop(endpoint);
    }
}
