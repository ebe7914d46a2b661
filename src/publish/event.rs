//! The events as flags: one for each field of the `.proto`, with the names of both where a message is in one.

use proto::athook::event::Payload;
use proto::athook::{Actor, Chat, Follow, Livestream, Mention, StreamReceived};

use super::RawCommon;
use crate::developer;

/// The event to publish.
#[derive(clap::Subcommand)]
pub(crate) enum RawEvent {
    /// A message in a stream's chat
    Chat(Box<RawChat>),
    /// A stream has begun
    Livestream(Box<RawLivestream>),
    /// Somebody follows the streamer
    Follow(Box<RawFollow>),
    /// Somebody mentions the streamer
    Mention(Box<RawMention>),
    /// The server receives the streamer's stream
    #[command(name = "stream.received")]
    StreamReceived(Box<RawStreamReceived>),
}

/// Who wrote it.
#[derive(clap::Args)]
pub(crate) struct RawAuthor {
    /// Who wrote it [default: the development identity]
    #[arg(long, value_name = "DID")]
    author_did: Option<String>,
    /// The author's handle, without `@`
    #[arg(long, value_name = "HANDLE")]
    author_handle: Option<String>,
    /// Where a picture of the author is
    #[arg(long, value_name = "URL")]
    author_avatar_url: Option<String>,
}

/// The flags of `athook publish chat`.
#[derive(clap::Args)]
pub(crate) struct RawChat {
    /// What was written
    #[arg(long, value_name = "TEXT")]
    text: String,
    /// The at-uri of the message's record [default: empty]
    #[arg(long, value_name = "URI")]
    uri: Option<String>,
    #[command(flatten)]
    author: RawAuthor,
    #[command(flatten)]
    common: RawCommon,
}

/// The flags of `athook publish livestream`.
#[derive(clap::Args)]
pub(crate) struct RawLivestream {
    /// The stream's title
    #[arg(long, value_name = "TEXT")]
    title: String,
    /// Where the stream can be watched
    #[arg(long, value_name = "URL")]
    url: String,
    /// The streamer's handle, without `@`
    #[arg(long, value_name = "HANDLE")]
    handle: Option<String>,
    /// The host that shows it [default: that of the URL]
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Where a picture of the stream is
    #[arg(long, value_name = "URL")]
    thumbnail_url: Option<String>,
    /// The at-uri of the post that announces it
    #[arg(long, value_name = "URI")]
    post_uri: Option<String>,
    #[command(flatten)]
    common: RawCommon,
}

/// The flags of `athook publish follow`.
#[derive(clap::Args)]
pub(crate) struct RawFollow {
    /// Who follows [default: the development identity]
    #[arg(long, value_name = "DID")]
    follower_did: Option<String>,
    /// The follower's handle, without `@`
    #[arg(long, value_name = "HANDLE")]
    follower_handle: Option<String>,
    /// Where a picture of the follower is
    #[arg(long, value_name = "URL")]
    follower_avatar_url: Option<String>,
    #[command(flatten)]
    common: RawCommon,
}

/// The flags of `athook publish mention`.
#[derive(clap::Args)]
pub(crate) struct RawMention {
    /// What was written
    #[arg(long, value_name = "TEXT")]
    text: String,
    /// The at-uri of the post [default: empty]
    #[arg(long, value_name = "URI")]
    uri: Option<String>,
    #[command(flatten)]
    author: RawAuthor,
    #[command(flatten)]
    common: RawCommon,
}

/// The flags of `athook publish stream.received`.
#[derive(clap::Args)]
pub(crate) struct RawStreamReceived {
    #[command(flatten)]
    common: RawCommon,
}

impl RawEvent {
    /// The payload, and the flags that all types have.
    pub(super) fn into_parts(self) -> (Payload, RawCommon) {
        match self {
            Self::Chat(raw) => {
                let RawChat { text, uri, author, common } = *raw;
                let (author, uri) = (Some(author.into_actor()), uri.unwrap_or_default());
                (Payload::Chat(Chat { author, text, uri }), common)
            }
            Self::Livestream(raw) => {
                let RawLivestream { title, url, handle, host, thumbnail_url, post_uri, common } = *raw;
                let livestream = Livestream { handle, title, url, host, thumbnail_url, post_uri };
                (Payload::Livestream(livestream), common)
            }
            Self::Follow(raw) => {
                let RawFollow { follower_did, follower_handle, follower_avatar_url, common } = *raw;
                let follower = Some(actor(follower_did, follower_handle, follower_avatar_url));
                (Payload::Follow(Follow { follower }), common)
            }
            Self::Mention(raw) => {
                let RawMention { text, uri, author, common } = *raw;
                let (author, uri) = (Some(author.into_actor()), uri.unwrap_or_default());
                (Payload::Mention(Mention { author, text, uri }), common)
            }
            Self::StreamReceived(raw) => {
                let RawStreamReceived { common } = *raw;
                (Payload::StreamReceived(StreamReceived {}), common)
            }
        }
    }
}

impl RawAuthor {
    fn into_actor(self) -> Actor {
        let Self { author_did, author_handle, author_avatar_url } = self;
        actor(author_did, author_handle, author_avatar_url)
    }
}

fn actor(did: Option<String>, handle: Option<String>, avatar_url: Option<String>) -> Actor {
    Actor { did: did.unwrap_or_else(|| developer::DID.to_owned()), handle, avatar_url }
}
