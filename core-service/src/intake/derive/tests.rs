//! Streamplace's events, row by row of the table in docs/intake.md.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;

/// 2026-11-29T12:00:00Z in microseconds.
const TIME_US: i64 = 1_795_953_600_000_000;
const STREAMER: &str = "did:plc:streamer";
const OTHER: &str = "did:web:other.example";
const ALICE: &str = "did:plc:alice";

fn interests() -> Interests {
    let mut interests = Interests::default();
    let all = [
        EventType::Chat,
        EventType::Livestream,
        EventType::Follow,
        EventType::Mention,
        EventType::StreamReceived,
    ];
    interests.set_streamer(STREAMER.parse().unwrap(), all);
    interests.set_streamer(OTHER.parse().unwrap(), all);
    interests.set_streamer("did:plc:chat".parse().unwrap(), [EventType::Chat]);
    interests.set_streamer("did:plc:mention".parse().unwrap(), [EventType::Mention]);
    interests.set_streamer("did:key:odd".parse().unwrap(), all);
    interests
}

fn commit(collection: &str, operation: Operation, record: &Value) -> Commit {
    Commit {
        rev: "3l6oveex3ii2l".to_owned(),
        operation,
        collection: collection.to_owned(),
        rkey: "3l6oveex3ii2k".to_owned(),
        cid: Some("bafyrei".to_owned()),
        record: Some(serde_json::value::to_raw_value(record).unwrap()),
    }
}

fn derived(author: &str, collection: &str, record: &Value) -> Vec<Candidate> {
    let create = commit(collection, Operation::Create, record);
    derive(author, &create, TIME_US, &interests(), false).unwrap()
}

/// Streamer, type, and the payload or the refusal of each.
fn told(author: &str, collection: &str, record: &Value) -> Vec<(String, EventType, Result<String, Refusal>)> {
    let candidates = derived(author, collection, record).into_iter();
    let verdict = |verdict: Result<Payload, Refusal>| verdict.map(|payload| payload.to_json());
    candidates
        .map(|candidate| (candidate.streamer.to_string(), candidate.event_type, verdict(candidate.verdict)))
        .collect()
}

/// `base` with `changes`; `null` takes a field away.
fn with(mut base: Value, changes: &Value) -> Value {
    let fields = base.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        fields.remove(name);
        if !value.is_null() {
            fields.insert(name.clone(), value.clone());
        }
    }
    base
}

fn chat(changes: &Value) -> Value {
    let message = json!({
        "$type": CHAT_MESSAGE, "streamer": STREAMER, "text": "hello", "createdAt": "2026-11-29T11:59:59.500Z",
    });
    with(message, changes)
}

fn mention(lexicon: &str, did: &str) -> Value {
    json!({"index": {"byteStart": 0, "byteEnd": 1}, "features": [{"$type": format!("{lexicon}#mention"), "did": did}]})
}

fn bluesky_mention(did: &str) -> Value {
    mention("app.bsky.richtext.facet", did)
}

fn livestream(changes: &Value) -> Value {
    let livestream = json!({
        "$type": LIVESTREAM, "title": "Painting", "createdAt": "2026-11-29T11:55:00Z",
        "url": "https://stream.place",
    });
    with(livestream, changes)
}

#[test]
fn chat_message() {
    let [candidate] = derived(ALICE, CHAT_MESSAGE, &chat(&json!({}))).try_into().unwrap();
    let Candidate { id, streamer, author, event_type, time_us, verdict, check } = candidate;
    assert_eq!((streamer.as_str(), author.as_str(), time_us), (STREAMER, ALICE, TIME_US));
    assert_eq!((event_type, check), (EventType::Chat, Check::BlocksAndAccess));
    let create = commit(CHAT_MESSAGE, Operation::Create, &json!({}));
    assert_eq!(id, event_id(Recipient::Streamer(&streamer), ALICE, &create));
    assert_eq!(
        verdict.unwrap().to_json(),
        r#"{"author":{"did":"did:plc:alice"},"text":"hello","uri":"at://did:plc:alice/place.stream.chat.message/3l6oveex3ii2k"}"#
    );
}

