//! Streamplace's events, derived from the records of the network (docs/intake.md, "Streamplace's events").
//!
//! Owns what fires on what, as far as the commit says it. What else decides is in the database, and a
//! [`Check`] names it: blocks, access rules, and what came before. Times are those of the stream, never the
//! wall clock: after an outage an event is judged as it would have been.

use std::borrow::Cow;
use std::time::Duration;

use chrono::DateTime;
use jetstream::event::{Commit, Operation};
use url::Url;
use uuid::Uuid;

use self::fields::{ChatMessage, Follow, Livestream, Origin, Post, read};
use super::event_id::{Recipient, event_id};
use super::interests::Interests;
use crate::delivery::event::{self, Actor, Payload, StreamReceived};
use crate::domain::did::Did;
use crate::domain::event_type::EventType;

mod fields;

pub(crate) const CHAT_MESSAGE: &str = "place.stream.chat.message";
pub(crate) const LIVESTREAM: &str = "place.stream.livestream";
pub(crate) const ORIGIN: &str = "place.stream.broadcast.origin";
pub(crate) const FOLLOW: &str = "app.bsky.graph.follow";
pub(crate) const POST: &str = "app.bsky.feed.post";

/// How far behind the stream `createdAt` of a chat message may be.
const CHAT_AGE: Duration = Duration::from_mins(2);
/// How far from the stream `createdAt` of a livestream may be.
const LIVESTREAM_AGE: Duration = Duration::from_mins(10);
/// The most mentions of one record that are told.
const MAX_MENTIONS: usize = 100;
/// How long a streamer has no origin before the next one is an event.
pub(crate) const OFF_THE_AIR: Duration = Duration::from_mins(5);
/// Within what time the same follower is no second event.
pub(crate) const FOLLOWS_AGAIN: Duration = Duration::from_hours(24);
/// How late a chat message is still sent, after an outage.
const CHAT_LATENESS: Duration = Duration::from_hours(1);
/// How late any other event is still sent, after an outage.
const LATENESS: Duration = Duration::from_hours(24);

/// An event that somebody wants, unless a check refuses it. Its id is stored either way, so that it is judged
/// once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) id: Uuid,
    /// Whose webhooks it is for.
    pub(crate) streamer: Did,
    /// Who did it.
    pub(crate) author: Did,
    pub(crate) event_type: EventType,
    /// When the stream had it, in microseconds since 1970-01-01T00:00:00Z.
    pub(crate) time_us: i64,
    /// What it says, without handles, avatars and thumbnails; or what in the commit forbids it.
    pub(crate) verdict: Result<Payload, Refusal>,
    /// What the database decides.
    pub(crate) check: Check,
}

impl Candidate {
    /// The bytes of the text that somebody wrote.
    pub(crate) fn text_bytes(&self) -> usize {
        match &self.verdict {
            Ok(Payload::Chat(chat)) => chat.text.len(),
            Ok(Payload::Mention(mention)) => mention.text.len(),
            Ok(_) | Err(_) => 0,
        }
    }
}

/// What the database has to say about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Nothing.
    None,
    /// The streamer must not block the author.
    Blocks,
    /// The streamer must neither block the author nor refuse them by access rules.
    BlocksAndAccess,
    /// The streamer must not block the author, who has not followed within [`FOLLOWS_AGAIN`].
    BlocksAndFollows,
    /// There was no origin of the streamer within [`OFF_THE_AIR`].
    Origins,
}

/// Why there is no delivery of an event that somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Refusal {
    /// The streamer did it.
    Myself,
    EmptyText,
    /// A link with a script in it.
    ScriptLink,
    /// `createdAt` is too far from the time of the stream, or no time.
    Old,
    /// The livestream has ended, or its push is switched off.
    NotLive,
    /// Its texts are longer than those of an event, or have U+0000.
    Payload,
    /// The streamer blocks the author.
    Blocked,
    /// The streamer's access rules refuse the author.
    Access,
    /// Something like it came shortly before.
    Repeated,
    /// It is read too long after it happened.
    Late,
}

impl Refusal {
    pub(crate) const ALL: [Self; 10] = [
        Self::Myself,
        Self::EmptyText,
        Self::ScriptLink,
        Self::Old,
        Self::NotLive,
        Self::Payload,
        Self::Blocked,
        Self::Access,
        Self::Repeated,
        Self::Late,
    ];

