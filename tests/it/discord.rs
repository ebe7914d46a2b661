//! A receiver with Discord's rules: nothing that is sent to it is refused, its limits hold the webhook or all
//! of its webhooks, in all replicas, and a webhook that it does not know is turned off.

#[path = "../../core-service/src/delivery/format/discord/rules.rs"]
mod rules;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use proto::athook::event::Payload;
use proto::athook::{Actor, Event, Follow, Livestream, Mention, StreamReceived};
use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::json;
use tokio::time::Instant;

use crate::harness::database::{Database, Kind};
use crate::harness::direct::Direct;
use crate::harness::hook::{Hook, Received};
use crate::harness::on_both;
use crate::harness::processes::Service;
use crate::harness::publisher::{Publisher, chat};
use fakes::dns::Dns;

on_both! {
    takes_hostile_events, shared_limit_holds_the_webhook, global_limit_holds_all_of_discord,
    used_up_limit_holds_before_it_is_refused, unknown_webhook_is_turned_off
}

const STREAMER: &str = "did:plc:streamer2222222222222222";
/// How long the receiver asks to wait.
const WAIT: Duration = Duration::from_millis(2_500);

/// Core-services on one database, two where replicas can share it, that find Discord on loopback.
struct Cores {
    database: Database,
    direct: Direct,
    addresses: Vec<SocketAddr>,
    _dns: Dns,
    _services: Vec<Service>,
}

impl Cores {
    async fn start(kind: Kind) -> Self {
        let database = Database::create(kind, false).await;
        let dns = Dns::start().await;
        for name in ["discord.com.", "ptb.discord.com.", "hooks.test."] {
            dns.set(name, &["127.0.0.1"]);
        }
        let mut services = Vec::new();
        for _ in 0..if kind == Kind::Postgres { 2 } else { 1 } {
            let setup = database
                .core_service_for_loopback()
                .flag("--dns-servers", &dns.address.to_string())
                .flag("--retry-schedule", "10ms,10ms,10ms");
            services.push(setup.start().await);
        }
        let addresses: Vec<SocketAddr> = services.iter().map(|service| service.address).collect();
        let direct = Direct::to(addresses[0]).await;
        Self { database, direct, addresses, _dns: dns, _services: services }
    }

    /// Publishes a chat message by the replica of this number.
    async fn chat(&self, replica: usize, streamer: &str, key: &str) {
        let address = self.addresses[replica % self.addresses.len()];
        let key = format!("{streamer} {key}");
        assert_eq!(Publisher::of(address).chat(streamer, &key, "hello").await.deliveries, 1);
    }

    /// Waits until this query of the database finds something.
    async fn until(&self, query: &str) {
        let connection = self.database.connect().await;
        let asking = async {
            let statement = || Statement::from_string(connection.get_database_backend(), query);
            while connection.query_one_raw(statement()).await.unwrap().is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), asking).await.unwrap_or_else(|_| panic!("{query}"));
    }
}

/// A receiver that answers as Discord does, except where the test says something else.
struct Discord {
    hook: Hook,
    /// Why it has refused requests.
    refusals: Arc<Mutex<Vec<String>>>,
}

impl Discord {
    async fn start(answer: impl Fn(usize, &Received) -> Option<Response> + Send + Sync + 'static) -> Self {
        let refusals = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&refusals);
        let hook = Hook::answering(move |number, received| {
            if let Some(why) = rules::refusal(&received.body) {
                let body =
                    json!({ "message": "Invalid Form Body", "code": 50035, "errors": why }).to_string();
                noted.lock().unwrap().push(why);
                return (StatusCode::BAD_REQUEST, body).into_response();
            }
            answer(number, received).unwrap_or_else(|| StatusCode::NO_CONTENT.into_response())
        })
        .await;
        Self { hook, refusals }
    }

    /// A webhook's URL, on this host.
    fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.hook.address.port())
    }
}

