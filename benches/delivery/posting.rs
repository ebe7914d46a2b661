//! The yardstick of deliveries: the same bodies, signed alike, posted to the same receiver by the HTTP client
//! of the core-service, without a database.
//!
//! It has one thread, as the core-service has.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use egress::client::Egress;
use egress::client::deliveries::{Attempted, ConnectionLimits, Deliverer};
use egress::policy::Policy;
use egress::resolver::Resolver;
use http::{HeaderMap, HeaderValue};
use process::clock::Clock;
use process::exit::Failure;
use ring::hmac;
use tokio::task::LocalSet;
use url::Url;
use uuid::Uuid;

use crate::publishing::{TOKEN, WEBHOOKS};
use crate::receiver::{Receiver, text};
use crate::sample::{Sample, Sent, latencies, micros_each, percentile_ms, rate};
use crate::usage;

/// Posts at once.
const POSTS: usize = 64;
/// How long a post may take.
const POST_LIMIT: Duration = Duration::from_secs(15);
/// Where the processor time of this thread is found.
const THIS_THREAD: &str = "/proc/thread-self/stat";
const CONCURRENCY: ConnectionLimits = ConnectionLimits { handshakes: 1024, kept: 1024 };

/// The client, with its connections.
pub(crate) struct Posting {
    runtime: tokio::runtime::Runtime,
    poster: Rc<Poster>,
    receiver: Receiver,
}

struct Poster {
    deliverer: Deliverer,
    urls: Vec<Url>,
    clock: Clock,
    next_number: Cell<u32>,
}

impl Posting {
    /// A client without connections.
    pub(crate) fn new(receiver: &Receiver) -> Result<Self, Failure> {
        let policy = Policy::new(vec!["127.0.0.0/8".parse()?]);
        let egress = Egress::new(policy, Resolver::new(&[])?, None)?;
        let origins = receiver.origins().cycle().take(WEBHOOKS).enumerate();
        let urls = origins.map(|(number, origin)| format!("{origin}/hooks/{number}").parse());
        let poster = Poster {
            deliverer: Deliverer::new(&egress, CONCURRENCY),
            urls: urls.collect::<Result<_, _>>()?,
            clock: Clock::system(),
            next_number: Cell::new(0),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, poster: Rc::new(poster), receiver: receiver.clone() })
    }

    /// Posts for `length`: as fast as it can, or once after each `pause`.
    pub(crate) fn run(&self, length: Duration, pause: Option<Duration>) -> Result<Sample, Failure> {
        let first = self.poster.next_number.get();
        let cpu_before = usage::cpu_in(THIS_THREAD)?;
        let started = Instant::now();
        let times = Rc::new(RefCell::new(Vec::new()));
        let posts = LocalSet::new();
        let tasks: Vec<_> = (0..if pause.is_some() { 1 } else { POSTS })
            .map(|_| {
                let (poster, times) = (Rc::clone(&self.poster), Rc::clone(&times));
                posts.spawn_local(async move {
                    let mut ticks = pause.map(tokio::time::interval);
                    while started.elapsed() < length {
                        if let Some(ticks) = &mut ticks {
                            ticks.tick().await;
                        }
                        times.borrow_mut().push(Instant::now());
                        poster.post().await?;
                    }
                    Ok::<_, Failure>(())
                })
            })
            .collect();
        self.runtime.block_on(posts.run_until(async {
            for task in tasks {
                task.await??;
            }
            Ok::<_, Failure>(())
        }))?;
        let posted_in = started.elapsed();
        let cpu = usage::cpu_in(THIS_THREAD)? - cpu_before;
        let times = times.take();
        let count = times.len();
        let latencies = latencies(&Sent { first, times }, &self.receiver.take(), 1)?;
        Ok(Sample {
            events_per_s: f64::NAN,
            deliveries_per_s: rate(count, posted_in),
            p50_ms: percentile_ms(&latencies, 50),
            p99_ms: percentile_ms(&latencies, 99),
            cpu_us: micros_each(cpu, count),
            cpu_with_database_us: f64::NAN,
        })
    }
}

impl Poster {
    async fn post(&self) -> Result<(), Failure> {
        let number = self.next_number.get();
        self.next_number.set(number + 1);
        let url = &self.urls[number as usize % self.urls.len()];
        let body = body(number);
        let headers = headers(number, self.clock.unix_seconds(), body.as_bytes())?;
        let deadline = tokio::time::Instant::now() + POST_LIMIT;
        match self.deliverer.post(url, headers, Bytes::from(body), deadline).await {
            Attempted::Answered(answered) if answered.status.is_success() => Ok(()),
            other => Err(format!("a post failed: {other:?}").into()),
        }
    }
}

/// The body of a delivery of [`crate::publishing`].
pub(crate) fn body(number: u32) -> String {
    format!(
        concat!(
            r#"{{"type":"chat","timestamp":"2026-11-28T20:15:00.123Z","data":{{"#,
            r#""streamerDid":"did:web:streamer-0.of-50.example","author":{{"#,
            r#""did":"did:plc:z72i7hdynmk6r22z27h6tvur","handle":"carol.example"}},"text":"{}","#,
            r#""uri":"at://did:plc:z72i7hdynmk6r22z27h6tvur/place.stream.chat.message/3m6k2xq7v2c2a"}}}}"#,
        ),
        text(number)
    )
}

/// The header fields of a delivery (docs/delivery.md, "The request").
fn headers(number: u32, unix_seconds: i64, body: &[u8]) -> Result<HeaderMap, Failure> {
    let id = format!("msg_{}", Uuid::from_u128(number.into()));
    let key = STANDARD.decode(TOKEN.trim_start_matches("whsec_"))?;
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
    context.update(format!("{id}.{unix_seconds}.").as_bytes());
    context.update(body);
    let signature = format!("v1,{}", STANDARD.encode(context.sign()));
    let mut hex = "sha256=".to_owned();
    for byte in hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, TOKEN.as_bytes()), body).as_ref() {
        write!(hex, "{byte:02x}")?;
    }
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("user-agent", HeaderValue::from_static(concat!("athook/", env!("CARGO_PKG_VERSION"))));
    headers.insert("webhook-timestamp", HeaderValue::from(unix_seconds));
    headers.insert("idempotency-key", Uuid::from_u128(number.into()).to_string().parse()?);
    headers.insert("webhook-signature", signature.parse()?);
    headers.insert("x-webhook-signature", hex.parse()?);
    headers.insert("webhook-id", id.parse()?);
    Ok(headers)
}
