//! Events: what services publish, and the rules for each field (docs/delivery.md, "Publishing").
//!
//! Owns the payloads and their JSON. That JSON is what the database stores, what the content hash covers, and
//! what the generic format sends as `data`: the names of the `.proto` in camelCase and in its order, absent
//! fields left out. An optional text that is empty is absent.

use std::str::FromStr;

use prost_types::Timestamp;
use proto::timestamp;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::domain::did::Did;
use crate::domain::event_type::EventType;
use crate::domain::rule::{BrokenField, Rule, storable};

/// The longest name of a publisher, in bytes.
const PUBLISHER_MAX_BYTES: usize = 64;
/// The longest idempotency key, in bytes.
const KEY_MAX_BYTES: usize = 128;
/// All texts of a payload together, in bytes.
const PAYLOAD_MAX_BYTES: usize = 20_000;
/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z in Unix seconds: what a `google.protobuf.Timestamp` holds.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
const NANOS: std::ops::Range<i32> = 0..1_000_000_000;
/// The same years in Unix milliseconds.
pub(crate) const YEARS_1_TO_9999_MS: std::ops::RangeInclusive<i64> =
    -62_135_596_800_000..=253_402_300_799_999;

/// The message at `path`, which must be there.
///
/// # Errors
///
/// It is absent.
pub(crate) fn required<T>(path: &str, value: Option<T>) -> Result<T, BrokenField> {
    value.ok_or_else(|| Rule::Required.at(path))
}

/// An event to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) publisher: Publisher,
    pub(crate) idempotency_key: IdempotencyKey,
    /// Whose webhooks receive it.
    pub(crate) streamer: Did,
    pub(crate) occurred_at: OccurredAt,
    pub(crate) payload: Payload,
}

impl Event {
    /// What its deliveries say.
    pub(crate) fn message(&self) -> Message<'_> {
        let Self { publisher: _, idempotency_key: _, streamer, occurred_at, payload } = self;
        Message { streamer, occurred_at_ms: occurred_at.unix_ms(), payload }
    }

    /// SHA-256 over all fields but publisher and key. Equal for events that are the same, and stored for 7
    /// days: a change of it makes every repeated event a conflict.
    pub(crate) fn content_hash(&self) -> [u8; 32] {
        #[derive(Serialize)]
        struct Content<'a> {
            streamer: &'a Did,
            seconds: i64,
            nanos: i32,
            r#type: &'a str,
            payload: &'a Payload,
        }
        let Self { publisher: _, idempotency_key: _, streamer, occurred_at, payload } = self;
        let OccurredAt { seconds, nanos } = *occurred_at;
        let r#type = payload.event_type().as_str();
        let json = serde_json::to_vec(&Content { streamer, seconds, nanos, r#type, payload });
        let hash = digest(&SHA256, &json.expect("texts and numbers are JSON"));
        hash.as_ref().try_into().expect("a SHA-256 has 32 bytes")
    }
}

/// What a delivery says: a stored event without the fields that only publishing needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) streamer: &'a Did,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) occurred_at_ms: i64,
    pub(crate) payload: &'a Payload,
}

/// An event as it is read back, for the first attempt of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoredEvent {
    /// Of a streamer.
    Message {
        streamer: Did,
        /// Milliseconds since 1970-01-01T00:00:00Z.
        occurred_at_ms: i64,
        payload: Payload,
        /// Whether it was read from the public network, so that it has DIDs where a body has names.
        of_network: bool,
    },
    /// Of a record, for a webhook that is a record: the JSON that its receiver gets.
    Record(String),
}

impl StoredEvent {
    pub(crate) fn says(&self) -> Says<'_> {
        match self {
            Self::Message { streamer, occurred_at_ms, payload, of_network: _ } => {
                Says::Message(Message { streamer, occurred_at_ms: *occurred_at_ms, payload })
            }
            Self::Record(json) => Says::Record(json),
        }
    }

    /// Whether it was read from the public network, so that it has DIDs where a body has names.
    pub(crate) fn is_of_network(&self) -> bool {
        matches!(self, Self::Message { of_network: true, .. })
    }
}

