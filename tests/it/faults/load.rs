//! Writes from many callers at once through one gateway, what became of each, and whether the database
//! agrees.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use sea_orm::DatabaseConnection;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::harness::answer::Answer;
use crate::harness::database::{Database, assert_counted, number};
use crate::harness::gateway::Gateway;
use crate::harness::identity::{Identity, Key};
use crate::harness::processes::{self, Service};
use crate::harness::stack::{CREATE_SECRET, CREATE_WEBHOOK, read};

/// Repetitions at once.
const REPEATS: usize = 16;
/// How long any wait here may take.
const LIMIT: Duration = Duration::from_secs(90);

/// A core-service as a process, without the limits that a load would meet.
pub(super) fn core_service(url: &str) -> processes::Setup {
    Service::core_service(url).flag("--max-secrets", "1000000").flag("--max-webhooks", "1000000")
}

/// A gateway before `core` without a rate limit, once the core-service is ready.
pub(crate) async fn gateway(core: std::net::SocketAddr) -> Arc<Gateway> {
    let gateway = Gateway::before(core).flag("--rate-limit", "0").start().await;
    until_ready(&gateway).await;
    Arc::new(gateway)
}

/// Asks `/readyz` until it is.
pub(crate) async fn until_ready(gateway: &Gateway) {
    until_readiness_is(gateway, 200).await;
}

/// Asks `/readyz` until it is not.
pub(super) async fn until_unready(gateway: &Gateway) {
    until_readiness_is(gateway, 503).await;
}

async fn until_readiness_is(gateway: &Gateway, status: u16) {
    let client = reqwest::Client::new();
    let url = format!("http://{}/readyz", gateway.address);
    let asking = async { while read(client.get(&url)).await.status != status {} };
    tokio::time::timeout(LIMIT, asking).await.unwrap_or_else(|_| panic!("/readyz is not {status} in time"));
}

/// One write.
#[derive(Clone, PartialEq)]
struct Write {
    caller: usize,
    nsid: &'static str,
    input: Value,
}

#[derive(Default)]
struct Seen {
    acknowledged: Vec<Write>,
    failed: Vec<Write>,
}

/// Writes that go on until they are stopped.
pub(super) struct Load {
    shared: Arc<Shared>,
    counts: watch::Receiver<(usize, usize)>,
    tasks: JoinSet<()>,
}

struct Shared {
    gateway: Arc<Gateway>,
    callers: Vec<Identity>,
    seen: Mutex<Seen>,
    counts: watch::Sender<(usize, usize)>,
    stopping: AtomicBool,
}

impl Load {
    /// Starts to create secrets and webhooks, each under a new name or URL.
    pub(super) fn start(gateway: &Arc<Gateway>) -> Self {
        let callers: Vec<Identity> = ("abcdefghijklmnop".chars())
            .map(|letter| Identity::new(format!("did:plc:{}", letter.to_string().repeat(24)), Key::k256()))
            .collect();
        for caller in &callers {
            gateway.knows(caller);
        }
        let (sender, counts) = watch::channel((0, 0));
        let shared = Arc::new(Shared {
            gateway: Arc::clone(gateway),
            callers,
            seen: Mutex::default(),
            counts: sender,
            stopping: AtomicBool::new(false),
        });
        let tasks = (0..shared.callers.len()).map(|caller| Arc::clone(&shared).write(caller)).collect();
        Self { shared, counts, tasks }
    }

    /// Waits until so many more writes were acknowledged.
    pub(super) async fn acknowledged(&mut self, more: usize) {
        let (before, _) = *self.counts.borrow();
        let waiting = self.counts.wait_for(|(acknowledged, _)| *acknowledged >= before + more);
        tokio::time::timeout(LIMIT, waiting).await.expect("writes are acknowledged in time").unwrap();
    }

    /// Waits until so many more writes have failed.
    pub(super) async fn failed(&mut self, more: usize) {
        let (_, before) = *self.counts.borrow();
        let waiting = self.counts.wait_for(|(_, failed)| *failed >= before + more);
        tokio::time::timeout(LIMIT, waiting).await.expect("writes fail in time").unwrap();
    }

