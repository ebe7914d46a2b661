//! Whatever is published, Discord takes what is made of it.

use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use serde_json::{Value as Json, json};

use super::rules::refusal;
use super::{Actor, Chat, Livestream, Mention, Message, Payload, Texts, body};
use crate::delivery::event::Follow;
use crate::delivery::event::tests::{OCCURRED_AT_MS, STREAMER};
use crate::domain::rewrite::Rewrite;

#[test]
fn rules_refuse_what_discord_refuses() {
    let embeds = |embeds: Json| json!({ "embeds": embeds });
    let embed = |embed: Json| embeds(json!([embed]));
    let user = |name: &str| json!({ "content": "a", "username": name });
    let mentions = |mentions: Json| json!({ "content": "a", "allowed_mentions": mentions });
    let long = |length| "é".repeat(length);
    for (body, expected) in [
        (json!({}), Some("Cannot send an empty message")),
        (json!({ "content": " \n\u{3000}" }), Some("Cannot send an empty message")),
        (json!({ "content": long(2_000) }), None),
        (json!({ "content": long(2_001) }), Some("content: 2001 characters, not 0 to 2000")),
        (json!({ "content": 1 }), Some("content: no text")),
        (json!({ "content": "a", "text": "a" }), Some("unknown field text")),
        (user("@"), None),
        (user(&long(80)), None),
        (user(&long(81)), Some("username: 81 characters, not 1 to 80")),
        (user(" "), Some("username: 0 characters, not 1 to 80")),
        (user("notDiScOrd"), Some("username: contains discord")),
        (user("Clyde 2"), Some("username: contains clyde")),
        (user("diſcord"), Some("username: contains discord")),
        (user("dis\u{200b}cord"), Some("username: contains discord")),
        (user("dis·cord"), None),
        (json!({ "content": "a", "avatar_url": "a.png" }), Some("avatar_url: Not a well formed URL: a.png")),
        (embeds(json!(vec![json!({ "title": "a" }); 10])), None),
        (embeds(json!(vec![json!({ "title": "a" }); 11])), Some("embeds: no list of at most 10")),
        (embed(json!({ "title": long(256), "description": long(4_096), "color": 0x00ff_ffff })), None),
        (embed(json!({ "title": long(257) })), Some("title: 257 characters, not 0 to 256")),
        (embed(json!({ "description": long(4_097) })), Some("description: 4097 characters, not 0 to 4096")),
        (embed(json!({ "fields": vec![json!({ "name": "a", "value": "a" }); 25] })), None),
        (embed(json!({ "fields": vec![json!({}); 26] })), Some("fields: no list of at most 25")),
        (embed(json!({ "fields": [{ "name": "a" }] })), Some("value: 0 characters, not 1 to 1024")),
        (
            embed(json!({ "fields": [{ "name": long(257), "value": "a" }] })),
            Some("name: 257 characters, not 1 to 256"),
        ),
        (
            embed(json!({ "fields": [{ "name": "a", "value": long(1_025) }] })),
            Some("value: 1025 characters, not 1 to 1024"),
        ),
        (embed(json!({ "footer": { "text": long(2_049) } })), Some("text: 2049 characters, not 1 to 2048")),
        (embed(json!({ "author": { "name": long(257) } })), Some("name: 257 characters, not 1 to 256")),
        (embeds(json!([{ "description": long(4_000) }, { "footer": { "text": long(2_000) } }])), None),
        (
            embeds(json!([{ "description": long(4_000) }, { "footer": { "text": long(2_001) } }])),
            Some("embeds: 6001 characters"),
        ),
        (embed(json!({ "color": 0x0100_0000 })), Some("color: no colour")),
        (embed(json!({ "url": "http://localhost/" })), Some("url: Not a well formed URL: http://localhost/")),
        (
            embed(json!({ "image": { "url": "https://a_b.example/" } })),
            Some("url: Not a well formed URL: https://a_b.example/"),
        ),
        (embed(json!({ "title": "a", "image": { "url": "https://cdn.example:8080/a?b" } })), None),
        (mentions(json!({ "parse": ["users"], "roles": ["1"] })), None),
        (mentions(json!({ "parse": ["all"] })), Some("parse: \"all\"")),
        (mentions(json!({ "parse": ["users", "users"] })), Some("parse: \"users\" twice")),
        (mentions(json!({ "parse": ["users"], "users": ["1"] })), Some("users: also in parse")),
        (mentions(json!({ "users": ["carol"] })), Some("users: no snowflakes")),
        (mentions(json!({ "users": vec!["1"; 101] })), Some("users: no list of at most 100")),
    ] {
        assert_eq!(refusal(body.to_string().as_bytes()).as_deref(), expected, "{body}");
    }
    assert!(refusal(b"{").is_some_and(|why| why.starts_with("no JSON")));
}

