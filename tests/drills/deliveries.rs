//! Events at a steady rate, and their deliveries, while core-services and Postgres come and go. Nothing that
//! was answered is lost; what arrives again does so under the same ids, and is counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::response::IntoResponse as _;
use http::StatusCode;
use proto::athook::event_service_client::EventServiceClient;
use proto::athook::webhook_service_client::WebhookServiceClient;
use proto::athook::{CreateWebhookRequest, PublishRequest, Result as Published};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, interval, sleep, timeout};
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use crate::harness::hook::{Hook, Received};
use crate::harness::processes::Service;
use crate::harness::publisher::chat;
use crate::load::texts;
use crate::namespaces::drills;
use crate::network::{Host, Packets};
use crate::site::{Site, TOKEN};

/// Streamers that events are about by turns.
const STREAMERS: usize = 10;
/// Webhooks of each.
const WEBHOOKS: usize = 2;
/// Events in a second.
const RATE: u32 = 200;
/// How long the load goes on between one change and the next.
const BETWEEN: Duration = Duration::from_secs(2);
/// How long a core-service is cut off: its leases end, which last the delivery's time limit and 10 s.
const CUT_OFF: Duration = Duration::from_secs(15);
const POSTGRES_AWAY: Duration = Duration::from_secs(20);
/// How long a publisher waits for an answer, and before it tries another core-service.
const ANSWER: Duration = Duration::from_secs(3);
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How long after the load all must have arrived.
const ARRIVAL: Duration = Duration::from_secs(60);
/// The program of the last commit that knew no events, where `deploy/test-upgrade` puts it.
const EARLIER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/athook-before-deliveries");

drills! { Nobody:
    core_service_is_cut_off_with_leases,
    postgres_is_away,
    core_services_restart
}

async fn core_service_is_cut_off_with_leases() {
    let mut stage = Stage::new();
    let _cores = stage.core_services().await;
    let load = stage.publish().await;
    load.goes_on_for(BETWEEN).await;
    let victim = &stage.site.cores[1];
    victim.all(Packets::Dropped);
    load.goes_on_for(CUT_OFF).await;
    victim.all(Packets::PassedOn);
    load.goes_on_for(BETWEEN).await;
    stage.all_arrive(load.stop().await).await;
}

async fn postgres_is_away() {
    let mut stage = Stage::new();
    let _cores = stage.core_services().await;
    let load = stage.publish().await;
    load.goes_on_for(BETWEEN).await;
    stage.site.postgres.lock().unwrap().pause();
    load.goes_on_for(POSTGRES_AWAY).await;
    stage.site.postgres.lock().unwrap().resume();
    load.goes_on_for(BETWEEN).await;
    stage.all_arrive(load.stop().await).await;
}

async fn core_services_restart() {
    let mut stage = Stage::new();
    let cores = stage.core_services().await;
    let load = stage.publish().await;
    let _cores = stage.replace(cores, &load).await;
    stage.all_arrive(load.stop().await).await;
}

/// From a program that knows no events, one core-service after another.
#[test]
#[ignore = "needs the program of an earlier commit: deploy/test-upgrade"]
fn upgrade_from_before_deliveries() {
    let path = concat!(module_path!(), "::upgrade_from_before_deliveries");
    crate::namespaces::enter(path, crate::namespaces::Company::Nobody, upgrade());
}

async fn upgrade() {
    // The earlier program takes the place of this one.
    let script = format!("shift; exec {EARLIER} \"$@\"");
    let mut stage = Stage::new();
    let mut cores = Vec::new();
    for host in &stage.site.cores {
        cores.push(stage.site.core_service_under(host, &["sh", "-c", &script, "sh"]).await);
    }
    let load = stage.publish().await;
    let _cores = stage.replace(cores, &load).await;
    stage.all_arrive(load.stop().await).await;
}

/// The site, and a receiver on a host of its own.
struct Stage {
    site: Arc<Site>,
    hook: Hook,
}

impl Stage {
    fn new() -> Self {
        let site = Arc::new(Site::new());
        let host = Host::new(61);
        let listener = host.within(|| std::net::TcpListener::bind((host.ip(), 80)).unwrap());
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        Self { site, hook: Hook::on(listener, |_, _| StatusCode::NO_CONTENT.into_response()) }
    }

    async fn core_services(&self) -> Vec<Service> {
        let mut cores = Vec::new();
        for host in &self.site.cores {
            cores.push(self.site.delivering(host).await);
        }
        cores
    }

    /// Ends each of these core-services by SIGTERM, one after another, and starts one in its place. Returns
    /// the new ones.
    async fn replace(&self, cores: Vec<Service>, load: &Load) -> Vec<Service> {
        let mut new = Vec::new();
        for (core, host) in cores.into_iter().zip(&self.site.cores) {
            load.goes_on_for(BETWEEN).await;
            let (status, log) = core.terminate().await;
            assert!(status.success(), "{log}");
            new.push(self.site.delivering(host).await);
        }
        load.goes_on_for(BETWEEN).await;
        new
    }

    /// Makes the webhooks, and begins to publish.
    async fn publish(&self) -> Load {
        let cores = self.site.core_addresses().into_iter();
        let endpoints = cores.map(|core| Endpoint::from_shared(format!("http://{core}")).unwrap());
        let cores: Vec<Channel> = endpoints.map(|endpoint| endpoint.connect_lazy()).collect();
        for number in 0..STREAMERS {
            for one in 0..WEBHOOKS {
                let url = self.hook.url(&format!("/{number}/{one}"));
                create_webhook(cores[0].clone(), &streamer(number), &url).await;
            }
        }
        Load::start(cores)
    }

