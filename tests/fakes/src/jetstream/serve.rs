//! HTTP and WebSockets: one task for each connection.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{CONNECTION, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::select;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use zstd::bulk::Compressor;

use super::item::info;
use super::log::Entry;
use super::query::{Filter, Query, Refusal};
use super::{Faults, Shared, Wire};

pub(super) const V1_PATH: &str = "/subscribe";
pub(super) const V2_PATH: &str = "/xrpc/network.bsky.jetstream.subscribeEvents";
const DICTIONARY_PATH: &str = "/xrpc/network.bsky.jetstream.getZstdDictionary";

/// Trained on invented frames.
const DICTIONARY: &[u8] = include_bytes!("dictionary.zdict");
/// What it says at its bytes 4 to 7.
const DICTIONARY_ID: u32 = 7_000_001;
/// How many frames are written before the socket is flushed.
const CHUNK: usize = 256;

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// Accepts connections until it is aborted.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let of_connection = Arc::clone(&shared);
        let connection = tokio::spawn(async move {
            if of_connection.faults.borrow().deaf {
                return pending().await;
            }
            let service = service_fn(move |request| answer(Arc::clone(&of_connection), request));
            let _ =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
        shared.connections().push(connection.abort_handle());
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    shared.seen.send_modify(|seen| seen.requests.push(target.clone()));
    let faults = shared.faults.borrow().clone();
    let wire = match request.uri().path() {
        V1_PATH => Wire::V1,
        V2_PATH => Wire::V2,
        DICTIONARY_PATH if faults.dictionary_hangs => pending().await,
        DICTIONARY_PATH if !faults.no_dictionary => {
            return Ok(Response::new(Full::new(Bytes::from_static(DICTIONARY))));
        }
        _ => return Ok(refusal((404, "MethodNotImplemented"))),
    };
    Ok(upgrade(&shared, wire, &target, &faults, request).unwrap_or_else(refusal))
}

fn upgrade(
    shared: &Arc<Shared>,
    wire: Wire,
    target: &str,
    faults: &Faults,
    mut request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Refusal> {
    if let Some(refusal) = faults.refuse {
        return Err(refusal);
    }
    let query = Query::parse(wire, target)?;
    let is_known = query.dictionary.is_none_or(|id| id == DICTIONARY_ID) && !faults.forgets_dictionary;
    if query.dictionary.is_some() && !is_known {
        return Err((400, "UnknownZstdDictionary"));
    }
    let back = if wire == Wire::V1 { faults.jump_back_us } else { 0 };
    let cursor = query.cursor.map(|cursor| cursor.saturating_sub(back));
    let (at, live_at, first) = shared.log.begin(wire, cursor)?;
    let key = request.headers().get("sec-websocket-key").ok_or((426, "UpgradeRequired"))?;
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, http::HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, http::HeaderValue::from_static("websocket"));
    let accept = derive_accept_key(key.as_bytes()).parse().map_err(|_| (400, "InvalidRequest"))?;
    headers.insert("sec-websocket-accept", accept);
    if wire == Wire::V2 && request.headers().get("sec-websocket-protocol").is_some() {
        headers.insert("sec-websocket-protocol", http::HeaderValue::from_static("xrpc.v1.json"));
    }
    let mut switch_drops = 0;
    if wire == Wire::V1 && faults.switch_drops > 0 && at < live_at {
        shared.faults.send_modify(|faults| switch_drops = std::mem::take(&mut faults.switch_drops));
    }
    let dropped = live_at.saturating_sub(switch_drops).max(at)..live_at;
    let compressor = query.dictionary.and_then(|_| Compressor::with_dictionary(1, DICTIONARY).ok());
    let subscriber = Subscriber {
        shared: Arc::clone(shared),
        faults: shared.faults.subscribe(),
        wire,
        filter: query.filter,
        compressor,
        at,
        dropped,
        sent: 0,
    };
    let info = faults.info.or(first).filter(|_| wire == Wire::V2);
    let upgraded = hyper::upgrade::on(&mut request);
    let task = tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        let shared = Arc::clone(&subscriber.shared);
        shared.seen.send_modify(|seen| seen.open += 1);
        let _open = Open(shared);
        let _ = subscriber.serve(socket, info).await;
    });
    shared.connections().push(task.abort_handle());
    Ok(response)
}

/// Counts a connection for as long as it lives.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.seen.send_modify(|seen| seen.open -= 1);
    }
}

