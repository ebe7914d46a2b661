//! A client of Jetstream, AT Protocol's stream of public records as JSON: both wires, `/subscribe` (v1) and
//! `network.bsky.jetstream.subscribeEvents` (v2).
//!
//! Owns the connection: hosts in the order of preference, reconnecting, compression, gaps. Knows no database:
//! it resumes from the [`Position`](event::Position) that its caller acknowledged last, so that a caller who
//! acknowledges what is committed loses nothing. Opening TCP and TLS is the caller's, see
//! [`Connect`](connect::Connect).
//!
//! - **Nothing is lost**: a reconnect resumes behind the acknowledged position. On the same v2 host that is
//!   exact; on any other the last ten seconds come again, so callers need to recognise an event they have had
//!   (by DID, collection, record key, operation, revision and CID, never by time or sequence number).
//! - **What is lost is told**: a [`Notice::Gap`](notice::Notice::Gap) if the host doesn't keep what follows
//!   the position any more, or sent something that can't be read past.
//! - **A silent host is left**: within a minute reading goes on at the next one.
//! - **Memory is bounded**: when 2,000 frames or 16 MiB wait, reading stops until they are taken.
//! - **A broken frame is one frame**: [`Notice::Unreadable`](notice::Notice::Unreadable), and reading goes
//!   on. Records stay the JSON that came, however deep they are nested.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use jetstream::connect::Tcp;
//! use jetstream::event::Kind;
//! use jetstream::host::{Filter, Host, Start};
//! use jetstream::notice::Notice;
//! use jetstream::options::Options;
//! use jetstream::subscription::Subscription;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let hosts = vec![Host::parse("ws://127.0.0.1:6008/subscribe")?];
//! let filter = Filter::Collections(["app.bsky.feed.post".to_owned()].into());
//! // `Tcp` speaks no TLS. For `wss` hand in a `Connect` of your own.
//! let options = Options::new(hosts, filter, Arc::new(Tcp))?;
//! let mut subscription = Subscription::start(options, Start::Time(1_790_000_000_000_000));
//! loop {
//!     for notice in subscription.next_batch(500).await {
//!         let Notice::Event(event) = notice else { continue };
//!         if let Kind::Commit(commit) = &event.kind {
//!             println!("{} {:?} {}/{}", event.did, commit.operation, commit.collection, commit.rkey);
//!         }
//!         // Once it is committed:
//!         subscription.acknowledge(event.position);
//!     }
//! }
//! # }
//! ```

pub mod connect;
pub mod event;
pub mod frame;
pub mod host;
pub mod notice;
pub mod options;
pub mod subscription;
pub mod trial;

mod connection;
mod dial;
mod dictionary;
mod hosts;
mod http;
mod queue;
mod reader;
mod syntax;