    /// Waits until each of these events has arrived at every webhook, and asserts that it did so as one
    /// delivery. Prints how many arrived again.
    async fn all_arrive(&mut self, ids: Vec<String>) {
        let mut arrived = Arrived::default();
        let wanted = ids.len() * WEBHOOKS;
        let begun = Instant::now();
        while arrived.len() < wanted {
            let left = ARRIVAL.saturating_sub(begun.elapsed());
            let next = timeout(left, self.hook.next()).await;
            arrived.note(&next.unwrap_or_else(|_| panic!("{} of {wanted} arrived", arrived.len())));
        }
        let caught_up = begun.elapsed();
        let database = sea_orm::Database::connect(self.site.database_url()).await.unwrap();
        let pending = "SELECT id::text AS key FROM delivery WHERE state = 0";
        while !texts(&database, pending).await.is_empty() {
            assert!(begun.elapsed() < ARRIVAL, "deliveries that arrived stay pending");
            sleep(AGAIN_AFTER).await;
        }
        while let Some(received) = self.hook.waiting() {
            arrived.note(&received);
        }
        let again = arrived.again(&ids);
        println!(
            "{} events, {wanted} deliveries, all arrived {caught_up:.1?} after the load, {again} of them again",
            ids.len()
        );
    }
}

/// The `idempotency-key` of each request, by its `webhook-id` and path.
#[derive(Default)]
struct Arrived(HashMap<String, HashMap<String, Vec<String>>>);

impl Arrived {
    /// How many deliveries arrived.
    fn len(&self) -> usize {
        self.0.values().map(HashMap::len).sum()
    }

    fn note(&mut self, received: &Received) {
        let event = self.0.entry(received.header("webhook-id").to_owned()).or_default();
        let requests = event.entry(received.path.clone()).or_default();
        requests.push(received.header("idempotency-key").to_owned());
    }

    /// Asserts that each of these events arrived at every webhook, as one delivery. Returns how many arrived
    /// again.
    fn again(&self, ids: &[String]) -> usize {
        let mut again = 0;
        for id in ids {
            let event = self.0.get(&format!("msg_{id}")).unwrap_or_else(|| panic!("{id} is lost"));
            assert_eq!(event.len(), WEBHOOKS, "{id} is lost for one");
            for requests in event.values() {
                assert!(requests.iter().all(|delivery| *delivery == requests[0]), "{id}: {requests:?}");
                again += requests.len() - 1;
            }
        }
        again
    }
}

/// Events that are published until it is stopped, each again until it is answered.
struct Load {
    stopping: Arc<AtomicBool>,
    sending: JoinHandle<Vec<String>>,
    since: Instant,
}

impl Load {
    fn start(cores: Vec<Channel>) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let sending = tokio::spawn(send_all(cores, Arc::clone(&stopping)));
        Self { stopping, sending, since: Instant::now() }
    }

    async fn goes_on_for(&self, time: Duration) {
        sleep(time).await;
    }

    /// Stops, and returns the ids of all events.
    async fn stop(self) -> Vec<String> {
        let Self { stopping, sending, since } = self;
        stopping.store(true, Ordering::SeqCst);
        let time = since.elapsed();
        let ids = sending.await.unwrap();
        // The rate was as high as the drill says.
        let count = f64::from(u32::try_from(ids.len()).unwrap());
        assert!(count > 0.95 * f64::from(RATE) * time.as_secs_f64(), "{count} events in {time:?}");
        ids
    }
}

async fn send_all(cores: Vec<Channel>, stopping: Arc<AtomicBool>) -> Vec<String> {
    let mut under_way = JoinSet::new();
    let mut ticks = interval(Duration::from_secs(1) / RATE);
    let mut number = 0;
    while !stopping.load(Ordering::SeqCst) {
        ticks.tick().await;
        under_way.spawn(send(cores.clone(), number));
        number += 1;
    }
    under_way.join_all().await
}

/// Publishes one event, by one core-service after another until one answers.
async fn send(cores: Vec<Channel>, number: usize) -> String {
    let mut turn = number;
    loop {
        let events = vec![chat(&streamer(number % STREAMERS), &number.to_string(), "hello")];
        let publishing = async {
            let mut client = EventServiceClient::new(cores[turn % cores.len()].clone());
            client.publish(authorized(PublishRequest { events })).await
        };
        if let Ok(Ok(answer)) = timeout(ANSWER, publishing).await {
            let Published { event_id, deliveries, .. } = answer.into_inner().results.remove(0);
            assert_eq!(deliveries as usize, WEBHOOKS);
            return event_id;
        }
        turn += 1;
        sleep(AGAIN_AFTER).await;
    }
}

fn authorized<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {TOKEN}").parse().unwrap());
    request
}

fn streamer(number: usize) -> String {
    format!("did:web:streamer-{number}.example")
}

async fn create_webhook(core: Channel, owner: &str, url: &str) {
    let request = CreateWebhookRequest {
        caller_did: owner.to_owned(),
        url: url.to_owned(),
        events: vec!["chat".to_owned()],
        active: Some(true),
        ..Default::default()
    };
    WebhookServiceClient::new(core).create_webhook(authorized(request)).await.unwrap();
}