    /// The word for metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Myself => "self",
            Self::EmptyText => "empty_text",
            Self::ScriptLink => "script_link",
            Self::Old => "old",
            Self::NotLive => "not_live",
            Self::Payload => "payload",
            Self::Blocked => "blocked",
            Self::Access => "access",
            Self::Repeated => "repeated",
            Self::Late => "late",
        }
    }
}

/// A record has not the form of its collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record has not the form of its collection")]
pub(crate) struct UnreadableRecord;

/// The events that `commit` in the repository of `did` makes for the streamers of `interests`. `time_us` is
/// when the stream had it, in microseconds since 1970-01-01T00:00:00Z. Origins of who is `known` count also
/// while nobody wants them: later ones are judged by them.
///
/// # Errors
///
/// The record can't be read, so that it is not known whom it concerns.
pub(crate) fn derive(
    did: &str,
    commit: &Commit,
    time_us: i64,
    interests: &Interests,
    known: bool,
) -> Result<Vec<Candidate>, UnreadableRecord> {
    let created = commit.operation == Operation::Create;
    let Some(record) = commit.record.as_deref() else { return Ok(Vec::new()) };
    let source = Source { did, commit, time_us, interests };
    match commit.collection.as_str() {
        CHAT_MESSAGE if created => source.chat_message(&read(record)?),
        POST if created => source.post(&read(record)?),
        FOLLOW if created => source.follow(&read(record)?),
        LIVESTREAM if created && interests.wants(did, EventType::Livestream) => {
            source.livestream(&read(record)?)
        }
        ORIGIN if known || interests.wants(did, EventType::StreamReceived) => source.origin(&read(record)?),
        _ => Ok(Vec::new()),
    }
}

/// Whether an event of `time_us` is too late to be sent at `now_us`.
pub(crate) fn is_late(event_type: EventType, time_us: i64, now_us: i64) -> bool {
    let lateness = if event_type == EventType::Chat { CHAT_LATENESS } else { LATENESS };
    passed(time_us, now_us) > lateness
}

/// A commit, and who wants what.
struct Source<'a> {
    did: &'a str,
    commit: &'a Commit,
    time_us: i64,
    interests: &'a Interests,
}

type Candidates = Result<Vec<Candidate>, UnreadableRecord>;

