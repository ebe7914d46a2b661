//! The events that tests of webhooks send.

use super::event::{Actor, Chat, Follow, Livestream, Mention, Payload, StreamReceived};
use crate::domain::did::Did;
use crate::domain::event_type::EventType;

/// Who publishes them.
pub(crate) const PUBLISHER: &str = "athook";

/// An event of this type for the webhooks of `streamer`, who is its author as well.
pub(crate) fn sample(event_type: EventType, streamer: &Did) -> Payload {
    let actor =
        || Actor { did: streamer.clone(), handle: Some("sample.example".to_owned()), avatar_url: None };
    match event_type {
        EventType::Chat => Payload::Chat(Chat {
            author: actor(),
            text: "A sample chat message.".to_owned(),
            uri: format!("at://{streamer}/place.stream.chat.message/3jzfcijpj2z2a"),
        }),
        EventType::Livestream => Payload::Livestream(Livestream {
            handle: actor().handle,
            title: "A sample livestream".to_owned(),
            url: "https://stream.example/sample.example".to_owned(),
            host: Some("stream.example".to_owned()),
            thumbnail_url: None,
            thumbnail_cid: None,
            post_uri: None,
        }),
        EventType::Follow => Payload::Follow(Follow { follower: actor() }),
        EventType::Mention => Payload::Mention(Mention {
            author: actor(),
            text: "A sample mention.".to_owned(),
            uri: format!("at://{streamer}/app.bsky.feed.post/3jzfcijpj2z2a"),
        }),
        EventType::StreamReceived => Payload::StreamReceived(StreamReceived {}),
    }
}
