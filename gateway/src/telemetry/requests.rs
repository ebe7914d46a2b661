//! Request metrics: how many requests, how they ended, how long they took.
//!
//! All labels are known at start: one series for each bound method, internal path and possible error.
//! Everything else is counted as `other`, so that clients cannot create series.

use std::collections::HashMap;
use std::time::Duration;

use http::StatusCode;
use process::metrics::{Labels, counters_by, gauge, labels, seconds_by};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::route::Route;
use super::{OTHER, UNANSWERED, UNANSWERED_STATUS};
use crate::binding::Methods;
use crate::xrpc::error::possible_errors;

/// The `error` label of a success.
const NONE: &str = "none";

/// The request metrics of a gateway.
pub(crate) struct RequestMetrics {
    in_flight: Gauge,
    methods: HashMap<String, Series>,
    /// By [`Route`], in the order of [`Route::ALL`].
    routes: [Series; Route::ALL.len()],
    other: Series,
}

/// The metrics of one method or internal path.
struct Series {
    seconds: Histogram,
    outcomes: Vec<Outcome>,
    /// Counts any outcome that is not in `outcomes`.
    other_outcomes: Counter,
}

struct Outcome {
    status: u16,
    error: String,
    count: Counter,
}

impl RequestMetrics {
    /// Registers all series.
    pub(crate) fn new(registry: &mut Registry, methods: &Methods) -> Self {
        let count = counters_by(
            registry,
            "requests",
            "Requests by method, HTTP status and error name; 499 ClientGone was never answered",
        );
        let seconds = seconds_by(registry, "request", "From a request's arrival to its answer");
        let series =
            |nsid: &str, errors: Vec<(StatusCode, String)>| Series::new(&count, &seconds, nsid, errors);
        Self {
            in_flight: gauge(
                registry,
                "requests_in_flight",
                "Requests that have arrived and are not answered",
            ),
            methods: methods
                .iter()
                .map(|method| {
                    (method.nsid().to_owned(), series(method.nsid(), possible_errors(Some(method))))
                })
                .collect(),
            routes: Route::ALL.map(|route| series(route.name(), possible_errors(None))),
            other: series(OTHER, possible_errors(None)),
        }
    }

    /// Counts a request that has arrived.
    pub(super) fn arrived(&self) {
        self.in_flight.inc();
    }

    /// Counts a request that has ended after `took`.
    pub(super) fn ended(
        &self,
        route: Option<Route>,
        nsid: Option<&str>,
        status: u16,
        error: Option<&str>,
        took: Duration,
    ) {
        self.in_flight.dec();
        let series = match (route, nsid) {
            (Some(route), _) => &self.routes[route as usize],
            (None, Some(nsid)) => self.methods.get(nsid).unwrap_or(&self.other),
            (None, None) => &self.other,
        };
        series.ended(status, error, took);
    }
}

impl Series {
    fn new(
        count: &Family<Labels, Counter>,
        seconds: &Family<Labels, Histogram>,
        nsid: &str,
        errors: Vec<(StatusCode, String)>,
    ) -> Self {
        let counter = |code: &str, error: &str| {
            count.get_or_create_owned(&labels(&[("nsid", nsid), ("code", code), ("error", error)]))
        };
        let mut outcomes = vec![(StatusCode::OK.as_u16(), NONE.to_owned())];
        outcomes.extend(errors.into_iter().map(|(status, error)| (status.as_u16(), error)));
        outcomes.push((UNANSWERED_STATUS, UNANSWERED.to_owned()));
        let outcomes = outcomes.into_iter().map(|(status, error)| {
            let count = counter(&status.to_string(), &error);
            Outcome { status, error, count }
        });
        Self {
            seconds: seconds.get_or_create_owned(&labels(&[("nsid", nsid)])),
            outcomes: outcomes.collect(),
            other_outcomes: counter(OTHER, OTHER),
        }
    }

    fn ended(&self, status: u16, error: Option<&str>, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        let error = error.unwrap_or(NONE);
        let known = self.outcomes.iter().find(|outcome| outcome.status == status && outcome.error == error);
        known.map_or(&self.other_outcomes, |outcome| &outcome.count).inc();
    }
}
