//! Clients that send a byte a second: one half in the head of a request, the other in its body.

use std::net::SocketAddr;
use std::time::Duration;

use process::exit::Failure;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How many there are.
pub(crate) const CLIENTS: usize = 200;
/// A byte each.
const EVERY: Duration = Duration::from_secs(1);
/// What is dripped. It never comes to its end: the gateway gives up before.
const DRIP: u8 = b'a';

/// Connected slow clients.
pub(crate) struct Clients {
    dripping: JoinSet<()>,
}

impl Clients {
    /// Connects all of them. `token` is for the head of those that are slow in the body.
    pub(crate) async fn connect(gateway: SocketAddr, token: &str) -> Result<Self, Failure> {
        let body = format!(
            "POST /xrpc/place.wisp.v2.secret.create HTTP/1.1\r\nhost: hooks.example\r\n\
             authorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n\r\n"
        );
        let head = "POST /xrpc/place.wisp.v2.secret.create HTTP/1.1\r\nx-slow: ";
        let mut dripping = JoinSet::new();
        for number in 0..CLIENTS {
            let start = if number % 2 == 0 { head.to_owned() } else { body.clone() };
            let stream = begin(gateway, &start).await?;
            dripping.spawn(drip(gateway, start, stream));
        }
        Ok(Self { dripping })
    }

    /// Closes their connections. A gateway that is asked to end waits for those that are there.
    pub(crate) async fn leave(mut self) {
        self.dripping.shutdown().await;
    }
}

async fn begin(gateway: SocketAddr, start: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(gateway).await?;
    stream.set_nodelay(true)?;
    stream.write_all(start.as_bytes()).await?;
    Ok(stream)
}

/// Drips for ever; once the gateway has closed the connection, on a new one.
async fn drip(gateway: SocketAddr, start: String, mut stream: TcpStream) {
    loop {
        sleep(EVERY).await;
        if stream.write_all(&[DRIP]).await.is_err()
            && let Ok(next) = begin(gateway, &start).await
        {
            stream = next;
        }
    }
}