#[test]
fn refused_chat_messages() {
    let link = |uri: &str| json!([{"features": [{"$type": "app.bsky.richtext.facet#link", "uri": uri}]}]);
    let mut with_odd_did = link("javascript:alert(1)");
    with_odd_did[0]["features"][0]["did"] = json!(3);
    for (changes, refusal) in [
        (json!({"text": ""}), Some(Refusal::EmptyText)),
        (json!({"text": null}), Some(Refusal::EmptyText)),
        (json!({"text": " "}), None),
        (json!({"facets": link("javascript:alert(1)")}), Some(Refusal::ScriptLink)),
        (json!({"facets": link("JavaScript:alert(1)")}), Some(Refusal::ScriptLink)),
        (json!({"facets": link("\u{1} java\tscript:alert(1)")}), Some(Refusal::ScriptLink)),
        (json!({"facets": link("https://a.example/javascript:")}), None),
        (json!({"facets": with_odd_did}), Some(Refusal::ScriptLink)),
        (json!({"facets": {}}), None),
        (json!({"text": 5}), Some(Refusal::EmptyText)),
        (json!({"createdAt": {}}), Some(Refusal::Old)),
        (json!({"facets": link("javascript")}), None),
        (json!({"createdAt": "2026-11-29T11:58:00Z"}), None),
        (json!({"createdAt": "2026-11-29T11:57:59.999Z"}), Some(Refusal::Old)),
        (json!({"createdAt": "2026-11-29T12:58:00+01:00"}), None),
        (json!({"createdAt": "2027-11-29T12:00:00Z"}), None),
        (json!({"createdAt": "yesterday"}), Some(Refusal::Old)),
        (json!({"createdAt": null}), Some(Refusal::Old)),
        (json!({"text": "x".repeat(19_000)}), None),
        (json!({"text": "x".repeat(20_001)}), Some(Refusal::Payload)),
        (json!({"text": "a\0b"}), Some(Refusal::Payload)),
        (json!({"facets": null, "reply": 5, "more": [1]}), None),
        (json!({"facets": [5, {"features": 5}, {"features": [5, {"$type": 1}]}]}), None),
    ] {
        let [(streamer, event_type, verdict)] =
            told(ALICE, CHAT_MESSAGE, &chat(&changes)).try_into().unwrap();
        assert_eq!((streamer.as_str(), event_type), (STREAMER, EventType::Chat));
        assert_eq!(verdict.err(), refusal, "{changes}");
    }
}

#[test]
fn streamers_write_in_their_own_chat() {
    let [(_, event_type, verdict)] = told(STREAMER, CHAT_MESSAGE, &chat(&json!({}))).try_into().unwrap();
    assert!(event_type == EventType::Chat && verdict.is_ok());
}

