//! The core-service that reads, whom it reads for, and one replay.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use fakes::jetstream::{Item, Jetstream, Wire};
use fakes::network::Network;
use futures_util::{StreamExt as _, TryStreamExt as _};
use process::exit::Failure;
use proto::athook::CreateWebhookRequest;
use proto::athook::webhook_service_client::WebhookServiceClient;
use sea_orm::sqlx::{self, SqlitePool};
use serde_json::json;
use tonic::transport::Endpoint;

use crate::frames::{THING, chat, scope, streamer};
use crate::parsing::Parsing;
use crate::programs::{Program, Programs, free_address, migrate};
use crate::{Args, usage};

/// Webhooks that are made at once.
const AT_ONCE: usize = 64;
/// How often it is looked whether something has happened.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(120);
/// By when a new webhook is known to whoever reads.
const RELOADED: Duration = Duration::from_secs(2);

/// A core-service that reads a stream.
pub(crate) struct World {
    core: Program,
    host: Jetstream,
    wire: Wire,
    pool: SqlitePool,
    receiver: tokio::task::JoinHandle<()>,
    _network: Network,
}

/// The figures of one replay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// From the first event to the stored place of the last.
    pub(crate) events_per_s: f64,
    /// Processor time of an event in the core-service.
    pub(crate) cpu_us: f64,
    /// The same of bare parsing.
    pub(crate) parsing_us: f64,
}

impl Sample {
    /// The median of each figure.
    pub(crate) fn median(samples: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| {
            let mut all: Vec<f64> = samples.iter().map(figure).collect();
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
        };
        Self {
            events_per_s: of(|sample| sample.events_per_s),
            cpu_us: of(|sample| sample.cpu_us),
            parsing_us: of(|sample| sample.parsing_us),
        }
    }
}

impl World {
    /// Starts a core-service on the SQLite file, with the webhooks and wh records of a run.
    pub(crate) async fn start(
        args: &Args,
        programs: &Programs,
        file: &Path,
        wire: Wire,
    ) -> Result<Self, Failure> {
        let (host, network) = (Jetstream::start().await, Network::start().await);
        for number in 0..args.streamers {
            network.add_account(&streamer(number), "streamer.example");
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let target = listener.local_addr()?;
        let router = axum::Router::new().fallback(async || http::StatusCode::NO_CONTENT);
        let receiver = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        let url = format!("sqlite://{}?mode=rwc", file.display());
        migrate(&args.athook, &url)?;
        let (metrics, jetstream, plc) = (free_address()?.to_string(), host.url(wire), network.url());
        let flags = [
            ["--intake", "on"],
            ["--intake-network", "on"],
            ["--jetstream", &jetstream],
            ["--plc-url", &plc],
            ["--metrics-listen", &metrics],
            ["--delivery", &args.delivery],
            ["--allow-http", "true"],
            ["--allow-private-ranges", "127.0.0.0/8"],
        ];
        let core =
            tokio::task::block_in_place(|| programs.core_service(&args.athook, &url, &flags.concat()))?;
        let pool = SqlitePool::connect(&url).await?;
        let world = Self { core, host, wire, pool, receiver, _network: network };
        world.make_webhooks(args.streamers, &format!("http://{target}")).await?;
        tokio::time::sleep(RELOADED).await;
        world.make_records(args, &format!("http://{target}")).await?;
        tokio::time::sleep(RELOADED).await;
        let listed = async || {
            let text = reqwest::get(format!("http://{metrics}/metrics")).await?.text().await?;
            Ok(text.contains("\nathook_core_intake_to_list 0\n"))
        };
        until(listed).await?;
        Ok(world)
    }

    async fn make_webhooks(&self, count: usize, target: &str) -> Result<(), Failure> {
        let channel = Endpoint::from_shared(format!("http://{}", self.core.address()))?.connect().await?;
        let make = |number: usize| {
            let mut client = WebhookServiceClient::new(channel.clone());
            let request = CreateWebhookRequest {
                caller_did: streamer(number),
                url: format!("{target}/{number}"),
                events: ["chat", "follow", "mention"].map(str::to_owned).into(),
                active: Some(true),
                ..Default::default()
            };
            async move { client.create_webhook(request).await }
        };
        futures_util::stream::iter(0..count)
            .map(make)
            .buffer_unordered(AT_ONCE)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await?;
        Ok(())
    }

    async fn make_records(&self, args: &Args, target: &str) -> Result<(), Failure> {
        let records = (0..args.scopes).map(|number| {
            let did = scope(number);
            let scope = if number % 2 == 0 { format!("at://{did}") } else { format!("at://{did}/{THING}") };
            let record = json!({
                "$type": "place.wisp.v2.wh",
                "scope": {"aturi": scope, "backlinks": number < args.backlinks},
                "url": format!("{target}/record"),
                "createdAt": "2026-11-29T12:00:00.000Z",
            });
            Item::create(&streamer(number), "place.wisp.v2.wh", "mine", &record.to_string())
        });
        self.host.push(records);
        let expected = i64::try_from(args.scopes)?;
        let active = async || {
            let sql = "SELECT count(*) FROM record_webhook WHERE state = 'active'";
            let count: i64 = sqlx::query_scalar(sql).fetch_one(&self.pool).await?;
            Ok(count == expected)
        };
        until(active).await
    }

    /// Where the core-service listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.core.address()
    }

