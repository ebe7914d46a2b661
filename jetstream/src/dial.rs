//! Opening a connection to a host: the dictionary, the upgrade, and what a refusal means.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use tokio::time::Instant;

use crate::connection::Connection;
use crate::dictionary::{Dictionary, Inflate, MAX_DICTIONARY_BYTES};
use crate::event::Wire;
use crate::host::{Cursor, Host};
use crate::http::{Failure, get, upgrade};
use crate::options::Options;

/// The protocol of v2. Hosts may leave it out of their answer.
const PROTOCOL: &str = "xrpc.v1.json";

/// For how long frames are asked for uncompressed after a dictionary could not be had.
const UNCOMPRESSED: Duration = Duration::from_secs(3600);

/// Why a connection could not be opened.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The host doesn't keep the events behind the cursor any more.
    TooOld,
    /// Anything else, without a word of the host's own.
    Because(String),
}

/// How the frames of one host are compressed.
#[derive(Debug, Default)]
pub(crate) struct Compression(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    /// The dictionary is to be fetched.
    #[default]
    Unknown,
    Known(Dictionary),
    /// None, until then.
    None(Instant),
}

/// Opens a connection. The caller limits the time.
pub(crate) async fn open(
    options: &Options,
    host: &Host,
    compression: &Compression,
    cursor: Cursor,
) -> Result<Connection, Refused> {
    // A second time only if the host has another dictionary by now, a third time without.
    for _ in 0..2 {
        let dictionary = match host.wire() {
            Wire::V2 if options.compress => compression.dictionary(options, host).await,
            Wire::V1 | Wire::V2 => None,
        };
        let Some(dictionary) = dictionary else { break };
        match subscribe(options, host, Some(&dictionary), cursor).await {
            Err(Failure::Status(StatusCode::BAD_REQUEST, body)) if is(&body, "UnknownZstdDictionary") => {
                compression.set(State::Unknown);
            }
            other => return other.map_err(refused),
        }
    }
    subscribe(options, host, None, cursor).await.map_err(refused)
}

impl Compression {
    fn set(&self, state: State) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    async fn dictionary(&self, options: &Options, host: &Host) -> Option<Dictionary> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Known(dictionary) => return Some(dictionary.clone()),
            State::None(until) if Instant::now() < *until => return None,
            State::None(_) | State::Unknown => {}
        }
        // Said before it is tried: if the host never answers, the next try does without.
        self.set(State::None(Instant::now() + UNCOMPRESSED));
        let url = host.dictionary();
        let stream = options.connect.connect(&url).await.ok()?;
        let bytes = get(stream, &url, &options.user_agent, MAX_DICTIONARY_BYTES).await.ok()?;
        let dictionary = Dictionary::read(bytes)?;
        self.set(State::Known(dictionary.clone()));
        Some(dictionary)
    }
}

async fn subscribe(
    options: &Options,
    host: &Host,
    dictionary: Option<&Dictionary>,
    cursor: Cursor,
) -> Result<Connection, Failure> {
    let Ok(inflate) = dictionary.map(Inflate::new).transpose() else {
        return Err(Failure::Broken("a broken dictionary"));
    };
    let url = host.subscription(&options.filter, cursor.value, dictionary.map(|dictionary| dictionary.id));
    let stream = options.connect.connect(&url).await.map_err(Failure::Unreachable)?;
    let protocol = (host.wire() == Wire::V2).then_some(PROTOCOL);
    let socket = upgrade(stream, &url, protocol, &options.user_agent).await?;
    Ok(Connection::new(socket, host.name().clone(), host.wire(), inflate).await)
}

fn refused(failure: Failure) -> Refused {
    match failure {
        Failure::Status(StatusCode::BAD_REQUEST, body) if is(&body, "CursorTooOld") => Refused::TooOld,
        Failure::Status(status, _) => Refused::Because(format!("refused with status {}", status.as_u16())),
        Failure::Broken(reason) => Refused::Because(reason.to_owned()),
        Failure::Unreachable(error) => Refused::Because(format!("no connection: {error}")),
    }
}

/// Whether the body of a refusal names this error.
fn is(body: &[u8], name: &str) -> bool {
    #[derive(Deserialize)]
    struct Body {
        error: String,
    }
    serde_json::from_slice::<Body>(body).is_ok_and(|body| body.error == name)
}
