//! Scopes, globs, and what the stream is asked for.

use proptest::prelude::{prop_assert_eq, proptest};

use super::*;

const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

fn scope(rest: &str) -> Scope {
    Scope::parse(&format!("at://{DID}{rest}"), false).unwrap()
}

#[test]
fn uris() {
    for rest in [
        "",
        "/app.bsky.feed.post",
        "/*",
        "/app.bsky.*",
        "/foo",
        "/app.bsky.feed.post/3l6oveex3ii2l",
        "/app.bsky.feed.post/self",
        "/*/a._~:%@+-Z",
    ] {
        assert_eq!(scope(rest).to_string(), format!("at://{DID}{rest}"));
    }
    let longest = format!("at://{DID}/{}/{}", "a".repeat(253), "r".repeat(512));
    assert_eq!(AtUri::parse(&longest).unwrap().to_string(), longest);
    for uri in [
        "at://did:web:example.com",
        "at://did:web:localhost",
        "at://did:web:a-b.example:path:to_it.x/app.bsky.feed.post",
        &format!("at://did:web:{}", "a".repeat(63)),
    ] {
        assert_eq!(AtUri::parse(uri).unwrap().to_string(), uri);
        assert_eq!(did_of(uri), uri.strip_prefix("at://").and_then(|rest| rest.split('/').next()));
    }
}

#[test]
fn broken_uris() {
    for uri in [
        "",
        "at://",
        "at://alice.example/app.bsky.feed.post",
        "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
        "AT://did:plc:ewvi7nxzyoun6zhxrhs64oiz",
        "at://did:plc:ewvi7nxzyoun6zhxrhs64oi",
        "at://did:plc:ewvi7nxzyoun6zhxrhs64oizz",
        "at://did:plc:Ewvi7nxzyoun6zhxrhs64oiz",
        "at://did:plc:ewvi7nxzyoun6zhxrhs64oi1",
        "at://did:key:zQ3shZc2QzApp2oymGvQbzP8eKheVshBHbU4ZYjeXqwSKEn6N",
        "at://did:web:",
        "at://did:web:Example.com",
        "at://did:web:example.com.",
        "at://did:web:-a.example",
        "at://did:web:a..example",
        "at://did:web:localhost%3A8080",
        "at://did:web:example.com::a",
        "at://did:web:example.com:a.",
        &format!("at://did:web:{}", "a".repeat(64)),
        &format!("at://{DID}/"),
        &format!("at://{DID}/app.bsky.feed.post/"),
        &format!("at://{DID}//a"),
        &format!("at://{DID}/a.b.c/d/e"),
        &format!("at://{DID}/a.b.c?d"),
        &format!("at://{DID}/a.b.c#d"),
        &format!("at://{DID}/a_b"),
        &format!("at://{DID}/a.b.c/d e"),
        &format!("at://{DID}/a.b.c/d*"),
        &format!("at://{DID}/a.b.c/ä"),
        &format!("at://{DID}/{}", "a".repeat(254)),
        &format!("at://{DID}/a/{}", "r".repeat(513)),
        &format!("at://did:web:{}", "a:".repeat(1100)),
    ] {
        assert_eq!(AtUri::parse(uri), None, "{uri}");
        assert_eq!(did_of(uri), None, "{uri}");
    }
}

#[test]
fn what_is_in_a_scope() {
    let post = |scope: &Scope| scope.matches(DID, "app.bsky.feed.post", "3l6oveex3ii2l");
    for rest in [
        "",
        "/*",
        "/app.bsky.*",
        "/*.post",
        "/*bsky*",
        "/app.bsky.feed.post",
        "/app.bsky.feed.post*",
        "/app.bsky.feed.post/3l6oveex3ii2l",
        "/*/3l6oveex3ii2l",
    ] {
        assert!(post(&scope(rest)), "{rest}");
        assert!(!scope(rest).matches("did:plc:other", "app.bsky.feed.post", "3l6oveex3ii2l"), "{rest}");
    }
    for rest in [
        "/app.bsky.feed",
        "/app.bsky.feed.pos",
        "/app.bsky.feed.posts",
        "/App.bsky.feed.post",
        "/app.bsky.*.x",
        "/bsky*",
        "/*bsky",
        "/app.bsky.feed.post/3l6oveex3ii2m",
        "/*/self",
    ] {
        assert!(!post(&scope(rest)), "{rest}");
    }
}