#[test]
fn mentions_in_posts() {
    let post = |facets: Value| json!({"$type": POST, "text": "hi @a", "createdAt": "x", "facets": facets});
    let streamers = |facets: Value| {
        let told = told(ALICE, POST, &post(facets));
        assert!(
            told.iter().all(|(_, event_type, verdict)| *event_type == EventType::Mention && verdict.is_ok())
        );
        told.into_iter().map(|(streamer, _, _)| streamer).collect::<Vec<_>>()
    };
    assert_eq!(streamers(json!([bluesky_mention(STREAMER)])), [STREAMER]);
    assert_eq!(streamers(json!([mention("place.stream.richtext.facet", STREAMER)])), [STREAMER]);
    // Two streamers; each of them once.
    let both = json!([bluesky_mention(STREAMER), bluesky_mention(OTHER), bluesky_mention(STREAMER)]);
    assert_eq!(streamers(both), [STREAMER, OTHER]);
    for facets in [
        json!(null),
        json!([]),
        json!([bluesky_mention("did:plc:nobody")]),
        json!([bluesky_mention("did:plc:chat")]),
        json!([bluesky_mention("did:key:odd")]),
        json!([mention("app.bsky.richtext.other", STREAMER)]),
        json!([{"features": [{"$type": "app.bsky.richtext.facet#tag", "did": STREAMER}]}]),
        json!([{"features": [{"$type": "app.bsky.richtext.facet#mention"}]}]),
    ] {
        assert_eq!(streamers(facets), [""; 0]);
    }
    let [candidate] = derived(ALICE, POST, &post(json!([bluesky_mention(STREAMER)]))).try_into().unwrap();
    assert_eq!(candidate.check, Check::Blocks);
    assert_eq!(
        candidate.verdict.unwrap().to_json(),
        r#"{"author":{"did":"did:plc:alice"},"text":"hi @a","uri":"at://did:plc:alice/app.bsky.feed.post/3l6oveex3ii2k"}"#
    );
    let [(_, _, verdict)] =
        told(STREAMER, POST, &post(json!([bluesky_mention(STREAMER)]))).try_into().unwrap();
    assert_eq!(verdict, Err(Refusal::Myself));
}

#[test]
fn mentions_in_chats() {
    let of = |changes: Value| {
        let told = told(ALICE, CHAT_MESSAGE, &chat(&changes)).into_iter();
        told.map(|(streamer, event_type, _)| format!("{event_type} {streamer}")).collect::<Vec<_>>()
    };
    let facets = |did: &str| json!([mention("place.stream.richtext.facet", did)]);
    // In the streamer's own chat it is chat alone, also if nobody wants that.
    assert_eq!(of(json!({"facets": facets(STREAMER)})), ["chat did:plc:streamer"]);
    assert_eq!(
        of(json!({"facets": facets(OTHER)})),
        ["chat did:plc:streamer", "mention did:web:other.example"]
    );
    let nobody = json!({"streamer": "did:plc:nobody", "facets": facets(OTHER)});
    assert_eq!(of(nobody), ["mention did:web:other.example"]);
    let own = json!({"streamer": "did:plc:mention", "facets": facets("did:plc:mention")});
    assert_eq!(of(own), [""; 0]);
    // What refuses the chat message does not refuse the mention.
    let old = json!({"createdAt": "2020-01-01T00:00:00Z", "facets": facets(OTHER)});
    let verdicts: Vec<_> =
        told(ALICE, CHAT_MESSAGE, &chat(&old)).into_iter().map(|(_, _, v)| v.is_ok()).collect();
    assert_eq!(verdicts, [false, true]);
}

#[test]
fn most_mentions() {
    let mut interests = Interests::default();
    let name = |index| format!("did:web:streamer-{index}.example");
    for index in 0..=MAX_MENTIONS {
        interests.set_streamer(name(index).parse().unwrap(), [EventType::Mention]);
    }
    let facets: Vec<_> = (0..=MAX_MENTIONS).map(|index| bluesky_mention(&name(index))).collect();
    let post = commit(POST, Operation::Create, &json!({"text": "a", "facets": facets}));
    assert_eq!(derive(ALICE, &post, TIME_US, &interests, false).unwrap().len(), MAX_MENTIONS);
}

