//! Postgres is away for 20 seconds, in three ways.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::load::Load;
use crate::namespaces::drills;
use crate::network::Packets;
use crate::site::{DEADLINE, SLACK, Site};

/// Calls in a second.
const RATE: u32 = 20;
/// How long the load goes on before.
const BEFORE: Duration = Duration::from_secs(2);
const AWAY: Duration = Duration::from_secs(20);
/// All is well again within this time after its return.
const PROMISE: Duration = Duration::from_secs(10);
/// How long the load goes on after that.
const AFTER: Duration = Duration::from_secs(2);

drills! { Others:
    stopped_and_started,
    frozen,
    cut_off
}

async fn stopped_and_started() {
    away(|site| site.postgres.lock().unwrap().pause(), |site| site.postgres.lock().unwrap().resume()).await;
}

/// All its processes at once, as on a machine that hangs: connections are accepted, and nothing answers.
async fn frozen() {
    let say = |site: &Site, word| site.postgres.lock().unwrap().say(word);
    away(|site| say(site, "freeze"), |site| say(site, "thaw")).await;
}

async fn cut_off() {
    away(|site| site.database.all(Packets::Dropped), |site| site.database.all(Packets::PassedOn)).await;
}

/// Clients get clear answers within the deadline, the service recovers by itself, nothing acknowledged is
/// lost.
async fn away(goes: impl Fn(&Site), returns: impl Fn(&Site)) {
    let site = Arc::new(Site::new());
    let (_gateways, _cores) = site.all().await;
    let balancer = Arc::new(site.balancer());
    balancer.all_ready().await;
    let mut load = Load::start(&site, &balancer, RATE);
    load.goes_on_for(BEFORE).await;
    let gone = Instant::now();
    goes(&site);
    load.goes_on_for(AWAY).await;
    let returned = Instant::now();
    returns(&site);
    balancer.all_ready().await;
    let ready_after = returned.elapsed();
    load.goes_on_for((PROMISE + AFTER).saturating_sub(ready_after)).await;
    let seen = load.stop().await;

    let failures = seen.failures();
    let last = failures.iter().map(|failure| failure.began).max().expect("calls failed meanwhile");
    let recovered_after = last.saturating_duration_since(returned);
    let longest = failures.iter().map(|failure| failure.took()).max().expect("some failed");
    println!(
        "away for {:.1?}: {} tries failed, the longest took {longest:.1?}; ready {ready_after:.1?} after the return, \
         the last call that failed was sent {recovered_after:.1?} after it",
        returned - gone,
        failures.len(),
    );
    for failure in &failures {
        assert!(failure.is_clear() && failure.took() < DEADLINE + SLACK, "{failure:?}");
    }
    for one in seen.calls.iter().flat_map(|call| &call.tries) {
        let meanwhile = one.began > gone + SLACK && one.ended < returned;
        assert!(!(meanwhile && one.is_done()), "it was away: {one:?}");
    }
    assert!(ready_after < PROMISE && recovered_after < PROMISE);
    seen.is_all_there(&site).await;
}