#[test]
fn what_refers_to_a_scope() {
    let refers = |rest: &str, reference: &str| {
        scope(rest).refers(&AtUri::parse(&format!("at://{DID}{reference}")).unwrap())
    };
    for (rest, reference, expected) in [
        ("", "", true),
        ("", "/a.b.c", true),
        ("", "/a.b.c/d", true),
        ("/a.b.c", "", false),
        ("/a.b.c", "/a.b.c", true),
        ("/a.b.c", "/a.b.c/d", true),
        ("/a.b.c", "/a.b.d/d", false),
        ("/a.b.*", "/a.b.c/d", true),
        ("/a.b.c/d", "/a.b.c", false),
        ("/a.b.c/d", "/a.b.c/d", true),
        ("/a.b.c/d", "/a.b.c/e", false),
    ] {
        assert_eq!(refers(rest, reference), expected, "{rest} {reference}");
    }
    assert!(!scope("").refers(&AtUri::parse("at://did:web:example.com").unwrap()));
}

#[test]
fn what_the_stream_is_asked_for() {
    for (rest, reading) in [
        ("", Reading::Network),
        ("/*", Reading::Network),
        ("/*.post", Reading::Network),
        ("/app.bsky.feed.p*", Reading::Network),
        ("/app.*.*", Reading::Network),
        // A server refuses a prefix of one part.
        ("/app.*", Reading::Network),
        ("/.*", Reading::Network),
        ("/app..bsky.*", Reading::Network),
        ("/app.bsky.*", Reading::Collection("app.bsky.*")),
        ("/app.bsky.feed.*", Reading::Collection("app.bsky.feed.*")),
        ("/app.bsky.feed.post", Reading::Collection("app.bsky.feed.post")),
        ("/app.bsky.feed.post/self", Reading::Collection("app.bsky.feed.post")),
        ("/app.bsky", Reading::Nothing),
        ("/foo", Reading::Nothing),
        ("/app.bsky.feed.", Reading::Nothing),
    ] {
        assert_eq!(scope(rest).reading(), reading, "{rest}");
    }
    let backlinks = Scope::parse(&format!("at://{DID}/app.bsky.feed.post"), true).unwrap();
    assert_eq!(backlinks.reading(), Reading::Network);
}

/// As the rule says it: a `*` stands for any characters.
fn naive(glob: &[u8], text: &[u8]) -> bool {
    match (glob, text) {
        ([], []) => true,
        ([b'*', glob @ ..], _) => (0..=text.len()).any(|taken| naive(glob, &text[taken..])),
        ([wanted, glob @ ..], [byte, text @ ..]) => wanted == byte && naive(glob, text),
        _ => false,
    }
}

proptest! {
    #[test]
    fn globs_match_what_the_rule_says(glob in "[ab.*]{0,8}", text in "[ab.]{0,8}") {
        let expected = naive(glob.as_bytes(), text.as_bytes());
        prop_assert_eq!(CollectionGlob(glob).matches(&text), expected);
    }

    #[test]
    fn collection_that_is_asked_for_has_all_that_matches(
        glob in "(a\\.){0,3}[ab*]{1,2}",
        text in "(a\\.){1,3}[ab]{1,2}",
    ) {
        let glob = CollectionGlob(glob);
        let arrives = match glob.reading() {
            Reading::Network => true,
            Reading::Nothing => false,
            Reading::Collection(filter) => {
                filter.strip_suffix('*').map_or(filter == text, |prefix| text.starts_with(prefix))
            }
        };
        // What is no NSID is no collection.
        if text.parse::<Nsid>().is_ok() && glob.matches(&text) {
            prop_assert_eq!(arrives, true);
        }
    }
}
