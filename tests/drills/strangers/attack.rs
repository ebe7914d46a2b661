//! What strangers do: each kind of attack on connections of its own. All go on, but for the one with answers
//! that nobody takes, which comes once.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{CREATE_SECRET, CREATE_WEBHOOK, LIST_SECRETS};
use crate::harness::directory::{Directory, Reply};
use crate::harness::http2::{
    END_HEADERS, END_STREAM, HEAD_BYTES, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame, frames, get, post,
    preface_with_window_zero, text,
};
use crate::harness::identity::{Identity, Key, SERVICE};

/// Calls at once with invented did:webs, whose names nobody answers for; half of them over HTTP/2.
const INVENTED: usize = 1_060;
/// Callers whose bodies never arrive, and the calls at once of each; half of them over HTTP/2.
const SLOW_CALLERS: usize = 3;
const SLOW_CALLS: usize = 590;
/// Connections whose clients take no answers, and the requests on each. A debug build would be busy with as
/// many as an optimised one gets for minutes.
const UNREAD_CONNECTIONS: usize = if cfg!(debug_assertions) { 200 } else { 1_500 };
const UNREAD_REQUESTS: u32 = 100;
/// Callers who have URLs tried whose names nobody answers for, and the calls at once of each.
const HOOK_CALLERS: usize = 300;
const HOOK_CALLS: usize = 3;
/// Connections without a request.
const IDLE_CONNECTIONS: usize = 8_192;
/// Requests at once on an HTTP/2 connection.
const STREAMS: usize = 50;
/// How long a stranger waits after an answer, as `Retry-After` says, and after the end of a connection. A
/// debug build would be too busy with them to say anything about the limits.
const PAUSE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 5 } else { 1 });

