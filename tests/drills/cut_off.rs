//! A core-service whose packets are dropped: connections are neither refused nor answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::harness::processes::Service;
use crate::load::{Call, Load};
use crate::namespaces::drills;
use crate::network::{Host, Packets};
use crate::site::{DEADLINE, IN, OUT, SLACK, Site};

/// Calls in a second.
const RATE: u32 = 100;
/// How long the load goes on between one event and the next.
const BETWEEN: Duration = Duration::from_secs(2);
/// It is out of the rotation within this time, and back within it once healed.
const PROMISE: Duration = Duration::from_secs(10);

drills! { Nobody:
    core_service_cut_off_costs_a_deadline_each_at_most
}

async fn core_service_cut_off_costs_a_deadline_each_at_most() {
    let site = Arc::new(Site::new());
    let (mut gateways, mut cores) = site.all().await;
    let balancer = Arc::new(site.balancer());
    balancer.all_ready().await;
    let mut load = Load::start(&site, &balancer, RATE);
    load.goes_on_for(BETWEEN).await;

    let victim = &site.cores[1];
    let cut = Instant::now();
    victim.all(Packets::Dropped);
    let out_after = heard(&mut gateways, 1, OUT, victim, cut).await;
    load.goes_on_for(BETWEEN).await;
    let healed = Instant::now();
    victim.all(Packets::PassedOn);
    let back_after = heard(&mut gateways, 2, IN, victim, healed).await;
    load.goes_on_for(BETWEEN).await;
    // The other two stop: from now on only the healed one answers.
    for other in [cores.remove(2), cores.remove(0)] {
        let (status, log) = other.terminate().await;
        assert!(status.success(), "{log}");
    }
    load.goes_on_for(BETWEEN).await;
    let seen = load.stop().await;

    let failures = seen.failures();
    println!(
        "out of the rotation after {out_after:.1?}, back {back_after:.1?} after healing; {} calls failed",
        failures.len(),
    );
    assert!(out_after < PROMISE && back_after < PROMISE);
    for failure in &failures {
        let meanwhile = failure.began < cut + out_after && failure.ended > cut;
        assert!(failure.is_clear() && failure.took() < DEADLINE + SLACK && meanwhile, "{failure:?}");
    }
    assert!(seen.calls.iter().all(Call::ended_well), "once more is enough: {failures:#?}");
    seen.is_all_there(&site).await;
}

/// Waits until every gateway has logged `what` about `host` so many times. Returns how long after `since`
/// that was.
async fn heard(gateways: &mut [Service], times: usize, what: &str, host: &Host, since: Instant) -> Duration {
    for gateway in gateways {
        gateway.logged_times(times, &[what, &host.ip().to_string()]).await;
    }
    since.elapsed()
}
