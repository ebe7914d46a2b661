//! Slow clients, which send a byte a second: half of them in the head of a request, half in the body.

use std::net::SocketAddr;
use std::time::Duration;

use process::exit::Failure;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The number of slow clients.
pub(crate) const CLIENTS: usize = 200;
/// The time between two bytes of a client.
const EVERY: Duration = Duration::from_secs(1);
/// The byte that is sent. The request never gets complete: the gateway gives up first.
const DRIP: u8 = b'a';

/// Connected slow clients.
pub(crate) struct Clients {
    dripping: JoinSet<()>,
}

impl Clients {
    /// Connects all clients. `token` is for those that are slow in the body.
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

    /// Closes the connections, since a gateway that shuts down waits for them.
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

/// Sends bytes for ever. When the gateway closes the connection, opens a new one.
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
