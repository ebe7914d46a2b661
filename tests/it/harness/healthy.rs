//! A webhook whose receiver answers at once, beside others that are not so.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::harness::database::{Database, until_number};
use crate::harness::direct::Direct;
use crate::harness::hook::Hook;
use crate::harness::publisher::Publisher;

const STREAMER: &str = "did:plc:healthy22222222222222222";

/// The webhook. It is the first of its database that has a success.
pub(crate) struct Healthy {
    hook: Hook,
    publisher: Publisher,
    published: usize,
}

impl Healthy {
    /// Makes the webhook and delivers one event.
    pub(crate) async fn start(core: SocketAddr, database: &Database) -> Self {
        let hook = Hook::start().await;
        Direct::to(core).await.create_active_webhook(STREAMER, &hook.url("/hook")).await.unwrap();
        let mut healthy = Self { hook, publisher: Publisher::of(core), published: 0 };
        healthy.deliver(1).await;
        let connection = database.connect().await;
        until_number(&connection, "SELECT count(*) FROM delivery WHERE state = 1", 1).await;
        connection.close().await.unwrap();
        healthy
    }

    /// Publishes so many events, each once the one before has arrived. Returns how long each took, shortest
    /// first.
    pub(crate) async fn deliver(&mut self, events: usize) -> Vec<Duration> {
        let mut times = Vec::new();
        for _ in 0..events {
            self.published += 1;
            let begun = Instant::now();
            let published = self.publisher.chat(STREAMER, &self.published.to_string(), "hello").await;
            let received = self.hook.next().await;
            times.push(begun.elapsed());
            assert_eq!(received.header("webhook-id"), format!("msg_{}", published.event_id));
        }
        times.sort_unstable();
        times
    }
}
