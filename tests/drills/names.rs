//! The core-services' DNS name leads to other addresses than before, to dead ones, or to none.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::harness::processes::Service;
use crate::load::Load;
use crate::namespaces::drills;
use crate::network::{Host, Packets};
use crate::site::{IN, SLACK, Site};

/// Calls in a second.
const RATE: u32 = 30;
/// How long the load goes on between one event and the next.
const BETWEEN: Duration = Duration::from_secs(1);
/// Several look-ups of a gateway, and one that gets no answer.
const SEVERAL_LOOKUPS: Duration = Duration::from_secs(8);
/// How soon a core-service that is listed takes calls.
const SOON: Duration = Duration::from_secs(6);
/// How soon a call is answered when there is no core-service.
const AT_ONCE: Duration = Duration::from_secs(1);

drills! { Others:
    other_addresses_fail_no_call,
    stale_addresses_cost_nothing_beside_a_live_one
}

/// One is added, the first one leaves, all move at once, and the name server goes silent and forgets the
/// name.
async fn other_addresses_fail_no_call() {
    let site = Arc::new(Site::new());
    let [first, second, third] = &site.cores;
    let first_service = site.core_service(first).await;
    site.name_lists(&[first.ip()]);
    let mut gateways = gateways(&site).await;
    let balancer = Arc::new(site.balancer());
    balancer.all_ready().await;
    let mut load = Load::start(&site, &balancer, RATE);
    load.goes_on_for(BETWEEN).await;

    let second_service = site.core_service(second).await;
    site.name_lists(&[first.ip(), second.ip()]);
    let added_after = taken(&mut gateways, second).await;
    load.goes_on_for(BETWEEN).await;
    // As Kubernetes does it: off the name and SIGTERM in the same moment.
    site.name_lists(&[second.ip()]);
    leaves(first_service).await;
    load.goes_on_for(BETWEEN).await;

    site.names.all(Packets::Dropped);
    load.goes_on_for(SEVERAL_LOOKUPS).await;
    site.names.all(Packets::PassedOn);
    site.name_lists(&[]);
    load.goes_on_for(SEVERAL_LOOKUPS).await;

    let _third_service = site.core_service(third).await;
    site.name_lists(&[third.ip()]);
    let moved_after = taken(&mut gateways, third).await;
    leaves(second_service).await;
    load.goes_on_for(BETWEEN).await;
    let seen = load.stop().await;
    println!(
        "a core-service took calls {added_after:.1?} after it was added, {moved_after:.1?} after a move"
    );
    seen.all_succeeded();
    assert!(added_after < SOON && moved_after < SOON);
    seen.is_all_there(&site).await;
}

/// One address refuses and one is silent. At first there are no others; then one of them comes to life.
async fn stale_addresses_cost_nothing_beside_a_live_one() {
    let site = Arc::new(Site::new());
    let [live, refusing, silent] = &site.cores;
    silent.all(Packets::Dropped);
    site.name_lists(&[refusing.ip(), silent.ip()]);
    let mut gateways = gateways(&site).await;
    let balancer = Arc::new(site.balancer());
    let mut load = Load::start(&site, &balancer, RATE);
    load.goes_on_for(2 * BETWEEN).await;
    let seen = load.stop().await;
    for call in seen.calls.iter().flat_map(|call| &call.tries) {
        assert!(call.is_clear() && call.took() < AT_ONCE + SLACK, "{call:?}");
    }
    let refused = seen.calls.len();

    let live_service = site.core_service(live).await;
    site.name_lists(&[refusing.ip(), silent.ip(), live.ip()]);
    let taken_after = taken(&mut gateways, live).await;
    balancer.all_ready().await;
    let mut load = Load::start(&site, &balancer, RATE);
    load.goes_on_for(SEVERAL_LOOKUPS).await;
    let _risen_service = site.core_service(refusing).await;
    let risen_after = taken(&mut gateways, refusing).await;
    leaves(live_service).await;
    load.goes_on_for(BETWEEN).await;
    let seen = load.stop().await;
    println!(
        "{refused} calls refused while no address was live; a live one took calls {taken_after:.1?} after it \
         was listed, a dead one {risen_after:.1?} after it came to life"
    );
    seen.all_succeeded();
    assert!(taken_after < SOON && risen_after < SOON);
    seen.is_all_there(&site).await;
}

async fn gateways(site: &Site) -> Vec<Service> {
    let mut gateways = Vec::new();
    for host in &site.gateways {
        gateways.push(site.gateway(host).await);
    }
    gateways
}

/// Waits until every gateway has the core-service on `host` in its rotation. Returns how long that took.
async fn taken(gateways: &mut [Service], host: &Host) -> Duration {
    let since = Instant::now();
    for gateway in gateways {
        gateway.logged_times(1, &[IN, &host.ip().to_string()]).await;
    }
    since.elapsed()
}

async fn leaves(service: Service) {
    let (status, log) = service.terminate().await;
    assert!(status.success(), "{log}");
}