    /// Stops and waits for the writes under way.
    pub(super) async fn stop(mut self) -> Done {
        self.shared.stopping.store(true, Ordering::SeqCst);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        let seen = std::mem::take(&mut *self.shared.seen.lock().unwrap());
        Done { shared: self.shared, seen }
    }
}

impl Shared {
    async fn write(self: Arc<Self>, caller: usize) {
        let mut number = 0;
        while !self.stopping.load(Ordering::SeqCst) {
            number += 1;
            let (nsid, input) = match number % 2 {
                0 => (CREATE_SECRET, json!({ "name": format!("n{number}") })),
                _ => {
                    let url = format!("https://hooks.example/{number}");
                    (CREATE_WEBHOOK, json!({ "url": url, "events": ["chat"] }))
                }
            };
            let write = Write { caller, nsid, input };
            let answer = self.send(&write).await;
            let mut seen = self.seen.lock().unwrap();
            if answer.status == 200 {
                seen.acknowledged.push(write);
            } else {
                unavailable(&answer);
                seen.failed.push(write);
            }
            self.counts.send_replace((seen.acknowledged.len(), seen.failed.len()));
        }
    }

    async fn send(&self, write: &Write) -> Answer {
        let Write { caller, nsid, input } = write;
        self.gateway.call(&self.callers[*caller], nsid, input).await
    }
}

/// Asserts one of the three errors that say that the service is unavailable, with its fixed text.
pub(super) fn unavailable(answer: &Answer) {
    let (name, text) = match answer.status.as_u16() {
        502 => ("UpstreamFailure", "a service that this one depends on does not answer"),
        503 => ("NotEnoughResources", "too busy or not ready; try again later"),
        504 => ("UpstreamTimeout", "the request took too long; it may or may not have been carried out"),
        _ => panic!("{answer:?}"),
    };
    assert_eq!(answer.error(answer.status.as_u16(), name), text);
}

/// What a load has seen.
pub(super) struct Done {
    shared: Arc<Shared>,
    seen: Seen,
}

impl Done {
    /// How many writes failed.
    pub(super) fn failures(&self) -> usize {
        self.seen.failed.len()
    }

    /// Asserts that every acknowledged write is in the database, that nothing is there that was not asked
    /// for, and that every account's counts are those of its rows; and that creating what was acknowledged
    /// again says that it exists.
    pub(super) async fn is_all_there(&self, database: &Database) {
        let connection = database.connect().await;
        self.rows_agree(&connection).await;
        connection.close().await.unwrap();
        self.all_exist().await;
    }

    /// Asserts that creating what was acknowledged again says that it exists.
    pub(super) async fn all_exist(&self) {
        let repeated = self.seen.acknowledged.iter().map(async |write| {
            let name = if write.nsid == CREATE_SECRET { "AlreadyExists" } else { "DuplicateWebhook" };
            self.shared.send(write).await.error(400, name);
        });
        futures_util::stream::iter(repeated).buffer_unordered(REPEATS).collect::<Vec<()>>().await;
    }

    /// Waits until writing goes on, and asserts that nothing of a write that failed is in the database: all
    /// of them succeed now.
    pub(super) async fn failed_left_nothing(&self) {
        let (first, rest) = self.seen.failed.split_first().expect("some have failed");
        let first = async { while self.shared.send(first).await.status != 200 {} };
        tokio::time::timeout(LIMIT, first).await.expect("writing goes on in time");
        for write in rest {
            self.shared.send(write).await.ok();
        }
    }

    /// The part of [`is_all_there`](Self::is_all_there) that looks into the database.
    pub(super) async fn rows_agree(&self, connection: &DatabaseConnection) {
        for (nsid, table) in [(CREATE_SECRET, "secret"), (CREATE_WEBHOOK, "webhook")] {
            let of = |writes: &[Write]| writes.iter().filter(|write| write.nsid == nsid).count();
            let rows = number(connection, &format!("SELECT count(*) FROM {table}")).await;
            let (acknowledged, failed) = (of(&self.seen.acknowledged), of(&self.seen.failed));
            assert!(rows >= acknowledged, "{table}: {rows} of {acknowledged} acknowledged");
            assert!(rows <= acknowledged + failed, "{table}: {rows} of {acknowledged} and {failed}");
        }
        assert_counted(connection).await;
    }
}
