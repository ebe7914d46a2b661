//! The generic format: `{"type", "timestamp", "data"}`.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

use crate::delivery::event::{Chat, Mention, Message, Payload};
use crate::delivery::text::Texts;
use crate::domain::did::Did;

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    #[serde(rename = "streamerDid")]
    streamer: &'a Did,
    #[serde(flatten)]
    payload: &'a Payload,
}

/// The body: always one, also where the text is empty.
pub(super) fn body(message: Message<'_>, texts: Texts<'_>) -> Vec<u8> {
    let Message { streamer, occurred_at_ms, payload } = message;
    let payload = &*with_texts(payload, texts);
    let r#type = payload.event_type().as_str();
    let timestamp = rfc3339(occurred_at_ms);
    let body = Body { r#type, timestamp, data: Data { streamer, payload } };
    serde_json::to_vec(&body).expect("texts are JSON")
}

/// The payload with its text, or the title of a livestream, after prefix, rewrite and suffix.
fn with_texts<'a>(payload: &'a Payload, texts: Texts<'_>) -> Cow<'a, Payload> {
    let mut payload = Cow::Borrowed(payload);
    match &*payload {
        Payload::Chat(_) | Payload::Mention(_) | Payload::Livestream(_) => {}
        Payload::Follow(_) | Payload::StreamReceived(_) => return payload,
    }
    match payload.to_mut() {
        Payload::Chat(Chat { author: _, text, uri: _ })
        | Payload::Mention(Mention { author: _, text, uri: _ }) => *text = texts.around_any(text),
        Payload::Livestream(livestream) => {
            livestream.title = texts.around_any(&livestream.title);
            // The URL says it.
            livestream.thumbnail_cid = None;
        }
        Payload::Follow(_) | Payload::StreamReceived(_) => {}
    }
    payload
}

/// UTC with milliseconds.
fn rfc3339(unix_ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(unix_ms).expect("a time of the years 1 to 9999");
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
