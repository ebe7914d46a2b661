//! Events published to a core-service, until all their deliveries are stored as done.
//!
//! Owns the webhooks, and how fast events are published: *steadily*, as fast as they are delivered; in a
//! *burst*, as fast as they are accepted, so that most deliveries wait and are claimed; or so many a second.

use std::time::{Duration, Instant};

use process::exit::Failure;
use proto::athook::event::Payload;
use proto::athook::event_service_client::EventServiceClient;
use proto::athook::secret_service_client::SecretServiceClient;
use proto::athook::webhook_service_client::WebhookServiceClient;
use proto::athook::{Actor, Chat, CreateSecretRequest, CreateWebhookRequest, Event, Outcome, PublishRequest};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::transport::{Channel, Endpoint};

use crate::databases::connect;
use crate::programs::Program;
use crate::receiver::{Receiver, text};
use crate::sample::{Sample, Sent, latencies, micros_each, percentile_ms, rate};
use crate::usage;

/// Webhooks of each fan-out.
pub(crate) const WEBHOOKS: usize = 200;
/// The token that signs all deliveries.
pub(crate) const TOKEN: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Calls in flight, of one event each.
const CALLS: usize = 64;
/// Deliveries that may be under way before the steady publisher waits.
const UNDER_WAY: usize = 1_000;
/// How often the publisher looks whether deliveries have arrived, and whether their outcomes are stored.
const ASK_EVERY: Duration = Duration::from_millis(1);
/// How long deliveries may take to arrive.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(60);
/// The arguments of the core-service.
pub(crate) const ARGUMENTS: [&str; 4] = ["--allow-http", "true", "--allow-private-ranges", "127.0.0.0/8"];

/// How fast events are published.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As fast as they are delivered, for so long.
    Steady(Duration),
    /// So many as fast as they are accepted.
    Burst(u32),
    /// One after each pause, for so long.
    Paced(Duration, Duration),
}

/// A core-service with the webhooks of one fan-out.
pub(crate) struct Publishing {
    core: Program,
    channel: Channel,
    /// To see what is pending.
    database: DatabaseConnection,
    receiver: Receiver,
    next_number: u32,
}

impl Publishing {
    /// Connects to a core-service, which was started with [`ARGUMENTS`], and to its database.
    pub(crate) async fn connect(
        core: Program,
        database_url: &str,
        receiver: &Receiver,
    ) -> Result<Self, Failure> {
        let channel = Endpoint::new(format!("http://{}", core.address()))?.connect().await?;
        let database = connect(database_url, 1).await?.remove(0);
        Ok(Self { core, channel, database, receiver: receiver.clone(), next_number: 0 })
    }

    /// Makes [`WEBHOOKS`] webhooks, so many for each streamer.
    pub(crate) async fn make_webhooks(&self, fan_out: usize) -> Result<(), Failure> {
        let mut secrets = SecretServiceClient::new(self.channel.clone());
        let mut webhooks = WebhookServiceClient::new(self.channel.clone());
        let origins = self.receiver.addresses.iter().cycle();
        for (number, origin) in origins.enumerate().take(WEBHOOKS) {
            let caller_did = streamer(fan_out, number / fan_out);
            let name = "deliveries".to_owned();
            if number % fan_out == 0 {
                let token = Some(TOKEN.to_owned());
                let caller_did = caller_did.clone();
                let secret = CreateSecretRequest { caller_did, name: name.clone(), token };
                secrets.create_secret(secret).await?;
            }
            let webhook = CreateWebhookRequest {
                caller_did,
                url: format!("http://{origin}/hooks/{number}"),
                events: vec!["chat".to_owned()],
                active: Some(true),
                secret_id: Some(name),
                ..CreateWebhookRequest::default()
            };
            webhooks.create_webhook(webhook).await?;
        }
        Ok(())
    }