/// A 429 of this scope (<https://docs.discord.com/developers/topics/rate-limits>).
fn too_many(scope: &'static str) -> Response {
    let seconds = WAIT.as_secs_f64();
    let is_global = scope == "global";
    let body =
        json!({ "message": "You are being rate limited.", "retry_after": seconds, "global": is_global });
    let mut response = (StatusCode::TOO_MANY_REQUESTS, body.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert("content-type", "application/json".parse().unwrap());
    headers.insert("x-ratelimit-scope", scope.parse().unwrap());
    headers.insert("retry-after", "3".parse().unwrap());
    if is_global {
        headers.insert("x-ratelimit-global", "true".parse().unwrap());
    } else {
        headers.insert("x-ratelimit-limit", "5".parse().unwrap());
        headers.insert("x-ratelimit-remaining", "0".parse().unwrap());
        headers.insert("x-ratelimit-reset-after", "2.5".parse().unwrap());
        headers.insert("x-ratelimit-bucket", "abcd1234".parse().unwrap());
    }
    response
}

/// Events of all types with texts that are made to break a receiver.
fn hostile_events() -> Vec<Event> {
    let names = [
        None,
        Some("discord.example".to_owned()),
        Some("CLYDE".to_owned()),
        Some("dis\u{200b}cord".to_owned()),
        Some("everyone".to_owned()),
        Some("\u{20dd}\u{301}".repeat(60)),
        Some("𝒟".repeat(200)),
    ];
    let texts = [
        "@everyone <@&1> <@1>".to_owned(),
        "🔴e\u{301}".repeat(1_500),
        " ".repeat(2_000) + "a",
        "\n\u{1c}\u{3000}".to_owned(),
        String::new(),
        "a".repeat(5_000),
    ];
    let mut events = Vec::new();
    let mut add = |payload| {
        let mut event = chat(STREAMER, &format!("hostile {}", events.len()), "");
        event.payload = Some(payload);
        events.push(event);
    };
    for name in names {
        let avatar_url = Some("http://localhost/a.png".to_owned());
        let author =
            Some(Actor { did: "did:web:clyde.example".to_owned(), handle: name.clone(), avatar_url });
        add(Payload::Follow(Follow { follower: author.clone() }));
        for text in &texts {
            let (text, uri) = (text.clone(), String::new());
            add(Payload::Mention(Mention { author: author.clone(), text: text.clone(), uri: uri.clone() }));
            add(Payload::Chat(proto::athook::Chat { author: author.clone(), text: text.clone(), uri }));
            let url = "https://a_b.example/".to_owned();
            let host = Some("h".repeat(300));
            let thumbnail_url = Some(format!("https://cdn.example/{}", "a".repeat(3_000)));
            let (handle, title) = (name.clone(), text);
            add(Payload::Livestream(Livestream { handle, title, url, host, thumbnail_url, post_uri: None }));
        }
    }
    add(Payload::StreamReceived(StreamReceived {}));
    events
}

async fn takes_hostile_events(kind: Kind) {
    let cores = Cores::start(kind).await;
    let mut discord = Discord::start(|_, _| None).await;
    let url = discord.url("discord.com", "/api/webhooks/1/a");
    let all = ["chat", "follow", "livestream", "mention", "stream.received"];
    cores.direct.create_active_webhook_for(STREAMER, &url, &all).await.unwrap();
    let events = hostile_events();
    let results = Publisher::of(cores.addresses[0]).publish(events.clone()).await.unwrap();
    assert_eq!(results.iter().map(|one| one.deliveries as usize).sum::<usize>(), events.len());
    // Blank ones are not sent, and done as well.
    let all = format!("SELECT COUNT(*) FROM delivery WHERE state = 1 HAVING COUNT(*) = {}", events.len());
    cores.until(&all).await;
    assert_eq!(*discord.refusals.lock().unwrap(), Vec::<String>::new());
    let mut requests = 0;
    while let Some(received) = discord.hook.waiting() {
        assert_eq!(received.json()["allowed_mentions"], json!({ "parse": [] }));
        requests += 1;
    }
    // Each name has two blank chat messages and two blank mentions; the line of a livestream is never blank,
    // and a chat message that is blank where it is cut is not sent either.
    assert_eq!(requests, events.len() - 7 * 2 * 3);
}

async fn shared_limit_holds_the_webhook(kind: Kind) {
    let cores = Cores::start(kind).await;
    let limited = Arc::new(Mutex::new(None));
    let at = Arc::clone(&limited);
    let mut discord = Discord::start(move |_, received| {
        let mut at = at.lock().unwrap();
        (received.path == "/api/webhooks/1/a" && at.is_none()).then(|| {
            *at = Some(Instant::now());
            too_many("shared")
        })
    })
    .await;
    let (one, other) = ("did:plc:one", "did:plc:other");
    let url = |path| discord.url("discord.com", path);
    cores.direct.create_active_webhook(one, &url("/api/webhooks/1/a")).await.unwrap();
    cores.direct.create_active_webhook(other, &url("/api/webhooks/2/b")).await.unwrap();
    cores.chat(0, one, "k").await;
    discord.hook.next().await;
    cores.until("SELECT 1 FROM webhook_state WHERE held_until_ms IS NOT NULL").await;
    for replica in 0..2 {
        cores.chat(replica, one, &format!("l{replica}")).await;
        cores.chat(replica, other, &format!("l{replica}")).await;
    }
    let limited = limited.lock().unwrap().unwrap();
    let mut of_other = 0;
    let mut of_one = 0;
    for _ in 0..5 {
        let received = discord.hook.next().await;
        if received.path == "/api/webhooks/2/b" {
            assert!(limited.elapsed() < WAIT, "the other webhook was held too");
            of_other += 1;
        } else {
            assert!(limited.elapsed() >= WAIT, "{received:?} after {:?}", limited.elapsed());
            of_one += 1;
        }
    }
    assert_eq!((of_one, of_other), (3, 2));
    cores.until("SELECT COUNT(*) FROM webhook_state WHERE error_count = 0 HAVING COUNT(*) = 2").await;
}

async fn global_limit_holds_all_of_discord(kind: Kind) {
    let cores = Cores::start(kind).await;
    let limited = Arc::new(Mutex::new(None));
    let at = Arc::clone(&limited);
    let mut discord = Discord::start(move |number, _| {
        (number == 0).then(|| {
            *at.lock().unwrap() = Some(Instant::now());
            too_many("global")
        })
    })
    .await;
    let mut elsewhere = Hook::start().await;
    let (one, other, third) = ("did:plc:one", "did:plc:other", "did:plc:third");
    let create = async |owner, url: &str| cores.direct.create_active_webhook(owner, url).await.unwrap();
    create(one, &discord.url("discord.com", "/api/webhooks/1/a")).await;
    create(other, &discord.url("ptb.discord.com", "/api/webhooks/2/b")).await;
    create(third, &format!("http://hooks.test:{}/", elsewhere.address.port())).await;
    cores.chat(0, one, "k").await;
    discord.hook.next().await;
    cores.until("SELECT 1 FROM host_hold").await;
    for replica in 0..2 {
        cores.chat(replica, other, &format!("l{replica}")).await;
        cores.chat(replica, third, &format!("l{replica}")).await;
    }
    let limited = limited.lock().unwrap().unwrap();
    for _ in 0..2 {
        elsewhere.next().await;
    }
    assert!(limited.elapsed() < WAIT, "a host that is not Discord was held too");
    for _ in 0..3 {
        discord.hook.next().await;
        assert!(limited.elapsed() >= WAIT, "after {:?}", limited.elapsed());
    }
}

async fn used_up_limit_holds_before_it_is_refused(kind: Kind) {
    let cores = Cores::start(kind).await;
    let last = Arc::new(Mutex::new(None::<Instant>));
    // One request in each period.
    let mut discord = Discord::start(move |_, _| {
        let mut last = last.lock().unwrap();
        if last.is_some_and(|last| last.elapsed() < WAIT) {
            return Some(too_many("user"));
        }
        *last = Some(Instant::now());
        let headers =
            [("x-ratelimit-limit", "1"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset-after", "2.5")];
        Some((StatusCode::NO_CONTENT, headers).into_response())
    })
    .await;
    cores
        .direct
        .create_active_webhook(STREAMER, &discord.url("discord.com", "/api/webhooks/1/a"))
        .await
        .unwrap();
    cores.chat(0, STREAMER, "k").await;
    discord.hook.next().await;
    cores.until("SELECT 1 FROM webhook_state WHERE held_until_ms IS NOT NULL").await;
    cores.chat(1, STREAMER, "l").await;
    cores.until("SELECT COUNT(*) FROM delivery WHERE state = 1 AND attempts = 1 HAVING COUNT(*) = 2").await;
}

async fn unknown_webhook_is_turned_off(kind: Kind) {
    let cores = Cores::start(kind).await;
    let discord = Discord::start(|_, received| {
        let code = if received.path.ends_with("/gone") { 10_015 } else { 10_003 };
        let body = json!({ "message": "Unknown", "code": code }).to_string();
        Some((StatusCode::NOT_FOUND, body).into_response())
    })
    .await;
    for (owner, path) in
        [("did:plc:gone", "/api/webhooks/1/gone"), ("did:plc:other", "/api/webhooks/2/other")]
    {
        cores.direct.create_active_webhook(owner, &discord.url("discord.com", path)).await.unwrap();
        cores.chat(0, owner, "k").await;
    }
    cores.until("SELECT COUNT(*) FROM delivery WHERE state = 2 AND attempts = 1 HAVING COUNT(*) = 2").await;
    cores
        .until("SELECT COUNT(*) FROM webhook_state WHERE disabled_reason = 'gone' HAVING COUNT(*) = 1")
        .await;
    let off = Publisher::of(cores.addresses[0]).chat("did:plc:gone", "l", "hello").await;
    assert_eq!(off.deliveries, 0);
    cores.chat(0, "did:plc:other", "l").await;
}
