//! Names in what deliveries say of an event of the public network.
//!
//! Records name accounts by their DIDs alone. Handles, avatars and the URL of a livestream's picture are
//! looked up before the first attempt, and are part of the body from then on.

use uuid::Uuid;

use super::event::{
    Actor, Chat, Follow, Livestream, Mention, Message, Payload, Says, StoredEvent, StreamReceived,
};
use crate::domain::did::Did;

/// What is to be looked up before a body can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unnamed {
    /// Whose names they are.
    pub(crate) subject: Did,
    /// A blob of theirs, which is the picture of a livestream.
    pub(crate) thumbnail_cid: Option<String>,
}

impl Unnamed {
    /// What an event of the network lacks; `None` if it names nobody, or was published.
    pub(crate) fn of_event(event: &StoredEvent) -> Option<Self> {
        match event.says() {
            Says::Message(message) if event.is_of_network() => Self::of(message),
            Says::Message(_) | Says::Record(_) => None,
        }
    }

    /// What `message` lacks; `None` if it names nobody.
    pub(crate) fn of(message: Message<'_>) -> Option<Self> {
        let mut thumbnail_cid = None;
        let subject = match message.payload {
            Payload::Chat(Chat { author: actor, text: _, uri: _ })
            | Payload::Mention(Mention { author: actor, text: _, uri: _ })
            | Payload::Follow(Follow { follower: actor }) => &actor.did,
            Payload::Livestream(livestream) => {
                thumbnail_cid.clone_from(&livestream.thumbnail_cid);
                message.streamer
            }
            Payload::StreamReceived(StreamReceived {}) => return None,
        };
        Some(Self { subject: subject.clone(), thumbnail_cid })
    }
}

/// What was found; what is absent was not, or is not to be believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FoundNames {
    pub(crate) handle: Option<String>,
    pub(crate) avatar_url: Option<String>,
    pub(crate) thumbnail_url: Option<String>,
}

impl FoundNames {
    /// Puts the names into a payload that has none.
    pub(crate) fn put_into(&self, payload: &mut Payload) {
        let Self { handle, avatar_url, thumbnail_url } = self;
        match payload {
            Payload::Chat(Chat { author: actor, text: _, uri: _ })
            | Payload::Mention(Mention { author: actor, text: _, uri: _ })
            | Payload::Follow(Follow { follower: actor }) => {
                let Actor { did: _, handle: of_actor, avatar_url: url_of_actor } = actor;
                of_actor.clone_from(handle);
                url_of_actor.clone_from(avatar_url);
            }
            Payload::Livestream(Livestream { handle: of_streamer, thumbnail_url: of_livestream, .. }) => {
                of_streamer.clone_from(handle);
                of_livestream.clone_from(thumbnail_url);
            }
            Payload::StreamReceived(StreamReceived {}) => {}
        }
    }
}

/// A delivery whose body is to be made with these names, under its lease.
#[derive(Debug, Clone)]
pub(crate) struct Naming {
    pub(crate) delivery: Uuid,
    pub(crate) event: Uuid,
    pub(crate) webhook: Uuid,
    pub(crate) lease: Uuid,
    pub(crate) names: FoundNames,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::event::tests::{STREAMER, samples};

    #[test]
    fn names_of_each_type() {
        let found = FoundNames {
            handle: Some("carol.example".to_owned()),
            avatar_url: Some("https://pds.example/carol".to_owned()),
            thumbnail_url: Some("https://pds.example/thumbnail".to_owned()),
        };
        let streamer: Did = STREAMER.parse().unwrap();
        for mut payload in samples() {
            let unnamed = Unnamed::of(Message { streamer: &streamer, occurred_at_ms: 0, payload: &payload });
            found.put_into(&mut payload);
            let (subject, thumbnail_cid, names) = match &payload {
                Payload::Chat(Chat { author: actor, .. })
                | Payload::Mention(Mention { author: actor, .. })
                | Payload::Follow(Follow { follower: actor }) => {
                    let (handle, avatar_url) = (actor.handle.clone(), actor.avatar_url.clone());
                    let names = FoundNames { handle, avatar_url, ..found.clone() };
                    (actor.did.clone(), None, names)
                }
                Payload::Livestream(Livestream { handle, thumbnail_url, thumbnail_cid, .. }) => {
                    let (handle, thumbnail_url) = (handle.clone(), thumbnail_url.clone());
                    let names = FoundNames { handle, thumbnail_url, ..found.clone() };
                    (streamer.clone(), thumbnail_cid.clone(), names)
                }
                Payload::StreamReceived(StreamReceived {}) => {
                    assert_eq!(unnamed, None);
                    continue;
                }
            };
            assert_eq!((unnamed, names), (Some(Unnamed { subject, thumbnail_cid }), found.clone()));
        }
    }

    /// A name that was not found leaves none behind.
    #[test]
    fn nothing_was_found() {
        for mut payload in samples() {
            FoundNames::default().put_into(&mut payload);
            let json = payload.to_json();
            assert!(!json.contains(r#""handle""#) && !json.contains("avatar"), "{json}");
        }
    }
}
