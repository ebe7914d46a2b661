//! A TCP relay between the gateway and a core-service. It can stop the traffic and inject bytes.

use std::net::IpAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

pub(super) struct Relay {
    pub(super) port: u16,
    open: watch::Sender<bool>,
    injected: broadcast::Sender<Vec<u8>>,
    _carrying: JoinSet<()>,
}

impl Relay {
    pub(super) async fn start(near: IpAddr, far: IpAddr, far_port: u16) -> Self {
        let listener = TcpListener::bind((near, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, gate) = watch::channel(true);
        let (injected, _) = broadcast::channel(1);
        let injector = injected.clone();
        let mut carrying = JoinSet::new();
        carrying.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let (gate, injected) = (gate.clone(), injector.subscribe());
                connections.spawn(async move {
                    let far = TcpStream::connect((far, far_port)).await.unwrap();
                    let (near_read, near_write) = near.into_split();
                    let (far_read, far_write) = far.into_split();
                    tokio::join!(
                        carry(near_read, far_write, gate.clone(), None),
                        carry(far_read, near_write, gate, Some(injected))
                    );
                });
            }
        });
        Self { port, open, injected, _carrying: carrying }
    }

    /// Stops all traffic without closing a connection.
    pub(super) fn cut(&self) {
        self.open.send_replace(false);
    }

    pub(super) fn heal(&self) {
        self.open.send_replace(true);
    }

    /// Sends bytes to the gateway on every connection, as if they came from the core-service.
    pub(super) fn inject(&self, bytes: Vec<u8>) {
        self.injected.send(bytes).expect("there is a connection");
    }
}

/// Copies bytes one way. While the gate is closed, bytes and the end of the stream wait.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut gate: watch::Receiver<bool>,
    mut injected: Option<broadcast::Receiver<Vec<u8>>>,
) {
    let mut buffer = [0; 8192];
    loop {
        let next_injected = async {
            match &mut injected {
                Some(injected) => injected.recv().await.unwrap_or_default(),
                None => std::future::pending().await,
            }
        };
        let bytes = tokio::select! {
            read = from.read(&mut buffer) => buffer[..read.unwrap_or(0)].to_vec(),
            injected = next_injected => injected,
        };
        if gate.wait_for(|open| *open).await.is_err() || bytes.is_empty() {
            return;
        }
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
