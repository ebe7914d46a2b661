//! Calls at a steady rate, whether they succeed or not; the result of each; and whether the database agrees.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, Statement};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, interval};

use crate::balancer::Balancer;
use crate::harness::identity::SERVICE;
use crate::site::Site;

const CREATE_SECRET: &str = "place.wisp.v2.secret.create";
const LIST_SECRETS: &str = "place.wisp.v2.secret.list";
const CREATE_WEBHOOK: &str = "place.stream.server.createWebhook";

/// How long any wait here may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Calls that go on until they are stopped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    begun: watch::Receiver<usize>,
    sending: JoinHandle<()>,
    rate: u32,
    since: Instant,
}

struct Shared {
    site: Arc<Site>,
    balancer: Arc<Balancer>,
    calls: Mutex<Vec<Call>>,
    stopping: AtomicBool,
}

/// One call, and its attempts.
pub(crate) struct Call {
    what: What,
    pub(crate) tries: Vec<Try>,
}

/// One attempt.
#[derive(Debug)]
pub(crate) struct Try {
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    pub(crate) reply: Reply,
}

/// What a client received.
#[derive(Debug, PartialEq)]
pub(crate) enum Reply {
    /// A success; for a write, the key of its row.
    Done(String),
    /// Status and name of an error.
    Error(u16, String),
    /// No answer.
    Nothing(String),
}

/// Three of four calls are writes. Queries come from a caller who owns nothing, so that they stay cheap.
enum What {
    Secret { caller: usize, name: String },
    Webhook { caller: usize, url: String },
    Query,
}

impl Load {
    /// Begins to send `rate` calls a second through `balancer`. A call that fails is sent once more, at once.
    pub(crate) fn start(site: &Arc<Site>, balancer: &Arc<Balancer>, rate: u32) -> Self {
        let shared = Arc::new(Shared {
            site: Arc::clone(site),
            balancer: Arc::clone(balancer),
            calls: Mutex::default(),
            stopping: AtomicBool::new(false),
        });
        let (sender, begun) = watch::channel(0);
        let sending = tokio::spawn(Arc::clone(&shared).send_all(rate, sender));
        Self { shared, begun, sending, rate, since: Instant::now() }
    }

    /// Waits as long as the calls of this time take to be sent.
    pub(crate) async fn goes_on_for(&mut self, time: Duration) {
        let more = usize::try_from(self.rate * u32::try_from(time.as_millis()).unwrap() / 1000).unwrap();
        let before = *self.begun.borrow();
        let waiting = self.begun.wait_for(|begun| *begun >= before + more);
        tokio::time::timeout(LIMIT, waiting).await.expect("calls are sent in time").unwrap();
    }

    /// Stops, and waits for the calls under way.
    pub(crate) async fn stop(self) -> Seen {
        let Self { shared, begun, sending, rate, since } = self;
        shared.stopping.store(true, Ordering::SeqCst);
        let (sent, time) = (*begun.borrow(), since.elapsed());
        sending.await.unwrap();
        // The rate was as high as the drill says.
        assert!(f64::from(u32::try_from(sent).unwrap()) > 0.95 * f64::from(rate) * time.as_secs_f64());
        let calls = std::mem::take(&mut *shared.calls.lock().unwrap());
        Seen { calls }
    }
}

impl Shared {
    async fn send_all(self: Arc<Self>, rate: u32, begun: watch::Sender<usize>) {
        let mut under_way = JoinSet::new();
        let mut ticks = interval(Duration::from_secs(1) / rate);
        while !self.stopping.load(Ordering::SeqCst) {
            ticks.tick().await;
            let number = *begun.borrow();
            under_way.spawn(Arc::clone(&self).call(number));
            begun.send_replace(number + 1);
            while let Some(ended) = under_way.try_join_next() {
                ended.unwrap();
            }
        }
        while let Some(ended) = under_way.join_next().await {
            ended.unwrap();
        }
    }

    async fn call(self: Arc<Self>, number: usize) {
        let caller = number / 4 % self.site.writers.len();
        let what = match number % 4 {
            0 => What::Query,
            1 => What::Webhook { caller, url: format!("https://hooks.example/{number}") },
            _ => What::Secret { caller, name: format!("n{number}") },
        };
        let mut tries = vec![self.send(&what).await];
        if !tries[0].is_done() {
            tries.push(self.send(&what).await);
        }
        self.calls.lock().unwrap().push(Call { what, tries });
    }

