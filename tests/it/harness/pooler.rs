//! A pooler of Postgres in transaction mode, as PgBouncer is one: each transaction of a client gets another
//! session of the server, with whatever earlier transactions of others have left there.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Sessions that clients share.
const SESSIONS: u32 = 5;
/// The version of the protocol in a startup message, and the request for TLS in place of one.
const PROTOCOL: u32 = 196_608;
const TLS_REQUEST: u32 = 80_877_103;

/// A running pooler. It stops when dropped.
pub(crate) struct Pooler {
    pub(crate) address: SocketAddr,
    sessions: Arc<Sessions>,
    _serving: JoinSet<()>,
}

struct Sessions {
    server: SocketAddr,
    name: String,
    free: Semaphore,
    waiting: Mutex<VecDeque<TcpStream>>,
}

/// A message with its type.
struct Message {
    kind: u8,
    body: Vec<u8>,
}

impl Pooler {
    /// A pooler of the database `name` at `server`.
    pub(crate) async fn start(server: SocketAddr, name: &str) -> Self {
        let mut waiting = VecDeque::new();
        for _ in 0..SESSIONS {
            waiting.push_back(session(server, name).await);
        }
        let sessions = Arc::new(Sessions {
            server,
            name: name.to_owned(),
            free: Semaphore::new(SESSIONS as usize),
            waiting: Mutex::new(waiting),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        let shared = Arc::clone(&sessions);
        serving.spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                client.set_nodelay(true).unwrap();
                clients.spawn(serve(client, Arc::clone(&shared)));
            }
        });
        Self { address, sessions, _serving: serving }
    }

    /// The prepared statements that are left in the sessions. No client may be connected any more.
    pub(crate) async fn prepared_statements(&self) -> Vec<String> {
        let _all = self.sessions.free.acquire_many(SESSIONS).await.unwrap();
        let mut sessions = std::mem::take(&mut *self.sessions.waiting.lock().unwrap());
        assert_eq!(sessions.len(), SESSIONS as usize);
        let mut left = Vec::new();
        for session in &mut sessions {
            let query =
                Message { kind: b'Q', body: b"SELECT statement FROM pg_prepared_statements\0".to_vec() };
            write(session, &query).await.unwrap();
            loop {
                let Message { kind, body } = read(session).await.unwrap();
                match kind {
                    // The number of columns and the length of the first go before its text.
                    b'D' => left.push(String::from_utf8(body[6..].to_vec()).unwrap()),
                    b'Z' => break,
                    _ => {}
                }
            }
        }
        left
    }
}

/// A new session at the server, which trusts its clients.
async fn session(server: SocketAddr, name: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let parameters = format!("user\0athook\0database\0{name}\0client_encoding\0UTF8\0\0");
    let length = u32::try_from(parameters.len() + 8).unwrap();
    stream.write_u32(length).await.unwrap();
    stream.write_u32(PROTOCOL).await.unwrap();
    stream.write_all(parameters.as_bytes()).await.unwrap();
    loop {
        let message = read(&mut stream).await.unwrap();
        assert_ne!(message.kind, b'E', "{}", String::from_utf8_lossy(&message.body));
        if message.kind == b'Z' {
            return stream;
        }
    }
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Message> {
    let kind = stream.read_u8().await?;
    let length = stream.read_u32().await?;
    let mut body = vec![0; length as usize - 4];
    stream.read_exact(&mut body).await?;
    Ok(Message { kind, body })
}

async fn write(stream: &mut TcpStream, message: &Message) -> std::io::Result<()> {
    let mut bytes = vec![message.kind];
    bytes.extend(u32::try_from(message.body.len() + 4).unwrap().to_be_bytes());
    bytes.extend(&message.body);
    stream.write_all(&bytes).await
}

/// Greets a client as the server would. Only what every pooler knows may be asked for.
async fn greet(client: &mut TcpStream) -> std::io::Result<()> {
    loop {
        let length = client.read_u32().await?;
        let code = client.read_u32().await?;
        if code == TLS_REQUEST {
            client.write_all(b"N").await?;
            continue;
        }
        let mut parameters = vec![0; length as usize - 8];
        client.read_exact(&mut parameters).await?;
        let parameters = String::from_utf8(parameters).unwrap();
        assert!(!parameters.contains("extra_float_digits"), "{parameters}");
        let messages = [(b'R', vec![0; 4]), (b'K', vec![0; 8]), (b'Z', b"I".to_vec())];
        for (kind, body) in messages {
            write(client, &Message { kind, body }).await?;
        }
        return Ok(());
    }
}

async fn serve(mut client: TcpStream, sessions: Arc<Sessions>) {
    if greet(&mut client).await.is_err() {
        return;
    }
    while let Ok(message) = read(&mut client).await {
        // It takes its leave.
        if message.kind == b'X' {
            return;
        }
        let place = sessions.free.acquire().await.unwrap();
        let mut server = sessions.waiting.lock().unwrap().pop_front().unwrap();
        let ended = transaction(&mut client, &mut server, message).await;
        if ended.is_err() {
            // What a client leaves in the middle of a transaction is of no use to others.
            server = session(sessions.server, &sessions.name).await;
        }
        sessions.waiting.lock().unwrap().push_back(server);
        drop(place);
        if ended.is_err() {
            return;
        }
    }
}

/// Relays one transaction that begins with `message`: until the server says that none is open.
async fn transaction(
    client: &mut TcpStream,
    server: &mut TcpStream,
    mut message: Message,
) -> std::io::Result<()> {
    loop {
        write(server, &message).await?;
        // Only after these does the server say how far it is.
        if matches!(message.kind, b'S' | b'Q') {
            let answer = loop {
                let answer = read(server).await?;
                write(client, &answer).await?;
                if answer.kind == b'Z' {
                    break answer;
                }
            };
            if answer.body == b"I" {
                return Ok(());
            }
        }
        message = read(client).await?;
    }
}