fn refusal((status, name): Refusal) -> Response<Full<Bytes>> {
    let body = format!(r#"{{"error":"{name}","message":"so it is"}}"#);
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    response
}

struct Subscriber {
    shared: Arc<Shared>,
    faults: watch::Receiver<Faults>,
    wire: Wire,
    filter: Filter,
    compressor: Option<Compressor<'static>>,
    /// The next entry.
    at: usize,
    /// Entries that are lost.
    dropped: std::ops::Range<usize>,
    sent: usize,
}

/// The connection is over.
struct Over;

impl<E: std::error::Error> From<E> for Over {
    fn from(_: E) -> Self {
        Self
    }
}

impl Subscriber {
    async fn serve(mut self, mut socket: Socket, first: Option<&'static str>) -> Result<(), Over> {
        if let Some(name) = first {
            let frame = self.encode(&info(name));
            socket.send(frame).await?;
        }
        let mut length = self.shared.log.length();
        loop {
            let _ = self.faults.wait_for(|faults| !faults.silent).await;
            let faults = self.faults.borrow_and_update().clone();
            let entries = self.shared.log.read(self.at, CHUNK);
            for entry in &entries {
                self.at += 1;
                if self.dropped.contains(&(self.at - 1)) || !self.wants(entry, &faults) {
                    continue;
                }
                self.send(&mut socket, entry, &faults).await?;
            }
            if !entries.is_empty() {
                socket.flush().await?;
                continue;
            }
            select! {
                changed = length.changed() => changed?,
                changed = self.faults.changed() => changed?,
                received = socket.next() => match received.ok_or(Over)?? {
                    Message::Text(text) if self.wire == Wire::V1 => self.update(&text)?,
                    Message::Ping(_) | Message::Pong(_) => {}
                    _ => return Err(Over),
                },
            }
        }
    }

    fn wants(&self, entry: &Entry, faults: &Faults) -> bool {
        let is_lacking = faults.lacks_collection.is_some()
            && entry.item.collection() == faults.lacks_collection.as_deref();
        let is_said = self.wire == Wire::V2 || entry.v1.is_some();
        is_said && !is_lacking && self.filter.wants(&entry.item)
    }

    async fn send(&mut self, socket: &mut Socket, entry: &Entry, faults: &Faults) -> Result<(), Over> {
        if faults.cut_after.is_some_and(|count| self.sent >= count) {
            socket.flush().await?;
            return Err(Over);
        }
        if let Some((_, code)) = faults.close_after.filter(|(count, _)| self.sent >= *count) {
            let close = CloseFrame { code: code.into(), reason: "so it is".into() };
            socket.send(Message::Close(Some(close))).await?;
            return pending().await;
        }
        if let Some((_, name)) = faults.error_after.filter(|(count, _)| self.sent >= *count) {
            let frame = self.encode(&format!(r#"{{"$type":"error","error":"{name}"}}"#));
            socket.send(frame).await?;
            socket.close(None).await?;
            return Err(Over);
        }
        if let Some(pause) = faults.pause {
            socket.flush().await?;
            sleep(pause).await;
        }
        for _ in 0..=usize::from(faults.repeat) {
            let frame = match (self.wire, &entry.v1, &mut self.compressor) {
                (Wire::V1, Some(frame), _) => Message::Text(frame.clone()),
                (_, _, Some(compressor)) => Message::Binary(
                    entry
                        .compressed
                        .get_or_init(|| compressor.compress(entry.v2.as_bytes()).unwrap_or_default().into())
                        .clone(),
                ),
                (_, _, None) => Message::Text(entry.v2.clone()),
            };
            socket.feed(frame).await?;
        }
        self.sent += 1;
        Ok(())
    }

    fn encode(&mut self, frame: &str) -> Message {
        match &mut self.compressor {
            Some(compressor) => {
                Message::Binary(compressor.compress(frame.as_bytes()).unwrap_or_default().into())
            }
            None => Message::Text(frame.into()),
        }
    }

    /// `options_update` of v1; other messages mean nothing.
    fn update(&mut self, text: &str) -> Result<(), Over> {
        let message: serde_json::Value = serde_json::from_str(text)?;
        if message["type"] != "options_update" {
            return Ok(());
        }
        let list = |name: &str| {
            let list = message["payload"][name].as_array().cloned().unwrap_or_default();
            list.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
        };
        self.filter.collections = list("wantedCollections");
        self.filter.dids = list("wantedDids");
        self.filter.check().map_err(|_| Over)
    }
}
