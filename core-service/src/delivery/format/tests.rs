//! Which format a URL gets, and the examples of docs/delivery.md, byte for byte.

use std::fmt::Write as _;
use std::path::Path;

use super::*;
use crate::delivery::event::Payload;
use crate::delivery::event::tests::{OCCURRED_AT_MS, STREAMER, samples};
use crate::domain::rewrite::Rewrite;

const DOCUMENT: &str = "docs/delivery.md";
const BEGIN: &str = "<!-- Generated: UPDATE_DOCS=1 cargo test --workspace --lib delivery::format -->\n";
const END: &str = "<!-- End of the generated part. -->\n";

#[test]
fn format_of_a_url() {
    for (url, format) in [
        ("https://discord.com/api/webhooks/1/a", Format::Discord),
        ("https://DISCORD.com./api/webhooks/1/a?wait=true", Format::Discord),
        ("http://discord.com:8080/api/webhooks/1/a", Format::Discord),
        ("https://ptb.discord.com/api/webhooks/1/a", Format::Discord),
        ("https://canary.discord.com/api/webhooks/1/a", Format::Discord),
        ("https://discordapp.com/api/webhooks/1/a", Format::Discord),
        ("https://ptb.discordapp.com/api/webhooks/1/a", Format::Discord),
        ("https://canary.discordapp.com/api/webhooks/1/a", Format::Discord),
        ("https://discord.com/", Format::Json),
        ("https://discord.com/api/webhooks", Format::Json),
        ("https://discord.com/api/oauth2/token", Format::Json),
        ("https://discord.com/API/WEBHOOKS/1/a", Format::Json),
        ("https://www.discord.com/api/webhooks/1/a", Format::Json),
        ("https://discord.com.example/api/webhooks/1/a", Format::Json),
        ("https://notdiscord.com/api/webhooks/1/a", Format::Json),
        ("https://hooks.slack.com/services/T/B/x", Format::Slack),
        ("https://Hooks.Slack.com.:443/workflows/x", Format::Slack),
        ("https://slack.com/services/T/B/x", Format::Json),
        ("https://hooks.slack.com.example/", Format::Json),
        ("https://example.com/hooks.slack.com", Format::Json),
        ("https://[2001:db8::1]/", Format::Json),
    ] {
        assert_eq!(Format::of(&url.parse().unwrap()), format, "{url}");
    }
}

#[test]
fn nothing_to_send() {
    let blank = |text: &str| {
        let mut payload = samples()[0].clone();
        if let Payload::Chat(chat) = &mut payload {
            text.clone_into(&mut chat.text);
        }
        let bodies = [true, false].map(|streamplace_format| {
            [Format::Discord, Format::Slack, Format::Json]
                .map(|format| sent(format, &payload, "", " ", &[], streamplace_format).is_none())
        });
        assert_eq!(bodies[0], bodies[1]);
        bodies[0]
    };
    for (text, expected) in
        [("", [true, true, false]), ("\n\u{3000}", [true, true, false]), ("a", [false; 3])]
    {
        assert_eq!(blank(text), expected, "{text:?}");
    }
    // A rule may remove all of a text that is made here.
    for format in [Format::Discord, Format::Slack] {
        let rules = [("🔴 LIVE Let's paint <3", "")];
        assert_eq!(sent(format, &samples()[1], "", "", &rules, false), None);
    }
}

#[test]
fn slack_is_escaped_once_and_wholly() {
    let rules = [("gg", "<!channel>")];
    let body = sent(Format::Slack, &samples()[0], "<@U1> ", " &lt;", &rules, true).unwrap();
    let text =
        r#"{"text":"*@alice.example*: &lt;@U1&gt; &lt;!channel&gt; &lt;3 &amp; hello @everyone &amp;lt;"}"#;
    assert_eq!(body, text);
}

#[test]
fn lengths_count_code_points() {
    for (text, max, expected) in
        [("", 1, ""), ("ab", 2, "ab"), ("ab", 1, "a"), ("🔴é", 1, "🔴"), ("a", 0, "")]
    {
        assert_eq!(first_chars(text, max), expected);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "asked by whoever runs the tests, not by the product")]
fn examples_of_the_document() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(DOCUMENT);
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the beginning of the generated part");
    let (_, after) = rest.split_once(END).expect("the end of the generated part");
    let expected = [before, BEGIN, &examples(), "\n", END, after].concat();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, expected).unwrap();
    } else {
        assert!(text == expected, "{DOCUMENT} differs from the formats: write it anew with UPDATE_DOCS=1");
    }
}

/// Each type in each format, of a webhook with prefix, suffix and a rewrite rule.
fn examples() -> String {
    let mut text = String::new();
    for payload in samples() {
        let _ = write!(text, "\n### {}\n", payload.event_type());
        for (format, name) in
            [(Format::Discord, "Discord"), (Format::Slack, "Slack"), (Format::Json, "Everything else")]
        {
            let body = |streamplace_format| {
                sent(
                    format,
                    &payload,
                    "[live] ",
                    " ~",
                    &[("hello", "hi"), ("paint", "draw")],
                    streamplace_format,
                )
                .unwrap()
            };
            let (plain, with) = (body(false), body(true));
            let _ = write!(text, "\n{name}:\n\n```json\n{plain}\n```\n");
            if with != plain {
                let _ = write!(text, "\n{name}, with `streamplaceFormat`:\n\n```json\n{with}\n```\n");
            }
        }
    }
    text
}

fn sent(
    format: Format,
    payload: &Payload,
    prefix: &str,
    suffix: &str,
    rules: &[(&str, &str)],
    streamplace_format: bool,
) -> Option<String> {
    let rules = rules.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
    let rewrite = Rewrite::parse("r", rules).unwrap();
    let streamer = STREAMER.parse().unwrap();
    let message = Message { streamer: &streamer, occurred_at_ms: OCCURRED_AT_MS, payload };
    let texts = Texts { prefix, suffix, rewrite: &rewrite, streamplace_format };
    format.body(message, texts).map(|body| String::from_utf8(body).unwrap())
}
