//! Discord's *execute webhook* (<https://docs.discord.com/developers/resources/webhook#execute-webhook>).
//!
//! A message that breaks one of Discord's rules is refused as a whole, so whatever might break one is cut,
//! altered or left out here. Nobody is ever pinged.

use serde::Serialize;
use url::Url;

use super::first_chars;
use crate::delivery::event::{Actor, Chat, Livestream, Mention, Message, Payload, name};
use crate::delivery::text::{Texts, is_blank, line};
use crate::domain::did::Did;

/// The longest content, in characters.
const MAX_CONTENT_CHARS: usize = 2_000;
/// The longest name of a user, in characters.
const MAX_USERNAME_CHARS: usize = 80;
/// The longest title of an embed, in characters.
const MAX_TITLE_CHARS: usize = 256;
/// The longest URL, in bytes.
const MAX_URL_BYTES: usize = 2_048;

/// What a webhook's user name must not contain, in any case
/// (<https://docs.discord.com/developers/resources/webhook#create-webhook>).
const FORBIDDEN_WORDS: [&str; 2] = ["discord", "clyde"];
/// Beside letters and digits, what a user name keeps. Discord forbids some of the rest in names of users
/// (<https://docs.discord.com/developers/resources/user>), and takes what is invisible out before it looks
/// for the words. No handle has any of it.
const KEPT_CHARS: &str = ".-_~";
/// What names of users must not be.
const FORBIDDEN_NAMES: [&str; 2] = ["everyone", "here"];
/// Breaks what is forbidden. It can't be in a handle, so no name becomes somebody else's.
const DOT: char = '·';

/// The user name with `streamplaceFormat`.
const STREAMPLACE: &str = "[Streamplace]";
/// The colour of the embed: Streamplace's pink.
const COLOUR: u32 = 0x00f8_baca;

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<&'a str>,
    content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    embeds: Option<[Embed<'a>; 1]>,
    allowed_mentions: AllowedMentions,
}

#[derive(Serialize)]
struct Embed<'a> {
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    color: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Image<'a>>,
}

#[derive(Serialize)]
struct Image<'a> {
    url: &'a str,
}

/// Which mentions may ping: none.
#[derive(Serialize)]
struct AllowedMentions {
    parse: [&'static str; 0],
}

/// The body. `None` if its content is blank.
pub(super) fn body(message: Message<'_>, texts: Texts<'_>) -> Option<Vec<u8>> {
    let mut body = Body {
        username: None,
        avatar_url: None,
        content: texts.around(&line(message))?,
        embeds: None,
        allowed_mentions: AllowedMentions { parse: [] },
    };
    match message.payload {
        Payload::Chat(Chat { author, text: _, uri: _ })
        | Payload::Mention(Mention { author, text: _, uri: _ }) => {
            body.avatar_url = author.avatar_url.as_deref().and_then(web_url);
            if texts.streamplace_format {
                body.username = Some(STREAMPLACE.to_owned());
                body.content = format!("**{}**: {}", author.name(), body.content);
            } else {
                body.username = Some(user_name(author));
            }
        }
        Payload::Livestream(livestream) => body.embeds = Some([embed(message.streamer, livestream)]),
        Payload::Follow(_) | Payload::StreamReceived(_) => {}
    }
    body.content = first_chars(&body.content, MAX_CONTENT_CHARS).to_owned();
    if is_blank(&body.content) {
        return None;
    }
    Some(serde_json::to_vec(&body).expect("texts and numbers are JSON"))
}

fn embed<'a>(streamer: &Did, livestream: &'a Livestream) -> Embed<'a> {
    let Livestream { handle, title: _, url, host, thumbnail_url, thumbnail_cid: _, post_uri: _ } = livestream;
    let of_url = || Some(url.parse::<Url>().ok()?.host_str()?.to_owned());
    let title = match host.clone().or_else(of_url) {
        Some(host) => format!("{} is LIVE on {host}!", name(handle.as_deref(), streamer)),
        None => format!("{} is LIVE!", name(handle.as_deref(), streamer)),
    };
    Embed {
        title: first_chars(&title, MAX_TITLE_CHARS).to_owned(),
        url: web_url(url),
        color: COLOUR,
        image: thumbnail_url.as_deref().and_then(web_url).map(|url| Image { url }),
    }
}

