//! Core-services that deliver: their webhooks, and events for them.

use std::path::Path;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use process::exit::Failure;
use proto::athook::event::Payload;
use proto::athook::event_service_client::EventServiceClient;
use proto::athook::secret_service_client::SecretServiceClient;
use proto::athook::webhook_service_client::WebhookServiceClient;
use proto::athook::{Actor, Chat, CreateSecretRequest, CreateWebhookRequest, Event, Outcome, PublishRequest};
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Query};
use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use crate::databases::connect;
use crate::pace::Deliverer;
use crate::programs::{Program, Programs};
use crate::receiver::{Receiver, text};

/// Webhooks of each fan-out.
pub(crate) const WEBHOOKS: usize = 200;
/// The token that signs all deliveries.
pub(crate) const TOKEN: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// The arguments of a core-service.
const ARGUMENTS: [&str; 6] =
    ["--allow-http", "true", "--allow-private-ranges", "127.0.0.0/8", "--drain-limit", "1s"];

/// Core-services on one database.
pub(crate) struct Publishing {
    cores: Vec<Program>,
    channels: Vec<Channel>,
    /// To see what is pending.
    database: DatabaseConnection,
    /// Those that count.
    webhooks: Vec<Uuid>,
}

impl Publishing {
    /// Starts so many core-services, which trust this authority. `webhooks` are those that count.
    pub(crate) fn start(
        programs: &Programs,
        authority: &Path,
        runtime: &Runtime,
        athook: &Path,
        database_url: &str,
        replicas: usize,
        webhooks: Vec<Uuid>,
    ) -> Result<Self, Failure> {
        let authority = authority.display().to_string();
        let mut arguments = ARGUMENTS.to_vec();
        arguments.extend(["--extra-ca", &authority]);
        let cores = (0..replicas).map(|_| programs.core_service(athook, database_url, &arguments));
        let cores: Vec<Program> = cores.collect::<Result<_, _>>()?;
        runtime.block_on(async {
            let mut channels = Vec::new();
            for core in &cores {
                channels.push(Endpoint::new(format!("http://{}", core.address()))?.connect().await?);
            }
            let database = connect(database_url, 1).await?.remove(0);
            Ok(Self { cores, channels, database, webhooks })
        })
    }

    /// Makes [`WEBHOOKS`] webhooks at the receiver, so many for each streamer, and returns the ids of all.
    pub(crate) async fn make_webhooks(
        &mut self,
        receiver: &Receiver,
        fan_out: usize,
    ) -> Result<Vec<Uuid>, Failure> {
        for (number, origin) in receiver.origins().cycle().enumerate().take(WEBHOOKS) {
            let id = self.make_webhook(&streamer(fan_out, number / fan_out), &origin, number).await?;
            self.webhooks.push(id);
        }
        Ok(self.webhooks.clone())
    }

    /// Makes one webhook, signed with [`TOKEN`].
    pub(crate) async fn make_webhook(
        &self,
        owner: &str,
        origin: &str,
        number: usize,
    ) -> Result<Uuid, Failure> {
        let name = "deliveries".to_owned();
        let secret = CreateSecretRequest {
            caller_did: owner.to_owned(),
            name: name.clone(),
            token: Some(TOKEN.to_owned()),
        };
        match SecretServiceClient::new(self.channels[0].clone()).create_secret(secret).await {
            Err(status) if status.code() != tonic::Code::AlreadyExists => return Err(status.into()),
            _ => {}
        }
        let webhook = CreateWebhookRequest {
            caller_did: owner.to_owned(),
            url: format!("{origin}/hooks/{number}"),
            events: vec!["chat".to_owned()],
            active: Some(true),
            secret_id: Some(name),
            ..CreateWebhookRequest::default()
        };
        let made = WebhookServiceClient::new(self.channels[0].clone()).create_webhook(webhook).await?;
        Ok(made.into_inner().webhook.ok_or("no webhook")?.id.parse()?)
    }

    /// Publishes events of one streamer, whose deliveries nobody waits for.
    pub(crate) async fn publish_for(&self, streamer: &str, events: u32, first: u32) -> Result<(), Failure> {
        let events = (first..first + events).map(|number| event(number, streamer.to_owned())).collect();
        EventServiceClient::new(self.channels[0].clone()).publish(PublishRequest { events }).await?;
        Ok(())
    }
}

impl Deliverer for Publishing {
    fn publish(&self, number: u32, fan_out: usize) -> BoxFuture<'static, Result<(), Failure>> {
        let channel = self.channels[number as usize % self.channels.len()].clone();
        let streamer = streamer(fan_out, number as usize % (WEBHOOKS / fan_out));
        publish(channel, event(number, streamer), fan_out).boxed()
    }

    fn is_pending(&self) -> BoxFuture<'_, Result<bool, Failure>> {
        let query = Query::select()
            .expr(Expr::val(1))
            .from(Alias::new("webhook_state"))
            .and_where(Expr::col(Alias::new("webhook_id")).is_in(self.webhooks.iter().copied()))
            .and_where(Expr::col(Alias::new("due_at_ms")).is_not_null())
            .limit(1)
            .take();
        async move { Ok(self.database.query_one(&query).await?.is_some()) }.boxed()
    }

    fn pids(&self) -> Vec<u32> {
        self.cores.iter().map(Program::pid).collect()
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
        idempotency_key: format!("message-{streamer_did}-{number}"),
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
