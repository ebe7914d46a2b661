//! Carries bytes between the gateway and a core-service, and can be cut, or say something of its own.

use std::net::IpAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

pub(super) struct Relay {
    pub(super) port: u16,
    open: watch::Sender<bool>,
    words: broadcast::Sender<Vec<u8>>,
    _carrying: JoinSet<()>,
}

impl Relay {
    pub(super) async fn start(near: IpAddr, far: IpAddr, far_port: u16) -> Self {
        let listener = TcpListener::bind((near, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, gate) = watch::channel(true);
        let (words, _) = broadcast::channel(1);
        let speaker = words.clone();
        let mut carrying = JoinSet::new();
        carrying.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let (gate, words) = (gate.clone(), speaker.subscribe());
                connections.spawn(async move {
                    let far = TcpStream::connect((far, far_port)).await.unwrap();
                    let (near_read, near_write) = near.into_split();
                    let (far_read, far_write) = far.into_split();
                    tokio::join!(
                        carry(near_read, far_write, gate.clone(), None),
                        carry(far_read, near_write, gate, Some(words))
                    );
                });
            }
        });
        Self { port, open, words, _carrying: carrying }
    }

    /// From now on nothing gets through, and nobody is told.
    pub(super) fn cut(&self) {
        self.open.send_replace(false);
    }

    pub(super) fn heal(&self) {
        self.open.send_replace(true);
    }

    /// Sends bytes to the gateway, on every connection there is, as if the core-service did.
    pub(super) fn say(&self, bytes: Vec<u8>) {
        self.words.send(bytes).expect("there is a connection");
    }
}

/// Carries bytes one way. What comes while the gate is shut waits, as TCP has it; so does the end.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut gate: watch::Receiver<bool>,
    mut words: Option<broadcast::Receiver<Vec<u8>>>,
) {
    let mut buffer = [0; 8192];
    loop {
        let next_words = async {
            match &mut words {
                Some(words) => words.recv().await.unwrap_or_default(),
                None => std::future::pending().await,
            }
        };
        let bytes = tokio::select! {
            read = from.read(&mut buffer) => buffer[..read.unwrap_or(0)].to_vec(),
            words = next_words => words,
        };
        if gate.wait_for(|open| *open).await.is_err() || bytes.is_empty() {
            return;
        }
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