/// What the body of a delivery is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Says<'a> {
    Message(Message<'a>),
    /// The JSON that the receiver gets.
    Record(&'a str),
}

/// Who publishes: at most 64 bytes; the empty name is one like any other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Publisher(String);

impl Publisher {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Publisher {
    type Err = Rule;

    fn from_str(text: &str) -> Result<Self, Rule> {
        storable(text, 0, PUBLISHER_MAX_BYTES)?;
        Ok(Self(text.to_owned()))
    }
}

/// 1 to 128 bytes, unique among the events of a publisher.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct IdempotencyKey(String);

impl IdempotencyKey {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = Rule;

    fn from_str(text: &str) -> Result<Self, Rule> {
        storable(text, 1, KEY_MAX_BYTES)?;
        Ok(Self(text.to_owned()))
    }
}

/// When the event happened, in the years 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OccurredAt {
    seconds: i64,
    nanos: i32,
}

impl OccurredAt {
    /// Checks the `seconds` and `nanos` of a `google.protobuf.Timestamp` at `path`.
    ///
    /// # Errors
    ///
    /// They are no time.
    pub(crate) fn parse(path: &str, seconds: i64, nanos: i32) -> Result<Self, BrokenField> {
        if !SECONDS.contains(&seconds) || !NANOS.contains(&nanos) {
            return Err(Rule::Timestamp.at(path));
        }
        Ok(Self { seconds, nanos })
    }

    /// The moment `ms` milliseconds after 1970-01-01T00:00:00Z, which a clock has shown.
    pub(crate) fn of_unix_ms(ms: i64) -> Self {
        let Timestamp { seconds, nanos } = timestamp::of_unix_ms(ms);
        Self { seconds, nanos }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z; what is finer is cut off.
    pub(crate) fn unix_ms(self) -> i64 {
        self.seconds * 1000 + i64::from(self.nanos / 1_000_000)
    }
}

/// What happened. All texts of one together have at most 20,000 bytes, and none has U+0000.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Payload {
    Chat(Chat),
    Livestream(Livestream),
    Follow(Follow),
    Mention(Mention),
    StreamReceived(StreamReceived),
}

/// An account that did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Actor {
    pub(crate) did: Did,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) handle: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) avatar_url: Option<String>,
}

/// A chat message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Chat {
    pub(crate) author: Actor,
    pub(crate) text: String,
    pub(crate) uri: String,
}

/// The streamer went live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Livestream {
    /// The streamer's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) handle: Option<String>,
    pub(crate) title: String,
    pub(crate) url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) thumbnail_url: Option<String>,
    /// The hash of the picture in the streamer's repository, of an event that was read from the network: the
    /// URL follows from it when the body is made. In no body, and never published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) thumbnail_cid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) post_uri: Option<String>,
}

/// Somebody follows the streamer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Follow {
    pub(crate) follower: Actor,
}

/// A post mentions the streamer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mention {
    pub(crate) author: Actor,
    pub(crate) text: String,
    pub(crate) uri: String,
}

/// The first video of a stream arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamReceived {}

impl Payload {
    pub(crate) fn event_type(&self) -> EventType {
        match self {
            Self::Chat(_) => EventType::Chat,
            Self::Livestream(_) => EventType::Livestream,
            Self::Follow(_) => EventType::Follow,
            Self::Mention(_) => EventType::Mention,
            Self::StreamReceived(_) => EventType::StreamReceived,
        }
    }

    /// Checks what was built from the message at `path`, such as `events[3].chat`. The DIDs are checked
    /// already.
    ///
    /// # Errors
    ///
    /// The first text with U+0000 or more than 20,000 bytes; or all together have more.
    pub(crate) fn checked(self, path: &str) -> Result<Self, BrokenField> {
        let payload = self.without_empty_options();
        let mut bytes = 0;
        for (name, text) in payload.texts() {
            storable(text, 0, PAYLOAD_MAX_BYTES).map_err(|rule| rule.at(format!("{path}.{name}")))?;
            bytes += text.len();
        }
        if bytes > PAYLOAD_MAX_BYTES {
            return Err(Rule::AtMostBytes { max: PAYLOAD_MAX_BYTES }.at(path));
        }
        Ok(payload)
    }

