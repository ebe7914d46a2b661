//! The texts of deliveries: which events a webhook mutes, and what its prefix, suffix and rewrite rules make
//! of a message (docs/delivery.md, "Which webhooks, and what text").

use std::borrow::Cow;

use super::event::{Chat, Follow, Livestream, Mention, Message, Payload, StreamReceived};
use crate::domain::mute_word::MuteWords;
use crate::domain::rewrite::Rewrite;
use crate::domain::webhook::WebhookConfig;

/// The longest text that rewrite rules make, in bytes. Fifty rules could multiply a text by 100 each.
const MAX_REWRITTEN_BYTES: usize = 64 * 1024;

/// The text of an event that mute words are looked for in, prepared once for all webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MuteText(String);

impl MuteText {
    /// The text of `payload`; `None` for the types that are never muted.
    pub(crate) fn of(payload: &Payload) -> Option<Self> {
        match payload {
            Payload::Chat(Chat { author: _, text, uri: _ })
            | Payload::Mention(Mention { author: _, text, uri: _ }) => Some(Self(lower_case(text))),
            Payload::Livestream(_) | Payload::Follow(_) | Payload::StreamReceived(_) => None,
        }
    }

    /// Whether it contains one of `words`, both in Unicode lower case.
    pub(crate) fn is_muted_by(&self, words: &MuteWords) -> bool {
        words.iter().any(|word| self.0.contains(&lower_case(word)))
    }
}

/// Letter by letter, so that a part of a text becomes a part of the result. A Greek final sigma, the lower
/// case of Σ at the end of a word, counts as σ.
fn lower_case(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).map(|c| if c == 'ς' { 'σ' } else { c }).collect()
}

/// What a webhook makes of messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Texts<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) suffix: &'a str,
    pub(crate) rewrite: &'a Rewrite,
    pub(crate) streamplace_format: bool,
}

impl<'a> Texts<'a> {
    pub(crate) fn of(config: &'a WebhookConfig) -> Self {
        Self {
            prefix: config.prefix.as_ref().map_or("", AsRef::as_ref),
            suffix: config.suffix.as_ref().map_or("", AsRef::as_ref),
            rewrite: &config.rewrite,
            streamplace_format: config.streamplace_format,
        }
    }

    /// Prefix, rewritten `body` and suffix. `None` if there is nothing to be seen in it.
    pub(crate) fn around(&self, body: &str) -> Option<String> {
        let text = self.around_any(body);
        (!is_blank(&text)).then_some(text)
    }

    /// The same, also if it is empty.
    pub(crate) fn around_any(&self, body: &str) -> String {
        [self.prefix, &rewritten(body, self.rewrite), self.suffix].concat()
    }
}

/// Whether there is nothing to be seen in `text`.
pub(crate) fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || c.is_control())
}

/// The body of a message in the formats that have one line of text for it.
pub(crate) fn line<'a>(message: Message<'a>) -> Cow<'a, str> {
    let Message { streamer, occurred_at_ms: _, payload } = message;
    match payload {
        Payload::Chat(Chat { author: _, text, uri: _ })
        | Payload::Mention(Mention { author: _, text, uri: _ }) => text.into(),
        Payload::Livestream(Livestream { title, .. }) => format!("🔴 LIVE {title}").into(),
        Payload::Follow(Follow { follower }) => format!("New follower: {}", follower.name()).into(),
        Payload::StreamReceived(StreamReceived {}) => format!("stream.received {streamer}").into(),
    }
}