#[test]
fn follows() {
    let follow = |subject: &str| json!({"$type": FOLLOW, "subject": subject, "via": {"uri": "x"}});
    let [candidate] = derived(ALICE, FOLLOW, &follow(STREAMER)).try_into().unwrap();
    assert_eq!((candidate.streamer.as_str(), candidate.check), (STREAMER, Check::BlocksAndFollows));
    assert_eq!(candidate.verdict.unwrap().to_json(), r#"{"follower":{"did":"did:plc:alice"}}"#);
    let [(_, _, verdict)] = told(STREAMER, FOLLOW, &follow(STREAMER)).try_into().unwrap();
    assert_eq!(verdict, Err(Refusal::Myself));
    for (author, subject) in [(ALICE, "did:plc:nobody"), (ALICE, "did:plc:chat"), ("did:key:odd", STREAMER)] {
        assert_eq!(derived(author, FOLLOW, &follow(subject)), []);
    }
}

#[test]
fn livestreams() {
    let of = |changes: Value| {
        let [candidate] = derived(STREAMER, LIVESTREAM, &livestream(&changes)).try_into().unwrap();
        assert_eq!((candidate.author.as_str(), candidate.check), (STREAMER, Check::None));
        candidate.verdict.map(|payload| payload.to_json())
    };
    let at = |host: &str, url: &str| format!(r#"{{"title":"Painting","url":"{url}","host":"{host}"}}"#);
    let home = "https://stream.place/did:plc:streamer";
    for (changes, body) in [
        (json!({}), at("stream.place", "https://stream.place")),
        (
            json!({"url": "https://a.example:8443/x", "canonicalUrl": "https://b.example/y"}),
            at("a.example", "https://a.example:8443/x"),
        ),
        (json!({"url": null, "canonicalUrl": "https://b.example/y"}), at("b.example", "https://b.example/y")),
        (json!({"url": "", "canonicalUrl": ""}), at("stream.place", home)),
        (json!({"url": null}), at("stream.place", home)),
        (json!({"url": "nowhere"}), at("stream.place", home)),
        (json!({"url": "javascript:alert(1)", "canonicalUrl": 5}), at("stream.place", home)),
        (
            json!({"post": {"uri": "at://a", "cid": "b"}, "thumb": {"$type": "blob", "ref": {"$link": "bafkrei"}}}),
            r#"{"title":"Painting","url":"https://stream.place","host":"stream.place","thumbnailCid":"bafkrei","postUri":"at://a"}"#
                .to_owned(),
        ),
        (json!({"post": 1, "thumb": {"cid": "old"}, "agent": []}), at("stream.place", "https://stream.place")),
        (json!({"notificationSettings": {"pushNotification": true}}), at("stream.place", "https://stream.place")),
        (json!({"notificationSettings": {}}), at("stream.place", "https://stream.place")),
        (json!({"createdAt": "2026-11-29T11:50:00Z"}), at("stream.place", "https://stream.place")),
        (json!({"createdAt": "2026-11-29T12:10:00Z"}), at("stream.place", "https://stream.place")),
    ] {
        assert_eq!(of(changes.clone()), Ok(body), "{changes}");
    }
    for (changes, refusal) in [
        (json!({"endedAt": "2026-11-29T12:00:00Z"}), Refusal::NotLive),
        (json!({"notificationSettings": {"pushNotification": false}}), Refusal::NotLive),
        (json!({"createdAt": "2026-11-29T11:49:59.999Z"}), Refusal::Old),
        (json!({"createdAt": "2026-11-29T12:10:00.001Z"}), Refusal::Old),
        (json!({"createdAt": null}), Refusal::Old),
        (json!({"title": "a\0b"}), Refusal::Payload),
        (json!({"url": format!("https://a.example/{}", "x".repeat(20_000))}), Refusal::Payload),
    ] {
        assert_eq!(of(changes.clone()), Err(refusal), "{changes}");
    }
    assert_eq!(derived(ALICE, LIVESTREAM, &livestream(&json!({}))), []);
    // It is rewritten every 30 s.
    let update = commit(LIVESTREAM, Operation::Update, &livestream(&json!({})));
    assert_eq!(derive(STREAMER, &update, TIME_US, &interests(), false), Ok(vec![]));
}

#[test]
fn origins() {
    let origin =
        |streamer: Value| json!({"$type": ORIGIN, "streamer": streamer, "server": "did:web:a.example"});
    for operation in [Operation::Create, Operation::Update] {
        let commit = commit(ORIGIN, operation, &origin(json!(STREAMER)));
        let [candidate] =
            derive(STREAMER, &commit, TIME_US, &interests(), false).unwrap().try_into().unwrap();
        assert_eq!((candidate.streamer.as_str(), candidate.check), (STREAMER, Check::Origins));
        assert_eq!(candidate.verdict, Ok(Payload::StreamReceived(StreamReceived {})));
    }
    // Somebody else's word counts for nothing.
    assert_eq!(derived(ALICE, ORIGIN, &origin(json!(STREAMER))), []);
    assert_eq!(derived(STREAMER, ORIGIN, &origin(json!(OTHER))), []);
    assert_eq!(derived("did:plc:mention", ORIGIN, &origin(json!("did:plc:mention"))), []);
    let create = commit(ORIGIN, Operation::Create, &origin(json!("did:plc:mention")));
    assert_eq!(derive("did:plc:mention", &create, TIME_US, &interests(), true).unwrap().len(), 1);
}

#[test]
fn updates_and_deletions_make_nothing() {
    let post = json!({"text": "a", "facets": [bluesky_mention(STREAMER)]});
    let follow = json!({"subject": STREAMER});
    for (collection, record) in [(CHAT_MESSAGE, chat(&json!({}))), (POST, post), (FOLLOW, follow)] {
        let update = commit(collection, Operation::Update, &record);
        assert_eq!(derive(ALICE, &update, TIME_US, &interests(), false), Ok(vec![]), "{collection}");
        let delete = Commit { record: None, ..commit(collection, Operation::Delete, &record) };
        assert_eq!(derive(ALICE, &delete, TIME_US, &interests(), false), Ok(vec![]), "{collection}");
    }
    assert_eq!(derived(ALICE, "app.bsky.feed.like", &json!({"subject": STREAMER})), []);
}

/// The network has records like these.
#[test]
fn hostile() {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let of = |collection: &str, json: &str| {
        let record = RawValue::from_string(json.to_owned()).unwrap();
        let create = Commit { record: Some(record), ..commit(collection, Operation::Create, &json!({})) };
        derive(STREAMER, &create, TIME_US, &interests(), false).map(|candidates| candidates.len())
    };
    for json in
        ["null", "[]", "\"did:plc:streamer\"", "{\"streamer\":1}", "[\"did:plc:streamer\",\"text\"]", &deep]
    {
        for collection in [CHAT_MESSAGE, FOLLOW, LIVESTREAM] {
            assert_eq!(of(collection, json), Err(UnreadableRecord), "{collection} {json:.20}");
        }
    }
    let message = |field: &str| format!(r#"{{"streamer":"did:plc:streamer","text":"a",{field}}}"#);
    assert_eq!(of(CHAT_MESSAGE, &message(&format!("\"more\":{deep}"))), Ok(1));
    assert_eq!(of(CHAT_MESSAGE, &message(&format!("\"facets\":[{deep}]"))), Ok(1));
    assert_eq!(of(CHAT_MESSAGE, &message(r#""createdAt":"\ud800""#)), Ok(1));
    assert_eq!(of(CHAT_MESSAGE, &message(r#""more":"\ud800""#)), Ok(1));
}

#[test]
fn lateness() {
    let hour_us = 3_600_000_000;
    for (event_type, hours) in [(EventType::Chat, 1), (EventType::Livestream, 24), (EventType::Follow, 24)] {
        let last_us = TIME_US + hours * hour_us;
        assert!(!is_late(event_type, TIME_US, last_us) && is_late(event_type, TIME_US, last_us + 1));
        assert!(!is_late(event_type, TIME_US, TIME_US - 1));
    }
    assert!(is_late(EventType::Chat, i64::MIN, i64::MAX) && !is_late(EventType::Chat, i64::MAX, i64::MIN));
}

#[test]
fn words_of_refusals_are_different() {
    let words: std::collections::BTreeSet<_> = Refusal::ALL.iter().map(|refusal| refusal.as_str()).collect();
    assert_eq!(words.len(), Refusal::ALL.len());
}
