//! How a process shows what it does, beside its logs: metrics that are asked for.
//!
//! Owns what is started and ended once for the whole process; a service is handed its [`Telemetry`].

use std::net::SocketAddr;

use crate::clock::Clock;
use crate::exit::{Failure, listen};
use crate::metrics::Metrics;
use crate::metrics::endpoint::Endpoint;
use crate::settings::Shared;

/// What a service counts with.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// The metrics of the process.
    pub metrics: Metrics,
}

/// Everything that shows a process to its operators, for as long as it runs.
#[derive(Debug)]
pub struct Watch {
    metrics: Metrics,
    endpoint: Option<(Endpoint, SocketAddr)>,
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
        Ok(Self { metrics, endpoint })
    }

    /// What a service of this process counts with.
    #[must_use]
    pub fn telemetry(&self) -> Telemetry {
        Telemetry { metrics: self.metrics.clone() }
    }

    /// Where metrics are served, if they are.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.endpoint.as_ref().map(|(_, address)| *address)
    }
}
