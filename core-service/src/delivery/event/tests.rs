//! Tests of events, and an event of each type for other tests.

use super::*;

pub(crate) const STREAMER: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
/// 2026-11-28T20:15:00.123Z.
pub(crate) const OCCURRED_AT_MS: i64 = 1_795_896_900_123;

/// A payload of each type, in the order of the `.proto`, with every field.
pub(crate) fn samples() -> [Payload; 5] {
    let alice = Actor {
        did: "did:plc:z72i7hdynmk6r22z27h6tvur".parse().unwrap(),
        handle: Some("alice.example".to_owned()),
        avatar_url: Some("https://cdn.example/alice.jpg".to_owned()),
    };
    [
        Payload::Chat(Chat {
            author: alice.clone(),
            text: "gg <3 & hello @everyone".to_owned(),
            uri: "at://did:plc:z72i7hdynmk6r22z27h6tvur/place.stream.chat.message/3m6k2xq7v2c2a".to_owned(),
        }),
        Payload::Livestream(Livestream {
            handle: Some("bob.example".to_owned()),
            title: "Let's paint <3".to_owned(),
            url: "https://stream.place/bob.example".to_owned(),
            host: Some("stream.place".to_owned()),
            thumbnail_url: Some("https://cdn.example/thumbnail.jpg".to_owned()),
            thumbnail_cid: Some("bafkrei".to_owned()),
            post_uri: Some(
                "at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/app.bsky.feed.post/3m6k2xq7v2c2b".to_owned(),
            ),
        }),
        Payload::Follow(Follow { follower: alice.clone() }),
        Payload::Mention(Mention {
            author: alice,
            text: "watch @bob.example paint".to_owned(),
            uri: "at://did:plc:z72i7hdynmk6r22z27h6tvur/app.bsky.feed.post/3m6k2xq7v2c2c".to_owned(),
        }),
        Payload::StreamReceived(StreamReceived {}),
    ]
}

fn event(payload: Payload) -> Event {
    Event {
        publisher: "p".parse().unwrap(),
        idempotency_key: "k".parse().unwrap(),
        streamer: STREAMER.parse().unwrap(),
        occurred_at: OccurredAt::parse("at", 1_795_896_900, 123_456_789).unwrap(),
        payload,
    }
}

fn chat(text: &str) -> Payload {
    let author = Actor { did: "did:plc:a".parse().unwrap(), handle: None, avatar_url: None };
    Payload::Chat(Chat { author, text: text.to_owned(), uri: String::new() })
}

fn checked(payload: Payload) -> Result<Payload, String> {
    payload.checked("events[3].chat").map_err(|error| error.to_string())
}

#[test]
fn stored_json_is_read_back() {
    for payload in samples() {
        let json = payload.to_json();
        assert_eq!(Payload::from_json(payload.event_type(), &json).unwrap(), payload, "{json}");
    }
    assert!(Payload::from_json(EventType::Chat, "{}").is_err());
    let no_did = r#"{"follower":{"did":"alice"}}"#;
    assert!(Payload::from_json(EventType::Follow, no_did).is_err());
}

