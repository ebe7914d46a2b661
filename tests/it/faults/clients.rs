//! Clients that disconnect halfway: other clients notice nothing, and no connection leaks.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::database::{Database, Kind};
use crate::harness::identity::{Identity, Key, SERVICE};
use crate::harness::processes::Service;
use crate::harness::stack::{CREATE_SECRET, read};

/// Clients that go away.
const CLIENTS: usize = 200;
/// How long their connections may take to close.
const LIMIT: Duration = Duration::from_secs(20);

/// The whole request of client `number`.
fn request(token: &str, number: usize) -> String {
    let body = json!({ "name": format!("n{number}") }).to_string();
    format!(
        "POST /xrpc/{CREATE_SECRET} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leave_nothing_behind() {
    let database = Database::create(Kind::Sqlite, false).await;
    let documents = tempfile::tempdir().unwrap();
    let alice = Identity::new("did:plc:alice2222222222222222222", Key::k256());
    std::fs::write(documents.path().join("alice.json"), alice.document().to_string()).unwrap();
    let core = Service::core_service(&database.url()).flag("--max-secrets", "1000").start().await;
    let gateway = Service::gateway(core.address, documents.path()).start().await;
    // A connection that comes back to the pool late has another opened beside it: one of them is not kept.
    let client = reqwest::Client::builder().pool_max_idle_per_host(1).build().unwrap();
    let url = format!("http://{}/xrpc/{CREATE_SECRET}", gateway.address);
    let token = alice.token(SERVICE, CREATE_SECRET);
    let create = async |name: &str| {
        read(client.post(&url).bearer_auth(&token).json(&json!({ "name": name }))).await.ok();
    };
    create("before").await;
    let before = gateway.open_files();

    let mut open = Vec::new();
    for number in 0..CLIENTS {
        let whole = request(&token, number);
        let length = match number % 4 {
            0 => 0,
            1 => whole.find("Content-Type").unwrap(),
            2 => whole.len() - 5,
            _ => whole.len(),
        };
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(&whole.as_bytes()[..length]).await.unwrap();
        // Some go at once, some when all are there.
        if number % 8 < 4 {
            open.push(stream);
        }
    }
    create("meanwhile").await;
    drop(open);
    create("after").await;

    let closed = async {
        while gateway.open_files() > before {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, closed).await.expect("nothing stays open");
    for service in [gateway, core] {
        let (ended, log) = service.terminate().await;
        assert!(ended.success(), "{log}");
        assert!(!log.contains("drain limit") && !log.contains("panick") && !log.contains("ERROR"), "{log}");
    }
}