/// `@handle`, or the DID of an author without one; altered where Discord would refuse it.
fn user_name(author: &Actor) -> String {
    let name = author.name();
    let (at, name) = name.strip_prefix('@').map_or(("", &*name), |rest| ("@", rest));
    let mut name: String = name.chars().map(kept_char).collect();
    for word in FORBIDDEN_WORDS {
        name = broken(&name, word);
    }
    if FORBIDDEN_NAMES.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden)) {
        name.push(DOT);
    }
    first_chars(&[at, &name].concat(), MAX_USERNAME_CHARS).to_owned()
}

fn kept_char(c: char) -> char {
    match c {
        // In another case it is an S.
        'ſ' => 's',
        _ if c.is_alphanumeric() || KEPT_CHARS.contains(c) => c,
        _ => DOT,
    }
}

/// `text` with a dot in the middle of each `word`, whatever its case.
fn broken(text: &str, word: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    for (at, _) in text.to_ascii_lowercase().match_indices(word) {
        let middle = at + word.len() / 2 - (text.len() - rest.len());
        let (before, after) = rest.split_at(middle);
        result.push_str(before);
        result.push(DOT);
        rest = after;
    }
    result.push_str(rest);
    result
}

/// `text`, if Discord takes it for the URL of a page or an image: on a host with a public name or an IPv4
/// address, which stands where anybody would look for it.
fn web_url(text: &str) -> Option<&str> {
    let after_scheme = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let fits =
        text.len() <= MAX_URL_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let url: Url = text.parse().ok().filter(|_| fits)?;
    let host = url.host_str().filter(|host| host.contains('.'))?;
    let is_name = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_there = after_scheme.get(..host.len()).is_some_and(|start| start.eq_ignore_ascii_case(host));
    (is_there && host.split('.').all(is_name)).then_some(text)
}

#[cfg(test)]
mod rules;