#[test]
fn absent_fields_are_left_out() {
    assert_eq!(chat("a").to_json(), r#"{"author":{"did":"did:plc:a"},"text":"a","uri":""}"#);
    let livestream = Livestream {
        handle: Some(String::new()),
        title: "a".to_owned(),
        url: String::new(),
        host: Some(String::new()),
        thumbnail_url: Some(String::new()),
        thumbnail_cid: Some(String::new()),
        post_uri: None,
    };
    let payload = checked(Payload::Livestream(livestream)).unwrap();
    assert_eq!(payload.to_json(), r#"{"title":"a","url":""}"#);
}

#[test]
fn size_of_a_payload() {
    let room = PAYLOAD_MAX_BYTES - "did:plc:a".len();
    assert!(checked(chat(&"a".repeat(room))).is_ok());
    let all = "events[3].chat: must be at most 20000 bytes";
    assert_eq!(checked(chat(&"a".repeat(room + 1))).unwrap_err(), all);
    let text = "events[3].chat.text: must be at most 20000 bytes";
    assert_eq!(checked(chat(&"é".repeat(10_001))).unwrap_err(), text);
}

#[test]
fn nul_in_any_text() {
    let mut seen = 0;
    for payload in samples() {
        for (name, _) in payload.texts().into_iter().filter(|(name, _)| !name.ends_with("did")) {
            // The JSON of each field has the last part of its name in camelCase.
            let last = name.rsplit('.').next().unwrap();
            let key = match last {
                "avatar_url" => "avatarUrl",
                "thumbnail_url" => "thumbnailUrl",
                "thumbnail_cid" => "thumbnailCid",
                "post_uri" => "postUri",
                other => other,
            };
            let json = payload.to_json().replace(&format!(r#""{key}":""#), &format!(r#""{key}":"\u0000"#));
            let broken = Payload::from_json(payload.event_type(), &json).unwrap();
            let expected = format!("events[3].chat.{name}: must not contain U+0000");
            assert_eq!(checked(broken).unwrap_err(), expected);
            seen += 1;
        }
    }
    assert_eq!(seen, 4 + 7 + 2 + 4);
}

#[test]
fn publishers_and_keys() {
    for text in [String::new(), "a".repeat(64)] {
        assert_eq!(text.parse::<Publisher>().unwrap().as_str(), text);
    }
    assert_eq!("a".repeat(65).parse::<Publisher>(), Err(Rule::AtMostBytes { max: 64 }));
    for text in ["a".to_owned(), "a".repeat(128)] {
        assert_eq!(text.parse::<IdempotencyKey>().unwrap().as_str(), text);
    }
    for text in [String::new(), "a".repeat(129)] {
        assert_eq!(text.parse::<IdempotencyKey>(), Err(Rule::Bytes { min: 1, max: 128 }));
    }
    assert_eq!("a\0".parse::<IdempotencyKey>(), Err(Rule::Nul));
}

#[test]
fn required_message() {
    assert_eq!(required("p", Some(1)), Ok(1));
    assert_eq!(required::<u8>("p", None).unwrap_err().to_string(), "p: is required");
}

#[test]
fn times() {
    for (seconds, nanos, expected) in [
        (0, 0, Ok(0)),
        (1_700_000_000, 123_999_999, Ok(1_700_000_000_123)),
        (-1, 999_000_000, Ok(-1)),
        (-62_135_596_800, 0, Ok(-62_135_596_800_000)),
        (253_402_300_799, 999_999_999, Ok(253_402_300_799_999)),
        (253_402_300_800, 0, Err("at: must be a time of the years 1 to 9999")),
        (-62_135_596_801, 0, Err("at: must be a time of the years 1 to 9999")),
        (0, -1, Err("at: must be a time of the years 1 to 9999")),
        (0, 1_000_000_000, Err("at: must be a time of the years 1 to 9999")),
    ] {
        let parsed = OccurredAt::parse("at", seconds, nanos).map(OccurredAt::unix_ms);
        assert_eq!(parsed.map_err(|error| error.to_string()), expected.map_err(str::to_owned));
    }
}

#[test]
fn hash_covers_all_but_publisher_and_key() {
    let hash = |change: fn(&mut Event)| {
        let mut event = event(samples()[0].clone());
        change(&mut event);
        event.content_hash()
    };
    let first = hash(|_| {});
    assert_eq!(hash(|event| event.publisher = "q".parse().unwrap()), first);
    assert_eq!(hash(|event| event.idempotency_key = "l".parse().unwrap()), first);
    let mut all = vec![
        first,
        hash(|event| event.streamer = "did:plc:other".parse().unwrap()),
        hash(|event| event.occurred_at.nanos += 1),
        hash(|event| event.occurred_at.seconds += 1),
    ];
    all.extend(samples().into_iter().skip(1).map(|payload| event(payload).content_hash()));
    // The same JSON, another type.
    if let [Payload::Chat(Chat { author, text, uri }), ..] = samples() {
        all.push(event(Payload::Mention(Mention { author, text, uri })).content_hash());
    }
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!((all.len(), count), (9, 9));
}

/// Hashes are stored: this one must not change.
#[test]
fn hash_stays_the_same() {
    let hash: String = event(chat("a")).content_hash().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, "e2a0049d23cce1d30a9ec896aeba43c10d5838e566b05f3dcb942b0d6de20db2");
}