/// `body` after all rules: literal, case-sensitive, every occurrence, each on the output of the one before.
/// Cut where it becomes too long.
fn rewritten<'a>(body: &'a str, rules: &Rewrite) -> Cow<'a, str> {
    let mut text = Cow::from(body);
    for rule in rules.iter().filter(|_| !body.is_empty()) {
        if text.contains(rule.from()) {
            text = replaced(&text, rule.from(), rule.to()).into();
        }
    }
    text
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(from) {
        result.push_str(before);
        result.push_str(to);
        rest = after;
        if result.len() > MAX_REWRITTEN_BYTES {
            break;
        }
    }
    result.push_str(rest);
    result.truncate(result.floor_char_boundary(MAX_REWRITTEN_BYTES));
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::delivery::event::tests::samples;
    use crate::domain::event_type::EventTypes;
    use crate::domain::webhook_url::{Schemes, WebhookUrl};

    fn rewrite(pairs: &[(&str, &str)]) -> Rewrite {
        let pairs = pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
        Rewrite::parse("r", pairs).unwrap()
    }

    fn mutes(text: &str, word: &str) -> bool {
        let words = MuteWords::parse("m", &["never".to_owned(), word.to_owned()]).unwrap();
        MuteText(lower_case(text)).is_muted_by(&words)
    }

    #[test]
    fn mute_words() {
        for (text, word, muted) in [
            ("this is SPAM", "spam", true),
            ("this is spam", "SpAm", true),
            ("antispammer", "spam", true),
            ("s p a m", "spam", false),
            ("", "spam", false),
            ("ÜBERRASCHUNG", "überraschung", true),
            ("straße", "STRASSE", false),
            ("ПРИВЕТ", "привет", true),
            // A sigma at the end of a word or of the mute word is like any other.
            ("ο οδος", "ΟΔΟΣ", true),
            ("ΟΔΟΣΑ", "ΟΔΟΣ", true),
            ("ΟΔΟΣ", "οδοσ", true),
            // The lower case of İ is two characters.
            ("İstanbul", "i\u{307}s", true),
            ("a.b", "A.B", true),
            ("axb", "a.b", false),
        ] {
            assert_eq!(mutes(text, word), muted, "{word:?} in {text:?}");
        }
    }

    #[test]
    fn only_chat_and_mention_are_muted() {
        let muted = samples().map(|payload| MuteText::of(&payload).is_some());
        assert_eq!(muted, [true, false, false, true, false]);
    }

    #[test]
    fn rewriting() {
        for (body, pairs, expected) in [
            ("a b a", [("a", "b"), ("b", "c")].as_slice(), "c c c"),
            ("b a", &[("b", "c"), ("a", "b")], "c b"),
            ("aaa", &[("aa", "b")], "ba"),
            ("Hello hello", &[("hello", "")], "Hello "),
            ("1+1 .*", &[(".*", "x"), ("+", "-")], "1-1 x"),
            ("héé", &[("é", "ê")], "hêê"),
            ("", &[("a", "b")], ""),
        ] {
            assert_eq!(rewritten(body, &rewrite(pairs)), expected, "{body:?} {pairs:?}");
        }
    }

    #[test]
    fn prefix_and_suffix_are_not_rewritten() {
        let rules = rewrite(&[("a", "b"), ("b", "c")]);
        let texts = Texts { prefix: "a ", suffix: " b", rewrite: &rules, streamplace_format: false };
        assert_eq!(texts.around("ab").unwrap(), "a cc b");
        assert_eq!(texts.around("").unwrap(), "a  b");
        let removed = rewrite(&[("ab", " \n")]);
        let texts = Texts { prefix: "", suffix: "\u{3000}", rewrite: &removed, streamplace_format: false };
        assert_eq!(texts.around("ab"), None);
    }

    #[test]
    fn texts_of_a_webhook() {
        let mut config = WebhookConfig {
            url: WebhookUrl::parse("https://example.com/", Schemes::Https).unwrap(),
            events: EventTypes::parse("e", &["chat".to_owned()]).unwrap(),
            active: true,
            name: None,
            description: None,
            prefix: None,
            suffix: None,
            rewrite: rewrite(&[("a", "b")]),
            mute_words: MuteWords::parse("m", &[]).unwrap(),
            streamplace_format: true,
            secret: None,
        };
        assert_eq!(Texts::of(&config).around_any("a"), "b");
        config.prefix = Some("a ".parse().unwrap());
        config.suffix = Some(" a".parse().unwrap());
        assert_eq!(Texts::of(&config).around_any("a"), "a b a");
        assert!(Texts::of(&config).streamplace_format);
    }

    #[test]
    fn rewriting_can_not_blow_up() {
        let grow = "é".repeat(50);
        let rules = rewrite(&[("é", grow.as_str()); 50]);
        let text = rewritten("xé", &rules);
        assert_eq!(text.len(), MAX_REWRITTEN_BYTES - 1);
        let shrink = rewrite(&[("a", "")]);
        assert_eq!(rewritten(&"a".repeat(20_000), &shrink), "");
    }

    proptest! {
        #[test]
        fn a_rule_does_what_replace_does(body in "[abé]{0,40}", from in "[abé]{1,3}", to in "[abé]{0,3}") {
            prop_assert_eq!(rewritten(&body, &rewrite(&[(&from, &to)])), body.replace(&from, &to));
        }

        #[test]
        fn part_of_a_text_is_found_in_either_case(before in "\\PC{0,9}", word in "\\PC{1,9}", after in "\\PC{0,9}") {
            let text = [before, word.to_lowercase(), after].concat();
            if !word.trim().is_empty() {
                prop_assert!(mutes(&text, &word));
            }
        }
    }
}
