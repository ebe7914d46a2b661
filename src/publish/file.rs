//! Events as lines of JSON, with the names of `athook.v1.Event` in camelCase. What a line leaves out has a
//! default; empty lines are skipped.
//!
//! Knows the form alone. What is in it is judged by the core-service.

use std::io::{BufRead, Read as _};

use process::exit::Failure;
use prost_types::Timestamp;
use proto::athook::event::Payload;
use proto::athook::{Actor, Chat, Event, Follow, Livestream, Mention, StreamReceived};
use serde::Deserialize;

use super::Defaults;
use crate::developer;

/// The longest line, in bytes. An event that the core-service takes has at most 20 KB.
const MAX_LINE_BYTES: u64 = 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// An event, and the number of the line that it stands in.
#[derive(Debug)]
pub(super) struct Numbered {
    pub(super) line: Option<u64>,
    pub(super) event: Event,
}

/// The events of what `reader` reads, up to the first line that is none.
pub(super) struct Lines<R> {
    reader: R,
    defaults: Defaults,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R, defaults: Defaults) -> Self {
        Self { reader, defaults, number: 0 }
    }

    fn next_event(&mut self) -> Result<Option<Numbered>, String> {
        loop {
            self.number += 1;
            let mut line = Vec::new();
            let mut limited = (&mut self.reader).take(MAX_LINE_BYTES + 1);
            let read = limited.read_until(b'\n', &mut line).map_err(|error| error.to_string())?;
            if read == 0 {
                return Ok(None);
            }
            if read as u64 > MAX_LINE_BYTES {
                return Err(format!("longer than {MAX_LINE_BYTES} bytes"));
            }
            // Some editors put a byte order mark before a text.
            let line =
                if self.number == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line) } else { &line };
            let line = line.trim_ascii();
            if !line.is_empty() {
                let event = event(line, &self.defaults)?;
                return Ok(Some(Numbered { line: Some(self.number), event }));
            }
        }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Numbered, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_event();
        next.map_err(|error| format!("line {}: {error}", self.number).into()).transpose()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawLine {
    publisher: Option<String>,
    idempotency_key: Option<String>,
    streamer_did: Option<String>,
    occurred_at: Option<String>,
    chat: Option<RawChat>,
    livestream: Option<RawLivestream>,
    follow: Option<RawFollow>,
    mention: Option<RawChat>,
    stream_received: Option<RawStreamReceived>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawActor {
    did: String,
    handle: Option<String>,
    avatar_url: Option<String>,
}

/// Of a mention too.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawChat {
    author: RawActor,
    #[serde(default)]
    text: String,
    #[serde(default)]
    uri: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawLivestream {
    handle: Option<String>,
    #[serde(default)]
    title: String,
    #[serde(default)]
    url: String,
    host: Option<String>,
    thumbnail_url: Option<String>,
    post_uri: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFollow {
    follower: RawActor,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStreamReceived {}

fn event(line: &[u8], defaults: &Defaults) -> Result<Event, String> {
    if !line.starts_with(b"{") {
        return Err("not an object of JSON".to_owned());
    }
    let raw: RawLine = serde_json::from_slice(line).map_err(|error| {
        let text = error.to_string();
        // It counts the lines of this line.
        let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(before, _)| before);
        format!("column {}: {text}", error.column())
    })?;
    let RawLine {
        publisher,
        idempotency_key,
        streamer_did,
        occurred_at,
        chat,
        livestream,
        follow,
        mention,
        stream_received,
    } = raw;
    let payloads = [
        chat.map(|RawChat { author, text, uri }| {
            Payload::Chat(Chat { author: Some(author.into()), text, uri })
        }),
        livestream.map(Into::into).map(Payload::Livestream),
        follow.map(|RawFollow { follower }| Payload::Follow(Follow { follower: Some(follower.into()) })),
        mention.map(|RawChat { author, text, uri }| {
            Payload::Mention(Mention { author: Some(author.into()), text, uri })
        }),
        stream_received.map(|RawStreamReceived {}| Payload::StreamReceived(StreamReceived {})),
    ];
    let mut payloads = payloads.into_iter().flatten();
    let (Some(payload), None) = (payloads.next(), payloads.next()) else {
        return Err("one of chat, livestream, follow, mention, streamReceived is needed".to_owned());
    };
    let occurred_at = match occurred_at {
        None => defaults.occurred_at,
        Some(text) => text.parse::<Timestamp>().map_err(|error| format!("occurredAt: {text:?}: {error}"))?,
    };
    let random = || developer::random_id().map_err(|error| error.to_string());
    Ok(Event {
        publisher: publisher.unwrap_or_else(|| defaults.publisher.clone()),
        idempotency_key: idempotency_key.map_or_else(random, Ok)?,
        streamer_did: streamer_did.unwrap_or_else(|| defaults.streamer.clone()),
        occurred_at: Some(occurred_at),
        payload: Some(payload),
    })
}

impl From<RawActor> for Actor {
    fn from(raw: RawActor) -> Self {
        let RawActor { did, handle, avatar_url } = raw;
        Self { did, handle, avatar_url }
    }
}

impl From<RawLivestream> for Livestream {
    fn from(raw: RawLivestream) -> Self {
        let RawLivestream { handle, title, url, host, thumbnail_url, post_uri } = raw;
        Self { handle, title, url, host, thumbnail_url, post_uri }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Defaults {
        let occurred_at = Timestamp { seconds: 1_700_000_000, nanos: 0 };
        Defaults { publisher: "p".to_owned(), streamer: "did:plc:s".to_owned(), occurred_at }
    }

    fn read(text: &str) -> Vec<Result<Numbered, String>> {
        let lines = Lines::new(text.as_bytes(), defaults());
        lines.map(|line| line.map_err(|error| error.to_string())).collect()
    }

    #[test]
    fn every_field_is_taken_or_has_its_default() {
        let all = r#"{"publisher":"q","idempotencyKey":"k","streamerDid":"did:plc:t","occurredAt":"2026-11-21T12:00:00.5Z","#;
        let actor = r#"{"did":"did:plc:a","handle":"a.b","avatarUrl":"https://a.b/c"}"#;
        let text = [
            &format!(r#"{all}"chat":{{"author":{actor},"text":"hi","uri":"at://a"}}}}"#),
            "",
            &format!(r#"{{"mention":{{"author":{actor}}}}}"#),
            r#"{"livestream":{"handle":"h","title":"t","url":"u","host":"o","thumbnailUrl":"n","postUri":"r"}}"#,
            &format!(r#"{{"follow":{{"follower":{actor}}}}}"#),
            r#"{"streamReceived":{}}"#,
        ]
        .join("\n");
        let mut read: Vec<Numbered> = read(&text).into_iter().map(Result::unwrap).collect();
        assert!(read.iter().map(|one| one.line).eq([1, 3, 4, 5, 6].map(Some)));
        let actor = || {
            let (handle, avatar_url) = (Some("a.b".to_owned()), Some("https://a.b/c".to_owned()));
            Some(Actor { did: "did:plc:a".to_owned(), handle, avatar_url })
        };
        let first = Event {
            publisher: "q".to_owned(),
            idempotency_key: "k".to_owned(),
            streamer_did: "did:plc:t".to_owned(),
            occurred_at: Some(Timestamp { seconds: 1_795_262_400, nanos: 500_000_000 }),
            payload: Some(Payload::Chat(Chat {
                author: actor(),
                text: "hi".to_owned(),
                uri: "at://a".to_owned(),
            })),
        };
        assert_eq!(read.remove(0).event, first);
        let some = |text: &str| Some(text.to_owned());
        let payloads = [
            Payload::Mention(Mention { author: actor(), text: String::new(), uri: String::new() }),
            Payload::Livestream(Livestream {
                handle: some("h"),
                title: "t".to_owned(),
                url: "u".to_owned(),
                host: some("o"),
                thumbnail_url: some("n"),
                post_uri: some("r"),
            }),
            Payload::Follow(Follow { follower: actor() }),
            Payload::StreamReceived(StreamReceived {}),
        ];
        let mut keys = std::collections::BTreeSet::new();
        for (Numbered { line: _, event }, payload) in read.into_iter().zip(payloads) {
            assert!(keys.insert(event.idempotency_key.clone()) && event.idempotency_key.len() == 32);
            let expected = Event {
                publisher: "p".to_owned(),
                idempotency_key: event.idempotency_key.clone(),
                streamer_did: "did:plc:s".to_owned(),
                occurred_at: Some(defaults().occurred_at),
                payload: Some(payload),
            };
            assert_eq!(event, expected);
        }
    }

    #[test]
    fn bad_lines_are_named() {
        let good = r#"{"streamReceived":{}}"#;
        let long = " ".repeat(1024 * 1024);
        for (line, problem) in [
            ("{", "column 1: EOF while parsing an object"),
            ("{} {}", "column 4: trailing characters"),
            ("[]", "not an object of JSON"),
            ("{}", "one of chat, livestream, follow, mention, streamReceived is needed"),
            (
                r#"{"streamReceived":{},"follow":{"follower":{"did":"a"}}}"#,
                "one of chat, livestream, follow, mention, streamReceived is needed",
            ),
            (r#"{"streamReceived":{"a":1}}"#, "column 22: unknown field `a`, there are no fields"),
            (r#"{"follow":{"follower":{}}}"#, "column 24: missing field `did`"),
            (
                r#"{"streamReceived":{},"occurredAt":"now"}"#,
                "occurredAt: \"now\": failed to parse RFC-3339 formatted timestamp",
            ),
            (&long, "longer than 1048576 bytes"),
        ] {
            let text = format!("{good}\n{line}\n{good}\n");
            let first_two: Vec<_> = read(&text).into_iter().take(2).collect();
            assert!(first_two[0].is_ok());
            assert_eq!(first_two[1].as_ref().unwrap_err(), &format!("line 2: {problem}"));
        }
        assert!(read("\n \n").is_empty());
    }
}