/// A text that somebody publishes to break a receiver: long, blank, invisible, forbidden.
fn hostile() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        any::<String>(),
        Just("discord".to_owned()),
        Just("CLYDE".to_owned()),
        Just("@everyone <@&1> ```".to_owned()),
        "[ \t\r\n\u{1c}\u{3000}\u{200b}]{0,3}",
        // Beyond the basic plane, combining, right to left, of several code points.
        "[𝒟🔴e\u{301}\u{20dd}א\u{202e}]{0,9}",
        prop_oneof![Just(" "), Just("é"), Just("🔴"), Just("\u{200d}"), Just("a\u{301}")]
            .prop_flat_map(|text| (70_usize..2_100).prop_map(move |times| text.repeat(times))),
    ];
    proptest::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
}

fn option() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(hostile())
}

fn url() -> impl Strategy<Value = String> {
    prop_oneof![
        hostile(),
        hostile().prop_map(|rest| format!("https://{rest}")),
        hostile().prop_map(|rest| format!("https://cdn.example/{rest}")),
        Just("http://localhost:8080/a".to_owned()),
        Just("https://a_b.example/".to_owned()),
        Just("https://cdn.example./a".to_owned()),
        Just("https://[2001:db8::1]/a".to_owned()),
        Just("https://a:b@cdn.example\\@c/".to_owned()),
        Just("HTTPS://cdn.example/a".to_owned()),
    ]
}

fn actor() -> impl Strategy<Value = Actor> {
    (option(), proptest::option::of(url())).prop_map(|(handle, avatar_url)| Actor {
        did: "did:web:discord.clyde.example".parse().unwrap(),
        handle,
        avatar_url,
    })
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        (actor(), hostile(), any::<String>()).prop_map(|(author, text, uri)| Payload::Chat(Chat {
            author,
            text,
            uri
        })),
        (actor(), hostile(), any::<String>()).prop_map(|(author, text, uri)| Payload::Mention(Mention {
            author,
            text,
            uri
        })),
        (option(), hostile(), url(), option(), proptest::option::of(url()), option()).prop_map(
            |(handle, title, url, host, thumbnail_url, post_uri)| {
                let thumbnail_cid = None;
                Payload::Livestream(Livestream {
                    handle,
                    title,
                    url,
                    host,
                    thumbnail_url,
                    thumbnail_cid,
                    post_uri,
                })
            }
        ),
        actor().prop_map(|follower| Payload::Follow(Follow { follower })),
    ]
}

proptest! {
    #[test]
    fn discord_takes_everything(
        payload in payload(), prefix in hostile(), suffix in hostile(), streamplace_format: bool,
    ) {
        let rewrite = Rewrite::parse("r", vec![("a".to_owned(), "discord".to_owned())]).unwrap();
        let texts = Texts { prefix: &prefix, suffix: &suffix, rewrite: &rewrite, streamplace_format };
        let streamer = STREAMER.parse().unwrap();
        let message = Message { streamer: &streamer, occurred_at_ms: OCCURRED_AT_MS, payload: &payload };
        if let Some(body) = body(message, texts) {
            prop_assert_eq!(refusal(&body), None);
            let sent: Json = serde_json::from_slice(&body).unwrap();
            prop_assert_eq!(&sent["allowed_mentions"], &json!({ "parse": [] }));
        }
    }
}
