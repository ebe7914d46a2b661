//! A subscription with short times, and what it said.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fakes::jetstream::{Item, Jetstream, Wire};
use jetstream::connect::Tcp;
use jetstream::event::{Event, Kind};
use jetstream::host::{Filter, Host, Start};
use jetstream::notice::Notice;
use jetstream::options::{Options, Timing};
use jetstream::subscription::Subscription;
use tokio::time::timeout;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
pub(crate) const CHAT: &str = "place.stream.chat.message";

pub(crate) const BOTH: [Wire; 2] = [Wire::V1, Wire::V2];

/// As usual, but quicker.
pub(crate) fn timing() -> Timing {
    let mut timing = Timing::default();
    timing.ping = Duration::from_millis(500);
    timing.silence = Duration::from_secs(3);
    timing.barren = Duration::from_secs(2);
    timing.least_wait = Duration::from_millis(1);
    timing.most_wait = Duration::from_millis(50);
    timing.quiet = Duration::from_millis(300);
    timing
}

pub(crate) fn options(hosts: &[String]) -> Options {
    let hosts = hosts.iter().map(|url| Host::parse(url).unwrap()).collect();
    Options::new(hosts, Filter::All, Arc::new(Tcp)).unwrap().timing(timing())
}

pub(crate) fn read(host: &Jetstream, wire: Wire, from_us: i64) -> Subscription {
    Subscription::start(options(&[host.url(wire)]), Start::Time(from_us))
}

/// A message with the record key `name`.
pub(crate) fn chat(name: &str) -> Item {
    Item::create(DID, CHAT, name, r#"{"text":"hello"}"#)
}

pub(crate) fn chats(numbers: std::ops::Range<usize>) -> impl Iterator<Item = Item> {
    numbers.map(|number| chat(&format!("n{number}")))
}

/// The record key of a commit.
pub(crate) fn rkey(event: &Event) -> Option<&str> {
    match &event.kind {
        Kind::Commit(commit) => Some(&commit.rkey),
        _ => None,
    }
}

/// What a subscription said, up to the first of what was waited for.
#[derive(Debug, Default)]
pub(crate) struct Said(pub(crate) Vec<Notice>);

impl Said {
    /// Reads, acknowledging each event, until `is_enough`.
    pub(crate) async fn until(&mut self, subscription: &mut Subscription, is_enough: impl Fn(&Self) -> bool) {
        let reading = async {
            while !is_enough(self) {
                let notice = subscription.next().await;
                if let Notice::Event(event) = &notice {
                    subscription.acknowledge(event.position.clone());
                }
                self.0.push(notice);
            }
        };
        if timeout(PATIENCE, reading).await.is_err() {
            panic!("it said no more than {:#?}", self.brief());
        }
    }

    /// Cuts the connections of `host` until the subscription says so: one that was being opened survives a
    /// cut. What is read meanwhile is not acknowledged.
    pub(crate) async fn cut(&mut self, host: &Jetstream, subscription: &mut Subscription) {
        let cutting = async {
            host.cut();
            loop {
                match timeout(Duration::from_millis(100), subscription.next()).await {
                    Ok(Notice::Disconnected { .. }) => break,
                    Ok(notice) => self.0.push(notice),
                    Err(_) => host.cut(),
                }
            }
        };
        timeout(PATIENCE, cutting).await.expect("it is still connected");
    }

    pub(crate) fn brief(&self) -> Vec<String> {
        let brief = |notice: &Notice| match notice {
            Notice::Event(event) => format!("{} {:?}", event.position.cursor, rkey(event)),
            other => format!("{other:?}"),
        };
        self.0.iter().map(brief).collect()
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.0.iter().filter_map(|notice| if let Notice::Event(event) = notice { Some(event) } else { None })
    }

    /// The record keys of the commits, in order.
    pub(crate) fn rkeys(&self) -> Vec<&str> {
        self.events().filter_map(rkey).collect()
    }

    /// The events in order, each once: v1 repeats the end of a replay.
    pub(crate) fn once(&self) -> Vec<&Event> {
        let mut seen = BTreeSet::new();
        self.events().filter(|event| seen.insert(event.position.cursor)).collect()
    }

    pub(crate) fn distinct(&self) -> usize {
        self.events().filter_map(rkey).collect::<BTreeSet<_>>().len()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.events().any(|event| rkey(event) == Some(name))
    }

    pub(crate) fn gaps(&self) -> Vec<(i64, Option<i64>)> {
        let gap = |notice: &Notice| match notice {
            Notice::Gap { from_us, to_us, .. } => Some((*from_us, *to_us)),
            _ => None,
        };
        self.0.iter().filter_map(gap).collect()
    }

    pub(crate) fn unreadable(&self) -> Vec<&'static str> {
        let reason = |notice: &Notice| match notice {
            Notice::Unreadable(unreadable) => Some(unreadable.reason),
            _ => None,
        };
        self.0.iter().filter_map(reason).collect()
    }

    pub(crate) fn disconnected(&self) -> Vec<&str> {
        let mut reasons = Vec::new();
        for notice in &self.0 {
            if let Notice::Disconnected { reason, .. } = notice {
                reasons.push(reason.as_str());
            }
        }
        reasons
    }

    pub(crate) fn caught_up(&self) -> bool {
        self.0.iter().any(|notice| matches!(notice, Notice::CaughtUp { .. }))
    }
}

/// The value of a parameter in a URL that a host was asked for.
pub(crate) fn parameter<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = request.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// The subscriptions among what a host was asked for.
pub(crate) fn subscriptions(host: &Jetstream) -> Vec<String> {
    host.requests().into_iter().filter(|request| !request.contains("getZstdDictionary")).collect()
}
