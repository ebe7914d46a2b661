//! A stack that reads the stream of a Jetstream of its own, and the accounts of a network of its own.

use std::time::Duration;

use fakes::jetstream::{Item, Jetstream, Wire};
use fakes::network::Network;
use serde_json::{Value, json};

use crate::harness::database::Kind;
use crate::harness::hook::{Hook, Received};
use crate::harness::stack::{CREATE_WEBHOOK, Setup, Stack};

pub(crate) const TOKEN: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub(crate) const CAROL: &str = "did:plc:z72i7hdynmk6r22z27h6tvur";
pub(crate) const DAVE: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
pub(crate) const CHAT: &str = "place.stream.chat.message";
pub(crate) const WH: &str = "place.wisp.v2.wh";
pub(crate) const POST: &str = "app.bsky.feed.post";
pub(crate) const FOLLOW: &str = "app.bsky.graph.follow";
/// How long a test waits for what must come.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A stack that reads a stream of its own.
pub(crate) struct Intake {
    pub(crate) stack: Stack,
    pub(crate) jetstream: Jetstream,
    pub(crate) network: Network,
    pub(crate) hook: Hook,
}

impl Intake {
    pub(crate) async fn start(kind: Kind, wire: Wire) -> Self {
        Self::start_with(kind, wire, |_, _| {}, &[]).await
    }

    pub(crate) async fn start_with(
        kind: Kind,
        wire: Wire,
        prepare: impl FnOnce(&Network, &Jetstream),
        flags: &[(&str, &str)],
    ) -> Self {
        let jetstream = Jetstream::start().await;
        let network = Network::start().await;
        for (did, handle) in [
            ("did:plc:alice2222222222222222222", "alice.example"),
            (CAROL, "carol.example"),
            (DAVE, "dave.example"),
        ] {
            network.add_account(did, handle);
        }
        prepare(&network, &jetstream);
        let mut setup = Setup::on(kind)
            .core("--allow-http", "true")
            .core("--intake", "on")
            .core("--jetstream", &jetstream.url(wire))
            .core("--plc-url", &network.url());
        for (flag, value) in flags {
            setup = setup.core(flag, value);
        }
        let stack = setup.start().await;
        jetstream.opened(1).await;
        Self { stack, jetstream, network, hook: Hook::start().await }
    }

    pub(crate) fn alice(&self) -> &str {
        &self.stack.alice.did
    }

    /// A webhook of alice, which is read for when this returns.
    pub(crate) async fn webhook(&self, events: &[&str]) -> Value {
        let input = json!({ "url": self.hook.url("/hook"), "events": events, "active": true });
        let made = self.stack.call(CREATE_WEBHOOK, &input).await.ok()["webhook"].take();
        self.reloaded().await;
        made
    }

    /// Waits until what is wanted by now is read for: at most two seconds later.
    pub(crate) async fn reloaded(&self) {
        tokio::time::sleep(Duration::from_millis(2000)).await;
    }

    pub(crate) fn push(&self, item: Item) {
        self.jetstream.push([item]);
    }

    pub(crate) async fn next(&mut self) -> Received {
        self.hook.next().await
    }

    /// The next delivery, which must be of this chat message.
    pub(crate) async fn next_chat(&mut self, text: &str) {
        let received = self.next().await;
        assert_eq!(received.json()["data"]["text"], text, "{received:?}");
    }

    pub(crate) fn chat(&self, author: &str, rkey: &str, text: &str) -> Item {
        let record = json!({
            "$type": CHAT, "text": text, "streamer": self.alice(), "createdAt": self.now(),
        });
        Item::create(author, CHAT, rkey, &record.to_string())
    }

    pub(crate) fn now(&self) -> String {
        datetime(self.jetstream.now_us())
    }

    pub(crate) fn wh(&self, scope: &str, more: &Value) -> Value {
        let mut record = json!({
            "$type": WH, "scope": {"aturi": scope}, "url": self.hook.url("/record"), "createdAt": self.now(),
        });
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    }
}

/// A post that mentions these.
pub(crate) fn post_mentioning(dids: &[&str]) -> String {
    let facets: Vec<Value> = dids
        .iter()
        .map(|did| {
            json!({
                "index": {"byteStart": 0, "byteEnd": 1},
                "features": [{"$type": "app.bsky.richtext.facet#mention", "did": did}],
            })
        })
        .collect();
    json!({"$type": POST, "text": "look at this", "facets": facets, "createdAt": "2026-11-29T12:00:00Z"})
        .to_string()
}

/// A time as records have it.
pub(crate) fn datetime(us: i64) -> String {
    let time = std::time::UNIX_EPOCH + Duration::from_micros(us.unsigned_abs());
    let text = httpdate::fmt_http_date(time);
    // Sun, 29 Nov 2026 12:00:00 GMT
    let parts: Vec<&str> = text.split([' ', ',']).filter(|part| !part.is_empty()).collect();
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|month| *month == parts[2]).unwrap() + 1;
    format!("{}-{month:02}-{}T{}Z", parts[3], parts[1], parts[4])
}
