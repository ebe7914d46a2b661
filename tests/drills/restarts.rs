//! Every process restarts or dies under load, one after another.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::harness::processes::Service;
use crate::load::{Load, Reply, Try};
use crate::namespaces::drills;
use crate::site::{IN, Site};

/// Calls in a second.
const RATE: u32 = 200;
/// How long the load goes on between one restart and the next.
const BETWEEN: Duration = Duration::from_secs(1);
/// How long after a process was killed its peers may need to read that their connections are broken.
const NEWS: Duration = Duration::from_millis(500);

drills! { Nobody:
    rolling_restart_fails_no_call,
    killed_process_fails_only_what_it_had_in_flight
}

/// SIGTERM, one process after another, each started again at its place. Clients are told of readiness as a
/// Kubernetes Service tells it (see [`crate::balancer`]).
async fn rolling_restart_fails_no_call() {
    let site = Arc::new(Site::new());
    let (mut gateways, mut cores) = site.all().await;
    let balancer = Arc::new(site.balancer());
    balancer.all_ready().await;
    let mut load = Load::start(&site, &balancer, RATE);
    for host in &site.cores {
        load.goes_on_for(BETWEEN).await;
        let (status, log) = cores.remove(0).terminate().await;
        assert!(status.success(), "{log}");
        cores.push(site.core_service(host).await);
        for gateway in &mut gateways {
            gateway.logged_times(2, &[IN, &host.ip().to_string()]).await;
        }
    }
    for (number, host) in site.gateways.iter().enumerate() {
        load.goes_on_for(BETWEEN).await;
        let (status, log) = gateways.remove(0).terminate().await;
        assert!(status.success(), "{log}");
        gateways.push(site.gateway(host).await);
        balancer.until_ready(number, true).await;
    }
    load.goes_on_for(BETWEEN).await;
    let seen = load.stop().await;
    seen.all_succeeded();
    seen.is_all_there(&site).await;
}

/// SIGKILL: what fails, the first time or when it is sent again at once, was in flight on a process that
/// died.
async fn killed_process_fails_only_what_it_had_in_flight() {
    let site = Arc::new(Site::new());
    let (mut gateways, mut cores) = site.all().await;
    let balancer = Arc::new(site.balancer());
    balancer.all_ready().await;
    let mut load = Load::start(&site, &balancer, RATE);
    let mut deaths = Vec::new();
    for host in &site.cores {
        load.goes_on_for(BETWEEN).await;
        deaths.push(Death::of(cores.remove(0)));
        cores.push(site.core_service(host).await);
        for gateway in &mut gateways {
            gateway.logged_times(2, &[IN, &host.ip().to_string()]).await;
        }
    }
    let mut of_gateways = Vec::new();
    for (number, host) in site.gateways.iter().enumerate() {
        load.goes_on_for(BETWEEN).await;
        of_gateways.push(Death::of(gateways.remove(0)));
        balancer.until_ready(number, false).await;
        gateways.push(site.gateway(host).await);
        balancer.until_ready(number, true).await;
    }
    load.goes_on_for(BETWEEN).await;
    let seen = load.stop().await;
    let failures = seen.failures();
    for failure in &failures {
        let of_a_core = failure.reply == Reply::Error(502, "UpstreamFailure".to_owned());
        let of_a_gateway = matches!(failure.reply, Reply::Nothing(_));
        let explained = of_a_core && deaths.iter().any(|death| death.explains(failure))
            || of_a_gateway && of_gateways.iter().any(|death| death.explains(failure));
        assert!(explained, "{failure:?}");
    }
    println!("{} calls in flight failed with {} processes", failures.len(), deaths.len() + of_gateways.len());
    seen.is_all_there(&site).await;
}

/// When a process was killed.
struct Death {
    begun: Instant,
    over: Instant,
}

impl Death {
    fn of(process: Service) -> Self {
        let begun = Instant::now();
        process.kill();
        Self { begun, over: Instant::now() }
    }

    /// Whether `failure` was in flight then, or sent before anybody could know.
    fn explains(&self, failure: &Try) -> bool {
        failure.began <= self.over + NEWS && failure.ended >= self.begun
    }
}