    async fn send(&self, what: &What) -> Try {
        let began = Instant::now();
        let (caller, nsid, input) = match what {
            What::Secret { caller, name } => {
                (&self.site.writers[*caller], CREATE_SECRET, Some(json!({ "name": name })))
            }
            What::Webhook { caller, url } => {
                (&self.site.writers[*caller], CREATE_WEBHOOK, Some(json!({ "url": url, "events": ["chat"] })))
            }
            What::Query => (&self.site.reader, LIST_SECRETS, None),
        };
        let token = caller.token(SERVICE, nsid);
        let sent = self.balancer.send(|client, origin| {
            let url = format!("{origin}/xrpc/{nsid}");
            match &input {
                Some(input) => client.post(url).json(input),
                None => client.get(url),
            }
            .bearer_auth(&token)
        });
        let reply = match sent.await {
            Err(error) => Reply::Nothing(format!("{error:?}")),
            Ok((status, body)) => {
                let body: Value = serde_json::from_str(&body).expect("answers are JSON");
                match status {
                    200 => Reply::Done(what.key(&self.site, &body)),
                    status => Reply::Error(status, body["error"].as_str().unwrap().to_owned()),
                }
            }
        };
        Try { began, ended: Instant::now(), reply }
    }
}

impl What {
    /// The key of the row in the answer.
    fn key(&self, site: &Site, output: &Value) -> String {
        match self {
            Self::Secret { caller, name } => format!("{} {name}", site.writers[*caller].did),
            Self::Webhook { .. } => output["webhook"]["id"].as_str().expect("an id").to_owned(),
            Self::Query => String::new(),
        }
    }

    fn is_write(&self) -> bool {
        !matches!(self, Self::Query)
    }
}

impl Try {
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.reply, Reply::Done(_))
    }

    pub(crate) fn took(&self) -> Duration {
        self.ended - self.began
    }

    /// One of the three errors that say that the service is unavailable.
    pub(crate) fn is_clear(&self) -> bool {
        let Reply::Error(status, name) = &self.reply else { return false };
        [(502, "UpstreamFailure"), (503, "NotEnoughResources"), (504, "UpstreamTimeout")]
            .contains(&(*status, name.as_str()))
    }

    /// The row exists already: the first attempt was carried out.
    fn exists(&self) -> bool {
        matches!(&self.reply, Reply::Error(400, name) if name == "AlreadyExists" || name == "DuplicateWebhook")
    }
}

impl Call {
    /// Whether the call succeeded in the end.
    pub(crate) fn ended_well(&self) -> bool {
        self.tries.last().is_some_and(|last| last.is_done() || last.exists())
    }
}

/// What became of all calls.
pub(crate) struct Seen {
    pub(crate) calls: Vec<Call>,
}

impl Seen {
    /// The tries that failed.
    pub(crate) fn failures(&self) -> Vec<&Try> {
        self.calls.iter().flat_map(|call| &call.tries).filter(|one| !one.is_done() && !one.exists()).collect()
    }

    /// Asserts that nothing failed.
    pub(crate) fn all_succeeded(&self) {
        let failures = self.failures();
        assert!(failures.is_empty(), "{} of {} failed: {failures:#?}", failures.len(), self.calls.len());
    }

    /// The time that all but so many of a thousand of the answered calls took at most.
    pub(crate) fn slowest_but(&self, per_mille: usize) -> Duration {
        let mut times: Vec<_> = self.calls.iter().map(|call| call.tries[0].took()).collect();
        times.sort();
        times[times.len() - 1 - times.len() * per_mille / 1000]
    }

    /// Asserts that every acknowledged write is in the database, that what is there was asked for, and that
    /// the counts of every account are those of its rows.
    pub(crate) async fn is_all_there(&self, site: &Site) {
        let database = Database::connect(site.database_url()).await.unwrap();
        let keys = "SELECT owner_did || ' ' || name AS key FROM secret \
                    UNION ALL SELECT id::text AS key FROM webhook";
        let rows: HashSet<String> = texts(&database, keys).await.into_iter().collect();
        let writes: Vec<&Call> = self.calls.iter().filter(|call| call.what.is_write()).collect();
        let mut acknowledged = 0;
        for one in writes.iter().flat_map(|call| &call.tries) {
            if let Reply::Done(key) = &one.reply {
                assert!(rows.contains(key), "{key} was acknowledged and is not there");
                acknowledged += 1;
            }
        }
        assert!(acknowledged > 0, "nothing was written");
        let asked = writes.len();
        assert!(rows.len() <= asked, "{} rows of {asked} writes", rows.len());
        let wrong = "SELECT did AS key FROM account a \
                     WHERE secrets <> (SELECT count(*) FROM secret WHERE owner_did = a.did) \
                     OR webhooks <> (SELECT count(*) FROM webhook WHERE owner_did = a.did)";
        assert_eq!(texts(&database, wrong).await, Vec::<String>::new(), "miscounted accounts");
        let (slowest, usual) = (self.slowest_but(0), self.slowest_but(10));
        println!(
            "{} calls; the slowest took {slowest:.1?}, all but 1 % at most {usual:.1?}",
            self.calls.len()
        );
        println!("{asked} writes, {acknowledged} acknowledged, all of them among the {} rows", rows.len());
    }
}

/// The column `key` of what `sql` selects.
pub(crate) async fn texts(database: &DatabaseConnection, sql: &str) -> Vec<String> {
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let rows = database.query_all_raw(statement).await.unwrap();
    rows.iter().map(|row| row.try_get("", "key").unwrap()).collect()
}