    /// The stored JSON.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts are JSON")
    }

    /// Reads stored JSON.
    ///
    /// # Errors
    ///
    /// It is not that of a payload of this type.
    pub(crate) fn from_json(event_type: EventType, json: &str) -> Result<Self, serde_json::Error> {
        match event_type {
            EventType::Chat => serde_json::from_str(json).map(Self::Chat),
            EventType::Livestream => serde_json::from_str(json).map(Self::Livestream),
            EventType::Follow => serde_json::from_str(json).map(Self::Follow),
            EventType::Mention => serde_json::from_str(json).map(Self::Mention),
            EventType::StreamReceived => serde_json::from_str(json).map(Self::StreamReceived),
        }
    }

    /// Every text with its path in the `.proto` message, in its order.
    fn texts(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Chat(Chat { author, text, uri }) | Self::Mention(Mention { author, text, uri }) => {
                let [did, handle, avatar_url] = author.texts();
                vec![
                    ("author.did", did),
                    ("author.handle", handle),
                    ("author.avatar_url", avatar_url),
                    ("text", text),
                    ("uri", uri),
                ]
            }
            Self::Livestream(livestream) => livestream.texts(),
            Self::Follow(Follow { follower }) => {
                let [did, handle, avatar_url] = follower.texts();
                vec![("follower.did", did), ("follower.handle", handle), ("follower.avatar_url", avatar_url)]
            }
            Self::StreamReceived(StreamReceived {}) => Vec::new(),
        }
    }

    fn without_empty_options(mut self) -> Self {
        let options = match &mut self {
            Self::Chat(Chat { author: actor, text: _, uri: _ })
            | Self::Mention(Mention { author: actor, text: _, uri: _ })
            | Self::Follow(Follow { follower: actor }) => vec![&mut actor.handle, &mut actor.avatar_url],
            Self::Livestream(livestream) => livestream.options(),
            Self::StreamReceived(StreamReceived {}) => Vec::new(),
        };
        for option in options {
            option.take_if(|text| text.is_empty());
        }
        self
    }
}

impl Livestream {
    fn texts(&self) -> Vec<(&'static str, &str)> {
        let Self { handle, title, url, host, thumbnail_url, thumbnail_cid, post_uri } = self;
        vec![
            ("handle", handle.as_deref().unwrap_or_default()),
            ("title", title),
            ("url", url),
            ("host", host.as_deref().unwrap_or_default()),
            ("thumbnail_url", thumbnail_url.as_deref().unwrap_or_default()),
            ("thumbnail_cid", thumbnail_cid.as_deref().unwrap_or_default()),
            ("post_uri", post_uri.as_deref().unwrap_or_default()),
        ]
    }

    fn options(&mut self) -> Vec<&mut Option<String>> {
        let Self { handle, title: _, url: _, host, thumbnail_url, thumbnail_cid, post_uri } = self;
        vec![handle, host, thumbnail_url, thumbnail_cid, post_uri]
    }
}

impl Actor {
    /// `@handle`, or the DID of one without a handle.
    pub(crate) fn name(&self) -> String {
        name(self.handle.as_deref(), &self.did)
    }

    fn texts(&self) -> [&str; 3] {
        let Self { did, handle, avatar_url } = self;
        [did.as_str(), handle.as_deref().unwrap_or_default(), avatar_url.as_deref().unwrap_or_default()]
    }
}

/// `@handle`, or the DID where there is no handle.
pub(crate) fn name(handle: Option<&str>, did: &Did) -> String {
    handle.map_or_else(|| did.to_string(), |handle| format!("@{handle}"))
}

#[cfg(test)]
pub(crate) mod tests;