/// Lets this process open enough sockets, and the services that it starts.
pub(super) fn raise_limit_of_files() {
    let Rlimit { current: _, maximum } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// The answers to strangers, by the kind of attack and the status. 0: the connection was closed.
#[derive(Default)]
pub(super) struct Answers(Mutex<BTreeMap<(&'static str, u16), usize>>);

impl Answers {
    fn add(&self, kind: &'static str, status: u16) {
        *self.0.lock().unwrap().entry((kind, status)).or_default() += 1;
    }

    /// Every kind of attack arrived: its calls were refused, its connections closed.
    pub(super) fn is_whole(&self, idle: bool) -> bool {
        let answers = self.0.lock().unwrap();
        let closed = |kind| answers.contains_key(&(kind, 0));
        let refused = |kind| answers.keys().any(|(of, status)| *of == kind && *status >= 400);
        ["invented", "slow", "hooks"].into_iter().all(refused)
            && closed("unread")
            && (!idle || closed("idle"))
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.0.lock().unwrap())
    }
}

/// Strangers who are ready.
pub(super) struct Attack {
    server: SocketAddr,
    address: Ipv4Addr,
    slow: Vec<Identity>,
    hooks: Vec<Identity>,
    number: Arc<AtomicUsize>,
    pub(super) answers: Arc<Answers>,
}

/// One stranger.
#[derive(Clone)]
struct Stranger {
    server: SocketAddr,
    address: Ipv4Addr,
    kind: &'static str,
    answers: Arc<Answers>,
}

/// A call, of which the body is left out or only begun.
struct Call {
    token: String,
    nsid: &'static str,
    /// For a POST: how long the body is said to be, and what is sent of it.
    body: Option<(usize, String)>,
}

impl Attack {
    /// Makes the gateway know the strangers that have a DID.
    pub(super) async fn prepare(directory: &Directory, server: SocketAddr, address: Ipv4Addr) -> Self {
        let known = |kind: &str, count: usize| -> Vec<Identity> {
            let strangers = (0..count).map(|number| {
                let stranger = Identity::new(format!("did:plc:{kind}{number}2222222222x"), Key::k256());
                directory.set(&stranger.did, Reply::Document(stranger.document()));
                stranger
            });
            strangers.collect()
        };
        let (slow, hooks) = (known("slow", SLOW_CALLERS), known("hook", HOOK_CALLERS));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for stranger in slow.iter().chain(&hooks) {
            let request = client.get(format!("http://{server}/xrpc/{LIST_SECRETS}"));
            let request = request.bearer_auth(stranger.token(SERVICE, LIST_SECRETS));
            assert_eq!(request.send().await.unwrap().status(), 200);
        }
        Self { server, address, slow, hooks, number: Arc::default(), answers: Arc::default() }
    }

    /// Begins all attacks, which go on until the result is dropped.
    pub(super) fn start(&self, idle: bool) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let invented = {
            let numbers = Arc::clone(&self.number);
            move || invented(numbers.fetch_add(1, Ordering::Relaxed))
        };
        for _ in 0..INVENTED / 2 {
            tasks.spawn(self.stranger("invented").over_http1(invented.clone()));
        }
        for _ in 0..INVENTED / 2 / STREAMS {
            tasks.spawn(self.stranger("invented").over_http2(invented.clone()));
        }
        for caller in &self.slow {
            let token = caller.token(SERVICE, CREATE_SECRET);
            let call =
                move || Call { token: token.clone(), nsid: CREATE_SECRET, body: Some((12, "{".to_owned())) };
            for _ in 0..SLOW_CALLS / 2 {
                tasks.spawn(self.stranger("slow").over_http1(call.clone()));
            }
            for _ in 0..SLOW_CALLS / 2 / STREAMS {
                tasks.spawn(self.stranger("slow").over_http2(call.clone()));
            }
        }
        for caller in &self.hooks {
            let (token, numbers) = (caller.token(SERVICE, CREATE_WEBHOOK), Arc::clone(&self.number));
            let call = move || {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                let body = format!(r#"{{"url":"https://h{number}.silent.example/","events":["chat"]}}"#);
                Call { token: token.clone(), nsid: CREATE_WEBHOOK, body: Some((body.len(), body)) }
            };
            for _ in 0..HOOK_CALLS {
                tasks.spawn(self.stranger("hooks").over_http1(call.clone()));
            }
        }
        for _ in 0..UNREAD_CONNECTIONS {
            tasks.spawn(self.stranger("unread").takes_no_answers());
        }
        if idle {
            for _ in 0..IDLE_CONNECTIONS {
                tasks.spawn(self.stranger("idle").idles());
            }
        }
        tasks
    }

    fn stranger(&self, kind: &'static str) -> Stranger {
        let (server, address) = (self.server, self.address);
        Stranger { server, address, kind, answers: Arc::clone(&self.answers) }
    }
}

/// A call whose issuer is one of very many did:webs, below very many domains.
fn invented(number: usize) -> Call {
    let did = format!("did:web:h{number}.never{}.example", number % 500);
    let token = Identity::new(did, Key::k256()).forged_token(SERVICE, LIST_SECRETS);
    Call { token, nsid: LIST_SECRETS, body: None }
}

impl Call {
    fn over_http1(&self) -> Vec<u8> {
        let Self { token, nsid, body } = self;
        let (verb, rest) = match body {
            None => ("GET", "\r\n".to_owned()),
            Some((length, sent)) => {
                ("POST", format!("content-type: application/json\r\ncontent-length: {length}\r\n\r\n{sent}"))
            }
        };
        format!("{verb} /xrpc/{nsid} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{rest}").into()
    }

    /// The frame with the head; of the body nothing is sent. The names `content-type` and `authorization` are
    /// those of the static table (RFC 7541, section 6.2.2).
    fn over_http2(&self, stream: u32) -> Vec<u8> {
        let path = format!("/xrpc/{}", self.nsid);
        let (head, flags) = match self.body {
            None => (get(&path), END_STREAM),
            Some(_) => ([&post(&path)[..], &[0x0f, 0x10], &text("application/json")].concat(), 0),
        };
        let token = text(&format!("Bearer {}", self.token));
        frame(HEADERS, END_HEADERS | flags, stream, &[&head[..], &[0x0f, 0x08], &token].concat())
    }
}

impl Stranger {
    async fn connect(&self) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.address, 0).into())?;
        socket.connect(self.server).await
    }

    /// Calls over HTTP/1.1, one call after the other.
    async fn over_http1(self, call: impl Fn() -> Call) {
        loop {
            if let Ok(mut connection) = self.connect().await {
                while let Ok(status) = exchange(&mut connection, &call().over_http1()).await {
                    self.answers.add(self.kind, status);
                    sleep(PAUSE).await;
                }
            }
            self.answers.add(self.kind, 0);
            sleep(PAUSE).await;
        }
    }

    /// Calls over HTTP/2, many at once.
    async fn over_http2(self, call: impl Fn() -> Call) {
        loop {
            if let Ok(mut connection) = self.connect().await {
                let calls = (1..).step_by(2).take(STREAMS).flat_map(|stream| call().over_http2(stream));
                let bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &calls.collect::<Vec<_>>()].concat();
                if connection.write_all(&bytes).await.is_ok() {
                    let _ended = self.answers(&mut connection, STREAMS).await;
                }
            }
            self.answers.add(self.kind, 0);
            sleep(PAUSE).await;
        }
    }

    /// Sends requests without a token and takes no body of an answer.
    async fn takes_no_answers(self) {
        let head = get(&format!("/xrpc/{LIST_SECRETS}"));
        let requests = (1..).step_by(2).take(UNREAD_REQUESTS as usize);
        let requests = requests.flat_map(|stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &head));
        let bytes = [preface_with_window_zero(), requests.collect()].concat();
        if let Ok(mut connection) = self.connect().await
            && connection.write_all(&bytes).await.is_ok()
        {
            let _closed = self.answers(&mut connection, usize::MAX).await;
        }
        self.answers.add(self.kind, 0);
    }

    /// Has a connection and sends nothing.
    async fn idles(self) {
        loop {
            if let Ok(mut connection) = self.connect().await {
                let _closed = connection.read(&mut [0; 64]).await;
            }
            self.answers.add(self.kind, 0);
            sleep(PAUSE).await;
        }
    }

    /// Reads until so many HTTP/2 requests are answered or reset, or the connection ends.
    async fn answers(&self, connection: &mut TcpStream, requests: usize) -> std::io::Result<()> {
        let (mut answered, mut heard) = (0, Vec::new());
        while answered < requests && connection.read_buf(&mut heard).await? > 0 {
            let whole = frames(&heard);
            for (kind, _, _, payload) in &whole {
                match *kind {
                    HEADERS => {
                        answered += 1;
                        self.answers.add(self.kind, status(payload));
                    }
                    RST_STREAM => answered += 1,
                    _ => {}
                }
            }
            let length: usize = whole.iter().map(|(_, _, _, payload)| HEAD_BYTES + payload.len()).sum();
            heard.drain(..length);
        }
        Ok(())
    }
}

/// The status in a header block, whose first field it is: of the static table, or three digits.
fn status(block: &[u8]) -> u16 {
    const OF_THE_TABLE: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    match block {
        [index @ 0x88..=0x8e, ..] => OF_THE_TABLE[usize::from(index - 0x88)],
        // Literal or Huffman-coded: not distinguished.
        _ => 1,
    }
}

/// Sends a request and reads the answer. Returns its status.
async fn exchange(connection: &mut TcpStream, request: &[u8]) -> std::io::Result<u16> {
    connection.write_all(request).await?;
    let mut heard = Vec::new();
    loop {
        if connection.read_buf(&mut heard).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&heard);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return Ok(head.split(' ').nth(1).unwrap().parse().unwrap());
        }
    }
}
