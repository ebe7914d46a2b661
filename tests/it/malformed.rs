//! Ten thousand malformed requests, the same in each run: no 5xx, every answer a small error of the one
//! shape, and the service goes on.

mod client;
mod generator;

use tokio::task::JoinSet;

use self::client::Client;
use self::generator::Generator;
use crate::harness::database::Kind;
use crate::harness::stack::{CREATE_SECRET, CREATE_WEBHOOK, SERVICE, Setup};

/// Requests in all.
const REQUESTS: usize = 10_000;
/// Clients at a time. Each sends a part of the requests, from a seed of its own.
const CLIENTS: usize = 8;
/// The first seed.
const SEED: u64 = 0x6174_686f_6f6b;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests() {
    let stack = Setup::on(Kind::Sqlite)
        .core("--probe", "off")
        .core("--max-secrets", "100000")
        .core("--max-webhooks", "100000")
        .gateway("--rate-limit", "0")
        // Its pages are no errors.
        .gateway("--site", "off")
        .start()
        .await;
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let tokens = [CREATE_SECRET, CREATE_WEBHOOK].map(|nsid| (nsid, stack.alice.token(SERVICE, nsid)));
        let mut generator = Generator::new(SEED + client as u64, tokens);
        let mut client = Client::of(stack.gateway);
        clients.spawn(async move {
            let mut refused = 0;
            for _ in 0..REQUESTS / CLIENTS {
                refused += client.send(&generator.next()).await;
            }
            refused
        });
    }
    let refused: usize = clients.join_all().await.into_iter().sum();
    assert!(refused > REQUESTS / 2, "the generator makes requests that are in order: {refused}");
    stack.create_secret("after").await.ok();
    stack.until_ready(200).await;
}
