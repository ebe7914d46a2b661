//! What is called: the two procedures with a fresh name each time, and the tokens that say who calls.

use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use process::exit::Failure;
use serde_json::json;

use crate::identity::{Identity, Key, unix_seconds};

/// The service that tokens are for.
pub(crate) const SERVICE: &str = "did:web:hooks.example";
/// Callers. Each has a key of its own.
const CALLERS: u8 = 64;
/// How long tokens hold, in seconds: longer than any measurement, within the hour that the gateway accepts.
const TOKEN_LIFE_S: i64 = 1_800;
/// Calls in a second for which fresh tokens are signed; a measurement that needs more ends earlier.
const MOST_CALLS_ALONE: u64 = 6_000;
const MOST_CALLS: u64 = 15_000;

/// Numbers for names and URLs that nobody had before in this run.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

/// A number that nobody had before in this run.
pub(crate) fn fresh_number() -> u64 {
    NEXT_NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// What is called.
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

    /// The path of its rpc, as Envoy's transcoder has it.
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

/// How calls are spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// As XRPC, with a token that says who calls.
    Xrpc,
    /// As Envoy's transcoder has it: nothing is verified, and who calls is in the body.
    Transcoded,
}

/// Which tokens the calls bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Tokens {
    /// One that the gateway has not seen, for each call.
    Fresh,
    /// One of each caller, which the gateway has seen.
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

/// Those who call.
pub(crate) struct Callers {
    identities: Vec<Identity>,
}

impl Callers {
    /// Makes keys, and writes the DID documents into `documents`, a folder that is not there yet.
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

    /// A token of the first of them.
    pub(crate) fn token(&self, procedure: Procedure) -> String {
        self.sign(procedure, 0)
    }

    /// A token that was never there before, of each caller by turns.
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

    /// Tokens, signed on all processors.
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

/// The calls of one measurement, taken one after the other by all connections.
pub(crate) struct Calls {
    procedure: Procedure,
    dialect: Dialect,
    dids: Vec<String>,
    tokens: Vec<String>,
    /// The tokens come again and again.
    again: bool,
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
        let again = tokens == Tokens::Seen;
        let count = if again {
            callers.dids().len()
        } else {
            let most = if connections == 1 { MOST_CALLS_ALONE } else { MOST_CALLS };
            usize::try_from(most * length.as_secs()).unwrap_or(usize::MAX)
        };
        let tokens = callers.sign_many(procedure, count);
        let dids = callers.dids().map(str::to_owned).collect();
        Self { procedure, dialect, dids, tokens, again, taken: AtomicUsize::new(0) }
    }

    /// Calls that show each token that will come again once.
    pub(crate) fn first_sights(&self) -> impl Iterator<Item = Vec<u8>> {
        let tokens = if self.again { self.tokens.as_slice() } else { &[] };
        (0..tokens.len()).map(|turn| {
            let mut request = Vec::new();
            self.write(turn, &tokens[turn], &mut request);
            request
        })
    }

    /// Writes the next request over `request`. False: all tokens were used.
    pub(crate) fn next(&self, request: &mut Vec<u8>) -> bool {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        let at = if self.again { taken % self.tokens.len() } else { taken };
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