    /// Publishes events, and waits until their deliveries are done.
    pub(crate) async fn run(&mut self, fan_out: usize, pace: Pace) -> Result<Sample, Failure> {
        let first = self.next_number;
        let cpu_before = usage::cpu(self.core.pid())?;
        let started = Instant::now();
        let mut times: Vec<Instant> = Vec::new();
        let mut calls = JoinSet::new();
        loop {
            let may_go_on = match pace {
                Pace::Steady(length) | Pace::Paced(length, _) => started.elapsed() < length,
                Pace::Burst(events) => times.len() < events as usize,
            };
            if !may_go_on {
                break;
            }
            while let Some(answered) = calls.try_join_next() {
                answered??;
            }
            let wait = match pace {
                Pace::Steady(_) => times.len() * fan_out >= self.receiver.count() + UNDER_WAY,
                Pace::Burst(_) => false,
                Pace::Paced(_, pause) => started.elapsed() < pause * u32::try_from(times.len())?,
            };
            if wait {
                sleep(ASK_EVERY).await;
                continue;
            }
            if calls.len() >= CALLS {
                calls.join_next().await.ok_or("no call is in flight")???;
                continue;
            }
            let number = self.next_number;
            self.next_number += 1;
            let streamer = streamer(fan_out, number as usize % (WEBHOOKS / fan_out));
            times.push(Instant::now());
            calls.spawn(publish(self.channel.clone(), event(number, streamer), fan_out));
        }
        while let Some(answered) = calls.join_next().await {
            answered??;
        }
        let published_in = started.elapsed();
        let deliveries = times.len() * fan_out;
        self.wait_for(deliveries).await?;
        let delivered_in = started.elapsed();
        let cpu = usage::cpu(self.core.pid())? - cpu_before;
        let events = times.len();
        let latencies = latencies(&Sent { first, times }, &self.receiver.take(), fan_out)?;
        Ok(Sample {
            events_per_s: rate(events, published_in),
            deliveries_per_s: rate(deliveries, delivered_in),
            p50_ms: percentile_ms(&latencies, 50),
            p99_ms: percentile_ms(&latencies, 99),
            cpu_us: micros_each(cpu, deliveries),
        })
    }

    /// Waits until so many deliveries have arrived, and all outcomes are stored.
    async fn wait_for(&self, deliveries: usize) -> Result<(), Failure> {
        let asked = Instant::now();
        while self.receiver.count() < deliveries || self.is_pending().await? {
            if asked.elapsed() > ARRIVAL_LIMIT {
                return Err(format!("{} of {deliveries} arrived", self.receiver.count()).into());
            }
            sleep(ASK_EVERY).await;
        }
        Ok(())
    }

    /// Whether the outcome of any delivery is not stored.
    async fn is_pending(&self) -> Result<bool, Failure> {
        let query = "SELECT 1 FROM webhook_state WHERE due_at_ms IS NOT NULL LIMIT 1";
        let statement = Statement::from_string(self.database.get_database_backend(), query);
        Ok(self.database.query_one_raw(statement).await?.is_some())
    }
}

/// One of the streamers with so many webhooks.
fn streamer(fan_out: usize, number: usize) -> String {
    format!("did:web:streamer-{number}.of-{fan_out}.example")
}

fn event(number: u32, streamer_did: String) -> Event {
    let author = Actor {
        did: "did:plc:z72i7hdynmk6r22z27h6tvur".to_owned(),
        handle: Some("carol.example".to_owned()),
        avatar_url: None,
    };
    let uri = "at://did:plc:z72i7hdynmk6r22z27h6tvur/place.stream.chat.message/3m6k2xq7v2c2a".to_owned();
    Event {
        publisher: "bench".to_owned(),
        idempotency_key: format!("message-{number}"),
        streamer_did,
        occurred_at: Some(prost_types::Timestamp { seconds: 1_795_896_900, nanos: 123_000_000 }),
        payload: Some(Payload::Chat(Chat { author: Some(author), text: text(number), uri })),
    }
}

async fn publish(channel: Channel, event: Event, fan_out: usize) -> Result<(), Failure> {
    let request = PublishRequest { events: vec![event] };
    let results = EventServiceClient::new(channel).publish(request).await?.into_inner().results;
    let result = results.first().ok_or("no result")?;
    if result.outcome() != Outcome::Stored || result.deliveries as usize != fan_out {
        return Err(format!("an event was not stored for {fan_out} webhooks: {result:?}").into());
    }
    Ok(())
}