impl Source<'_> {
    fn chat_message(&self, message: &ChatMessage<'_>) -> Candidates {
        let streamer = message.streamer.as_ref();
        let mut candidates = Vec::new();
        if self.interests.wants(streamer, EventType::Chat) {
            let payload = self.chat_payload(message);
            candidates.extend(self.candidate(streamer, EventType::Chat, Check::BlocksAndAccess, payload));
        }
        // In the streamer's own chat it is chat alone.
        let mentioned = message.facets.mentioned();
        self.mentions(
            message.text.as_deref().unwrap_or_default(),
            mentioned.filter(|did| did.as_ref() != streamer),
            &mut candidates,
        );
        Ok(candidates)
    }

    fn chat_payload(&self, message: &ChatMessage<'_>) -> Result<Payload, Refusal> {
        let text = message.text.as_deref().filter(|text| !text.is_empty()).ok_or(Refusal::EmptyText)?;
        if message.facets.has_script_link() {
            return Err(Refusal::ScriptLink);
        }
        let created_us = message.created_at.as_deref().and_then(microseconds).ok_or(Refusal::Old)?;
        if passed(created_us, self.time_us) > CHAT_AGE {
            return Err(Refusal::Old);
        }
        let (author, text, uri) = (self.author()?, text.to_owned(), self.uri());
        Ok(Payload::Chat(event::Chat { author, text, uri }))
    }

    fn post(&self, post: &Post<'_>) -> Candidates {
        let mut candidates = Vec::new();
        self.mentions(post.text.as_deref().unwrap_or_default(), post.facets.mentioned(), &mut candidates);
        Ok(candidates)
    }

    fn mentions<'d>(
        &self,
        text: &str,
        mentioned: impl Iterator<Item = Cow<'d, str>>,
        candidates: &mut Vec<Candidate>,
    ) {
        let before = candidates.len();
        for streamer in mentioned.filter(|did| self.interests.wants(did, EventType::Mention)) {
            let of_mentions = &candidates[before..];
            if of_mentions.len() == MAX_MENTIONS {
                return;
            }
            if of_mentions.iter().any(|candidate| candidate.streamer.as_str() == streamer) {
                continue;
            }
            let payload = self.author().and_then(|author| {
                let (text, uri) = (text.to_owned(), self.uri());
                self.unless_self(&streamer, Payload::Mention(event::Mention { author, text, uri }))
            });
            candidates.extend(self.candidate(&streamer, EventType::Mention, Check::Blocks, payload));
        }
    }

    fn follow(&self, follow: &Follow<'_>) -> Candidates {
        let streamer = follow.subject.as_ref();
        if !self.interests.wants(streamer, EventType::Follow) {
            return Ok(Vec::new());
        }
        let payload = self
            .author()
            .and_then(|follower| self.unless_self(streamer, Payload::Follow(event::Follow { follower })));
        let candidate = self.candidate(streamer, EventType::Follow, Check::BlocksAndFollows, payload);
        Ok(candidate.into_iter().collect())
    }

    fn livestream(&self, livestream: &Livestream<'_>) -> Candidates {
        let payload = self.livestream_payload(livestream);
        let candidate = self.candidate(self.did, EventType::Livestream, Check::None, payload);
        Ok(candidate.into_iter().collect())
    }

    fn livestream_payload(&self, livestream: &Livestream<'_>) -> Result<Payload, Refusal> {
        if livestream.has_ended() || livestream.is_silent() {
            return Err(Refusal::NotLive);
        }
        let created_us = livestream.created_at.as_deref().and_then(microseconds).ok_or(Refusal::Old)?;
        if Duration::from_micros(self.time_us.abs_diff(created_us)) > LIVESTREAM_AGE {
            return Err(Refusal::Old);
        }
        let urls = [&livestream.url, &livestream.canonical_url].into_iter().filter_map(|url| url.as_deref());
        let mut urls = urls.filter_map(|text| Some((text, web_url(text)?)));
        let (url, host) = match urls.next() {
            Some((text, url)) => (text.to_owned(), url.host_str().map(str::to_owned)),
            None => (format!("https://stream.place/{}", self.did), Some("stream.place".to_owned())),
        };
        Ok(Payload::Livestream(event::Livestream {
            handle: None,
            title: livestream.title.to_string(),
            url,
            host,
            thumbnail_url: None,
            thumbnail_cid: livestream.thumbnail_cid(),
            post_uri: livestream.post_uri(),
        }))
    }

    fn origin(&self, origin: &Origin<'_>) -> Candidates {
        if !origin.is_of(self.did) {
            return Ok(Vec::new());
        }
        let payload = Ok(Payload::StreamReceived(StreamReceived {}));
        let candidate = self.candidate(self.did, EventType::StreamReceived, Check::Origins, payload);
        Ok(candidate.into_iter().collect())
    }

    fn unless_self(&self, streamer: &str, payload: Payload) -> Result<Payload, Refusal> {
        if streamer == self.did { Err(Refusal::Myself) } else { Ok(payload) }
    }

    /// `None` where `streamer` or the author has a DID that no event can have.
    fn candidate(
        &self,
        streamer: &str,
        event_type: EventType,
        check: Check,
        payload: Result<Payload, Refusal>,
    ) -> Option<Candidate> {
        let streamer = Did::of_event("streamer", streamer).ok()?;
        let author = Did::of_event("author", self.did).ok()?;
        let id = event_id(Recipient::Streamer(&streamer), self.did, self.commit);
        let checked = |payload: Payload| payload.checked("event").map_err(|_| Refusal::Payload);
        let verdict = payload.and_then(checked);
        Some(Candidate { id, streamer, author, event_type, time_us: self.time_us, verdict, check })
    }

    /// Handle and avatar are looked up by the delivery.
    fn author(&self) -> Result<Actor, Refusal> {
        let did = Did::of_event("author", self.did).map_err(|_| Refusal::Payload)?;
        Ok(Actor { did, handle: None, avatar_url: None })
    }

    fn uri(&self) -> String {
        let Commit { collection, rkey, .. } = self.commit;
        format!("at://{}/{collection}/{rkey}", self.did)
    }
}

/// A URL that leads to a page, and runs nothing.
fn web_url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http"))
}

/// How long after `then_us` it is at `now_us`, both in microseconds; zero where it is before.
fn passed(then_us: i64, now_us: i64) -> Duration {
    if now_us > then_us { Duration::from_micros(now_us.abs_diff(then_us)) } else { Duration::ZERO }
}

/// A datetime of a record, in microseconds since 1970-01-01T00:00:00Z.
fn microseconds(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())
}

#[cfg(test)]
mod tests;
