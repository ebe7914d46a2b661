//! Names in what deliveries say of an event of the public network.
//!
//! Records name accounts by their DIDs alone. Handles, avatars and the URL of a livestream's picture are
//! looked up before the first attempt, and are part of the body from then on.

use uuid::Uuid;

use super::event::{Actor, Chat, Follow, Livestream, Mention, Message, Payload, StreamReceived};
use crate::domain::did::Did;

/// What is to be looked up before a body can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unnamed {
    /// Whose names they are.
    pub(crate) subject: Did,
}

impl Unnamed {
    /// What `message` lacks; `None` if it names nobody.
    pub(crate) fn of(message: Message<'_>) -> Option<Self> {
        let subject = match message.payload {
            Payload::Chat(Chat { author: actor, text: _, uri: _ })
            | Payload::Mention(Mention { author: actor, text: _, uri: _ })
            | Payload::Follow(Follow { follower: actor }) => &actor.did,
            Payload::Livestream(_) => message.streamer,
            Payload::StreamReceived(StreamReceived {}) => return None,
        };
        Some(Self { subject: subject.clone() })
    }
}

/// What was found; what is absent was not, or is not to be believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FoundNames {
    pub(crate) handle: Option<String>,
    pub(crate) avatar_url: Option<String>,
}

impl FoundNames {
    /// Puts the names into a payload that has none.
    pub(crate) fn put_into(&self, payload: &mut Payload) {
        let Self { handle, avatar_url } = self;
        match payload {
            Payload::Chat(Chat { author: actor, text: _, uri: _ })
            | Payload::Mention(Mention { author: actor, text: _, uri: _ })
            | Payload::Follow(Follow { follower: actor }) => {
                let Actor { did: _, handle: of_actor, avatar_url: url_of_actor } = actor;
                of_actor.clone_from(handle);
                url_of_actor.clone_from(avatar_url);
            }
            Payload::Livestream(Livestream { handle: of_streamer, .. }) => of_streamer.clone_from(handle),
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
        };
        let streamer: Did = STREAMER.parse().unwrap();
        for mut payload in samples() {
            let unnamed = Unnamed::of(Message { streamer: &streamer, occurred_at_ms: 0, payload: &payload });
            found.put_into(&mut payload);
            let (subject, names) = match &payload {
                Payload::Chat(Chat { author: actor, .. })
                | Payload::Mention(Mention { author: actor, .. })
                | Payload::Follow(Follow { follower: actor }) => {
                    let names =
                        FoundNames { handle: actor.handle.clone(), avatar_url: actor.avatar_url.clone() };
                    (actor.did.clone(), names)
                }
                Payload::Livestream(Livestream { handle, .. }) => {
                    (streamer.clone(), FoundNames { handle: handle.clone(), ..found.clone() })
                }
                Payload::StreamReceived(StreamReceived {}) => {
                    assert_eq!(unnamed, None);
                    continue;
                }
            };
            assert_eq!((unnamed, names), (Some(Unnamed { subject }), found.clone()));
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