#[cfg(test)]
mod hostile;

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};
    use serde_json::Value as Json;

    use super::*;
    use crate::delivery::event::tests::{OCCURRED_AT_MS, STREAMER};
    use crate::domain::rewrite::Rewrite;

    fn sent(payload: &Payload, suffix: &str, streamplace_format: bool) -> Json {
        let rewrite = Rewrite::parse("r", Vec::new()).unwrap();
        let texts = Texts { prefix: "", suffix, rewrite: &rewrite, streamplace_format };
        let streamer = STREAMER.parse().unwrap();
        let message = Message { streamer: &streamer, occurred_at_ms: OCCURRED_AT_MS, payload };
        serde_json::from_slice(&body(message, texts).unwrap()).unwrap()
    }

    fn author(handle: Option<&str>) -> Actor {
        Actor { did: "did:plc:abc".parse().unwrap(), handle: handle.map(str::to_owned), avatar_url: None }
    }

    #[test]
    fn user_names() {
        for (handle, expected) in [
            (Some("alice.example"), "@alice.example"),
            (Some("discord.example"), "@dis·cord.example"),
            (Some("notDiScOrdOrDISCORD.example"), "@notDiS·cOrdOrDIS·CORD.example"),
            (Some("clyde.example"), "@cl·yde.example"),
            (Some("CLYDE"), "@CL·YDE"),
            (Some("discdiscordord"), "@discdis·cordord"),
            (Some("here"), "@here·"),
            (Some("Everyone"), "@Everyone·"),
            (Some("groundsphere.example"), "@groundsphere.example"),
            (Some("a#b:c@d```e"), "@a·b·c·d···e"),
            (Some("dis\u{200b}cord diſcord"), "@dis·cord·dis·cord"),
            (None, "did·plc·abc"),
        ] {
            assert_eq!(user_name(&author(handle)), expected);
        }
        assert_eq!(user_name(&author(Some(&"é".repeat(100)))), format!("@{}", "é".repeat(79)));
    }

    proptest! {
        #[test]
        fn no_user_name_is_refused(before in any::<String>(), word in "(?i)discord|clyde|here|#|:|@|```", after in any::<String>()) {
            let name = user_name(&author(Some(&[before, word, after].concat())));
            prop_assert!(name.starts_with('@') && name.chars().count() <= 80, "{name}");
            let lower = name[1..].to_lowercase();
            let forbidden = FORBIDDEN_WORDS.iter().chain(&["@", "#", ":", "```"]).any(|word| lower.contains(word));
            prop_assert!(!forbidden && !FORBIDDEN_NAMES.contains(&&*lower), "{name}");
        }
    }

    #[test]
    fn content_is_cut() {
        let chat = |text: String| Payload::Chat(Chat { author: author(None), text, uri: String::new() });
        let content = |length, suffix, streamplace_format| {
            let sent = sent(&chat("é".repeat(length)), suffix, streamplace_format);
            sent["content"].as_str().unwrap().to_owned()
        };
        assert_eq!(content(1_999, "!", false), "é".repeat(1_999) + "!");
        assert_eq!(content(2_000, "!", false), "é".repeat(2_000));
        assert_eq!(content(2_000, "!", true), format!("**did:plc:abc**: {}", "é".repeat(1_983)));
        assert_eq!(sent(&chat("a".to_owned()), "", true)["username"], "[Streamplace]");
    }

    #[test]
    fn embeds() {
        let embed = |handle: Option<&str>, url: &str, host: Option<&str>, image: &str| {
            let payload = Payload::Livestream(Livestream {
                handle: handle.map(str::to_owned),
                title: "t".to_owned(),
                url: url.to_owned(),
                host: host.map(str::to_owned),
                thumbnail_url: Some(image.to_owned()),
                thumbnail_cid: None,
                post_uri: None,
            });
            sent(&payload, "", false)["embeds"][0].to_string()
        };
        let url = "https://stream.place/bob";
        for ((handle, url, host, image), expected) in [
            (
                (Some("bob"), url, Some("s.example"), "http://i.example/"),
                r#"{"color":16300746,"image":{"url":"http://i.example/"},"title":"@bob is LIVE on s.example!","url":"https://stream.place/bob"}"#,
            ),
            (
                (None, url, None, "data:image/png;base64,AA"),
                r#"{"color":16300746,"title":"did:plc:ewvi7nxzyoun6zhxrhs64oiz is LIVE on stream.place!","url":"https://stream.place/bob"}"#,
            ),
            ((Some("bob"), "", None, "https://a b/"), r#"{"color":16300746,"title":"@bob is LIVE!"}"#),
        ] {
            assert_eq!(embed(handle, url, host, image), expected);
        }
        let long = "é".repeat(300);
        let title = format!("@{}", "é".repeat(255));
        assert_eq!(embed(Some(&long), "", None, ""), format!(r#"{{"color":16300746,"title":"{title}"}}"#));
    }

    #[test]
    fn urls() {
        let longest = format!("https://a.b/{}", "b".repeat(2_036));
        for (text, fits) in [
            ("https://cdn.example/a.jpg", true),
            ("http://cdn.example/a.jpg", true),
            (longest.as_str(), true),
            (&format!("{longest}b"), false),
            ("", false),
            ("cdn.example/a.jpg", false),
            ("//cdn.example/a.jpg", false),
            ("javascript:alert(1)", false),
            ("at://did:plc:abc/app.bsky.feed.post/a", false),
            ("https://cdn.example/a b.jpg", false),
            ("https://cdn.example/ä.jpg", false),
            ("https://CDN.example:8080/a?b#c", true),
            ("https://192.0.2.1/a.jpg", true),
            ("http://localhost/a.jpg", false),
            ("https://a_b.example/", false),
            ("https://cdn.example./", false),
            ("https://[2001:db8::1]/", false),
            ("https:///cdn.example/", false),
            ("https:cdn.example/", false),
            ("https://a@cdn.example/", false),
            ("https://cdn.example\\@other.example/", false),
        ] {
            assert_eq!(web_url(text).is_some(), fits, "{text}");
        }
    }
}