    /// Lets it happen now.
    pub(crate) fn push(&self, items: impl IntoIterator<Item = Item>) {
        self.host.push(items);
    }

    /// Lets all of it happen at once, and waits until it is stored.
    pub(crate) async fn replay(
        &self,
        items: Vec<Item>,
        wanted: usize,
        parsing: Parsing,
    ) -> Result<Sample, Failure> {
        let events = f64::from(u32::try_from(items.len())?);
        let stored_before = self.stored_events().await?;
        // What matches is stored soon, and the place with it.
        let last = chat(&streamer(0), &format!("last{stored_before}"));
        let cpu_before = usage::cpu(self.core.pid())?;
        let (seq, time_us) = self.host.push(items.into_iter().chain([last]));
        let started = Instant::now();
        let end = if self.wire == Wire::V1 { time_us } else { seq };
        let stored = async || {
            let cursor: Option<i64> =
                sqlx::query_scalar("SELECT cursor FROM intake").fetch_one(&self.pool).await?;
            Ok(cursor == Some(end))
        };
        until(stored).await?;
        let took = started.elapsed().as_secs_f64();
        let cpu = usage::cpu(self.core.pid())?.saturating_sub(cpu_before);
        let stored = self.stored_events().await? - stored_before;
        let expected = i64::try_from(wanted + 1)?;
        if stored != expected {
            return Err(format!("{stored} events are stored, and not {expected}").into());
        }
        Ok(Sample {
            events_per_s: events / took,
            cpu_us: cpu.as_secs_f64() * 1e6 / events,
            parsing_us: parsing.us,
        })
    }

    /// Those with deliveries.
    async fn stored_events(&self) -> Result<i64, Failure> {
        let sql = "SELECT count(*) FROM event WHERE deliveries > 0";
        Ok(sqlx::query_scalar(sql).fetch_one(&self.pool).await?)
    }

    /// The most memory that the core-service has had resident so far, in MiB.
    pub(crate) fn peak_memory_mib(&self) -> Result<f64, Failure> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.core.pid()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.receiver.abort();
    }
}

/// Asks until the answer is yes.
async fn until<F: Future<Output = Result<bool, Failure>>>(mut ask: impl FnMut() -> F) -> Result<(), Failure> {
    let started = Instant::now();
    while !ask().await? {
        if started.elapsed() > LIMIT {
            return Err("it takes too long".into());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}
