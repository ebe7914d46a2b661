//! Incoming webhooks of Slack: `{"text": …}`.

use serde::Serialize;

use crate::delivery::event::{Actor, Chat, Mention, Message, Payload};
use crate::delivery::text::{Texts, line};

#[derive(Serialize)]
struct Body {
    text: String,
}

/// The body. `None` if the text is blank.
///
/// The whole text is escaped, so that no part of it becomes a link or pings somebody
/// (<https://docs.slack.dev/messaging/formatting-message-text#escaping>).
pub(super) fn body(message: Message<'_>, texts: Texts<'_>) -> Option<Vec<u8>> {
    let text = texts.around(&line(message))?;
    let text = match author(message.payload).filter(|_| texts.streamplace_format) {
        Some(author) => format!("*{}*: {}", escaped(&author.name()), escaped(&text)),
        None => escaped(&text),
    };
    Some(serde_json::to_vec(&Body { text }).expect("a text is JSON"))
}

fn author(payload: &Payload) -> Option<&Actor> {
    match payload {
        Payload::Chat(Chat { author, text: _, uri: _ })
        | Payload::Mention(Mention { author, text: _, uri: _ }) => Some(author),
        Payload::Livestream(_) | Payload::Follow(_) | Payload::StreamReceived(_) => None,
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
