//! One open connection: frames in, pings out.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::dictionary::Inflate;
use crate::event::Wire;
use crate::frame::{Frame, parse, unreadable};
use crate::http::Upgraded;

/// The largest frame that is received at all, in bytes. One above
/// [`MAX_FRAME_BYTES`](crate::frame::MAX_FRAME_BYTES) is skipped; one above this breaks the connection.
const MAX_RECEIVED_BYTES: usize = 16 << 20;
/// How much is read from the socket at once, in bytes.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// An open connection. Dropping it closes the socket, without waiting for the host.
pub(crate) struct Connection {
    socket: WebSocketStream<Upgraded>,
    host: Arc<str>,
    wire: Wire,
    inflate: Option<Inflate>,
}

/// What came in.
pub(crate) enum Incoming {
    /// A ping or a pong.
    Alive,
    /// A frame, and its size in bytes.
    Frame(Frame, usize),
    /// The connection has ended.
    Closed(String),
    /// It can't be read any further because of what was sent.
    Broken(&'static str),
}

impl Connection {
    pub(crate) async fn new(socket: Upgraded, host: Arc<str>, wire: Wire, inflate: Option<Inflate>) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(MAX_RECEIVED_BYTES))
            .max_frame_size(Some(MAX_RECEIVED_BYTES));
        let socket = WebSocketStream::from_raw_socket(socket, Role::Client, Some(config)).await;
        Self { socket, host, wire, inflate }
    }

    pub(crate) fn host(&self) -> &Arc<str> {
        &self.host
    }

    pub(crate) fn wire(&self) -> Wire {
        self.wire
    }

    /// Cancel-safe.
    pub(crate) async fn next(&mut self) -> Incoming {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => Incoming::Frame(self.parse(text.as_bytes()), text.len()),
            Some(Ok(Message::Binary(bytes))) => self.binary(&bytes),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Incoming::Alive,
            Some(Ok(Message::Close(None))) => Incoming::Closed("closed by the host".to_owned()),
            Some(Ok(Message::Close(Some(close)))) => {
                Incoming::Closed(format!("closed by the host with {}", u16::from(close.code)))
            }
            Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) | None => {
                Incoming::Closed("cut without a close".to_owned())
            }
            Some(Err(Error::Io(error))) => Incoming::Closed(format!("cut: {}", error.kind())),
            Some(Err(Error::Capacity(_))) => Incoming::Broken("a frame larger than 16 MiB"),
            Some(Err(Error::Utf8(_))) => Incoming::Broken("a text frame that is not UTF-8"),
            Some(Err(_)) => Incoming::Broken("not the WebSocket protocol"),
        }
    }

    pub(crate) async fn ping(&mut self) -> Result<(), Error> {
        self.socket.send(Message::Ping(Bytes::new())).await
    }

    fn parse(&self, frame: &[u8]) -> Frame {
        parse(self.wire, &self.host, frame)
    }

    fn binary(&mut self, bytes: &[u8]) -> Incoming {
        let Self { host, wire, inflate, .. } = self;
        let Some(inflate) = inflate else { return Incoming::Frame(parse(*wire, host, bytes), bytes.len()) };
        match inflate.decode(bytes) {
            Some(frame) => Incoming::Frame(parse(*wire, host, frame), frame.len()),
            None => Incoming::Frame(unreadable(bytes, None, "not zstd of at most 4 MiB"), bytes.len()),
        }
    }
}
