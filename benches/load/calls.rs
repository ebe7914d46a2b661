//! The calls: two procedures, with a new name each time, and the tokens of their callers.

use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use process::exit::Failure;
use serde_json::json;

use crate::identity::{Identity, Key, unix_seconds};
use crate::programs::SERVICE;

/// The number of callers. Each has its own key.
const CALLERS: u8 = 64;
/// How long tokens are valid, in seconds: longer than any measurement, within the hour that the gateway
/// accepts.
const TOKEN_LIFE_S: i64 = 1_800;
/// Fresh tokens for each second of a measurement, on one connection and on more; one that needs more ends
/// early.
const MOST_CALLS_ALONE: u64 = 6_000;
const MOST_CALLS: u64 = 15_000;

/// The next number for a name or URL.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

/// A number that is unique in this run.
pub(crate) fn fresh_number() -> u64 {
    NEXT_NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// A procedure to call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Procedure {
    CreateSecret,
    CreateWebhook,
}

impl Procedure {
    pub(crate) fn nsid(self) -> &'static str {
        match self {
            Self::CreateSecret => "place.wisp.v2.secret.create",
            Self::CreateWebhook => "place.stream.server.createWebhook",
        }
    }

    /// The path of its rpc, which Envoy's transcoder serves.
    fn rpc(self) -> &'static str {
        match self {
            Self::CreateSecret => "athook.v1.SecretService/CreateSecret",
            Self::CreateWebhook => "athook.v1.WebhookService/CreateWebhook",
        }
    }

    /// The input, without its opening brace.
    fn body(self, number: u64) -> String {
        match self {
            Self::CreateSecret => format!(r#""name":"deploys-{number:012}"}}"#),
            Self::CreateWebhook => format!(
                concat!(
                    r#""url":"{}","events":["chat","livestream"],"active":true,"name":"Bridge","#,
                    r#""rewrite":[{{"from":"cat","to":"dog"}}],"muteWords":["spoiler"]}}"#
                ),
                url(number)
            ),
        }
    }
}

impl fmt::Display for Procedure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CreateSecret => "secret.create",
            Self::CreateWebhook => "createWebhook",
        })
    }
}

/// The URL of a webhook.
pub(crate) fn url(number: u64) -> String {
    format!("https://hooks.example/api/webhooks/{number:012}")
}

/// The form of the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// XRPC, with a service-auth token.
    Xrpc,
    /// For Envoy's transcoder: the caller's DID is in the body, and nothing is verified.
    Transcoded,
}

/// The tokens of the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Tokens {
    /// A new one for each call.
    Fresh,
    /// One for each caller, which the gateway has already verified.
    Seen,
}

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh => "fresh",
            Self::Seen => "seen",
        })
    }
}

/// The identities that make the calls.
pub(crate) struct Callers {
    identities: Vec<Identity>,
}

impl Callers {
    /// Generates keys and writes the DID documents into the new folder `documents`.
    pub(crate) fn make(documents: &Path) -> Result<Self, Failure> {
        std::fs::create_dir(documents)?;
        let mut identities = Vec::new();
        for number in 0..CALLERS {
            let [high, low] = [number / 8, number % 8].map(|digit| char::from(b'a' + digit));
            let identity = Identity::new(format!("did:plc:benchcallerbenchcaller{high}{low}"), Key::k256());
            let file = documents.join(format!("{number}.json"));
            std::fs::write(file, identity.document().to_string())?;
            identities.push(identity);
        }
        Ok(Self { identities })
    }

    /// Their DIDs.
    pub(crate) fn dids(&self) -> impl ExactSizeIterator<Item = &str> {
        self.identities.iter().map(|identity| identity.did.as_str())
    }

    /// A token of the first caller.
    pub(crate) fn token(&self, procedure: Procedure) -> String {
        self.sign(procedure, 0)
    }

    /// Signs a new token of the caller whose turn it is.
    fn sign(&self, procedure: Procedure, turn: usize) -> String {
        let now = unix_seconds();
        let identity = &self.identities[turn % self.identities.len()];
        identity.sign(&json!({
            "iat": now,
            "iss": identity.did,
            "aud": SERVICE,
            "exp": now + TOKEN_LIFE_S,
            "lxm": procedure.nsid(),
            "jti": fresh_number(),
        }))
    }

    /// Signs `count` tokens, on all processors.
    fn sign_many(&self, procedure: Procedure, count: usize) -> Vec<String> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let turns: Vec<usize> = (0..count).collect();
        std::thread::scope(|scope| {
            let parts = turns.chunks(count.div_ceil(threads).max(1));
            let signing: Vec<_> = parts
                .map(|part| scope.spawn(|| part.iter().map(|turn| self.sign(procedure, *turn)).collect()))
                .collect();
            let signed = signing.into_iter().map(|part| part.join().expect("signing does not panic"));
            signed.collect::<Vec<Vec<String>>>().concat()
        })
    }
}

/// The calls of one measurement, shared by all connections.
pub(crate) struct Calls {
    procedure: Procedure,
    dialect: Dialect,
    dids: Vec<String>,
    tokens: Vec<String>,
    /// Whether tokens are used more than once.
    repeat: bool,
    taken: AtomicUsize,
}

impl Calls {
    /// Signs the tokens for `length`.
    pub(crate) fn sign(
        callers: &Callers,
        dialect: Dialect,
        procedure: Procedure,
        tokens: Tokens,
        connections: usize,
        length: Duration,
    ) -> Self {
        let repeat = tokens == Tokens::Seen;
        let count = if repeat {
            callers.dids().len()
        } else {
            let most = if connections == 1 { MOST_CALLS_ALONE } else { MOST_CALLS };
            usize::try_from(most * length.as_secs()).unwrap_or(usize::MAX)
        };
        let tokens = callers.sign_many(procedure, count);
        let dids = callers.dids().map(str::to_owned).collect();
        Self { procedure, dialect, dids, tokens, repeat, taken: AtomicUsize::new(0) }
    }

    /// One request for each token that is used more than once.
    pub(crate) fn for_each_repeated_token(&self) -> impl Iterator<Item = Vec<u8>> {
        let tokens = if self.repeat { self.tokens.as_slice() } else { &[] };
        (0..tokens.len()).map(|turn| {
            let mut request = Vec::new();
            self.write(turn, &tokens[turn], &mut request);
            request
        })
    }

    /// Replaces `request` by the next request. False: all tokens are used up.
    pub(crate) fn next(&self, request: &mut Vec<u8>) -> bool {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        let at = if self.repeat { taken % self.tokens.len() } else { taken };
        let Some(token) = self.tokens.get(at) else { return false };
        self.write(at, token, request);
        true
    }

    fn write(&self, turn: usize, token: &str, request: &mut Vec<u8>) {
        let body = self.procedure.body(fresh_number());
        request.clear();
        let written = match self.dialect {
            Dialect::Xrpc => write!(
                request,
                "POST /xrpc/{} HTTP/1.1\r\nhost: hooks.example\r\nauthorization: Bearer {token}\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{{{body}",
                self.procedure.nsid(),
                body.len() + 1
            ),
            Dialect::Transcoded => {
                let caller = format!(r#"{{"callerDid":"{}","#, self.dids[turn % self.dids.len()]);
                write!(
                    request,
                    "POST /{} HTTP/1.1\r\nhost: hooks.example\r\n\
                     content-type: application/json\r\ncontent-length: {}\r\n\r\n{caller}{body}",
                    self.procedure.rpc(),
                    caller.len() + body.len()
                )
            }
        };
        written.expect("a Vec takes everything");
    }
}
