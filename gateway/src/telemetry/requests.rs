//! What is counted of requests: how many, how they ended, how long they took.
//!
//! Owns the series of each method. Their labels are known at start: the NSIDs that are served, and for each the
//! answers that it can have. Everything else a client may ask for is counted under one name.

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
use crate::xrpc::error::failures;

/// The `error` of a success.
const NONE: &str = "none";

/// The requests of a gateway.
pub(crate) struct RequestMetrics {
    in_flight: Gauge,
    methods: HashMap<String, Series>,
    /// By [`Route`], in the order of [`Route::ALL`].
    routes: [Series; Route::ALL.len()],
    other: Series,
}

struct Series {
    seconds: Histogram,
    answers: Vec<Answers>,
    /// For an answer that is not among them.
    others: Counter,
}

struct Answers {
    status: u16,
    error: String,
    count: Counter,
}

impl RequestMetrics {
    /// Registers the series of `methods` and of all other paths.
    pub(crate) fn new(registry: &mut Registry, methods: &Methods) -> Self {
        let count = counters_by(
            registry,
            "requests",
            "Requests by method, HTTP status and error name; 499 ClientGone was never answered",
        );
        let seconds = seconds_by(registry, "request", "From a request's arrival to its answer");
        let series =
            |nsid: &str, failures: Vec<(StatusCode, String)>| Series::new(&count, &seconds, nsid, failures);
        Self {
            in_flight: gauge(
                registry,
                "requests_in_flight",
                "Requests that have arrived and are not answered",
            ),
            methods: methods
                .iter()
                .map(|method| (method.nsid().to_owned(), series(method.nsid(), failures(Some(method)))))
                .collect(),
            routes: Route::ALL.map(|route| series(route.name(), failures(None))),
            other: series(OTHER, failures(None)),
        }
    }

    /// A request has arrived.
    pub(super) fn arrived(&self) {
        self.in_flight.inc();
    }

    /// It has ended, after `took`, with this status and the name of an error, if it is one.
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
        failures: Vec<(StatusCode, String)>,
    ) -> Self {
        let counter = |code: &str, error: &str| {
            count.get_or_create_owned(&labels(&[("nsid", nsid), ("code", code), ("error", error)]))
        };
        let mut answers = vec![(StatusCode::OK.as_u16(), NONE.to_owned())];
        answers.extend(failures.into_iter().map(|(status, error)| (status.as_u16(), error)));
        answers.push((UNANSWERED_STATUS, UNANSWERED.to_owned()));
        let answers = answers.into_iter().map(|(status, error)| {
            let count = counter(&status.to_string(), &error);
            Answers { status, error, count }
        });
        Self {
            seconds: seconds.get_or_create_owned(&labels(&[("nsid", nsid)])),
            answers: answers.collect(),
            others: counter(OTHER, OTHER),
        }
    }

    fn ended(&self, status: u16, error: Option<&str>, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        let error = error.unwrap_or(NONE);
        let answers = self.answers.iter().find(|answers| answers.status == status && answers.error == error);
        answers.map_or(&self.others, |answers| &answers.count).inc();
    }
}
