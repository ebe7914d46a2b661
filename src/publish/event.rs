//! The events as flags: one for each field of the `.proto`, with the names of both where a message is in one.

use proto::athook::event::Payload;
use proto::athook::{Actor, Chat, Follow, Livestream, Mention, StreamReceived};

use super::RawOne;
use crate::developer;

// The samples are those of `sendTest` (`core-service/src/delivery/sample.rs`).
const SAMPLE_HANDLE: &str = "sample.example";
const SAMPLE_HOST: &str = "stream.example";
/// Behind the author's DID.
const SAMPLE_CHAT: &str = "place.stream.chat.message/3jzfcijpj2z2a";
const SAMPLE_POST: &str = "app.bsky.feed.post/3jzfcijpj2z2a";

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
    /// What was written; required without --example
    #[arg(long, value_name = "TEXT", required_unless_present = "example")]
    text: Option<String>,
    /// The at-uri of the message's record [default: empty]
    #[arg(long, value_name = "URI")]
    uri: Option<String>,
    #[command(flatten)]
    author: RawAuthor,
    #[command(flatten)]
    one: RawOne,
}

/// The flags of `athook publish livestream`.
#[derive(clap::Args)]
pub(crate) struct RawLivestream {
    /// The stream's title; required without --example
    #[arg(long, value_name = "TEXT", required_unless_present = "example")]
    title: Option<String>,
    /// Where the stream can be watched; required without --example
    #[arg(long, value_name = "URL", required_unless_present = "example")]
    url: Option<String>,
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
    one: RawOne,
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
    one: RawOne,
}

/// The flags of `athook publish mention`.
#[derive(clap::Args)]
pub(crate) struct RawMention {
    /// What was written; required without --example
    #[arg(long, value_name = "TEXT", required_unless_present = "example")]
    text: Option<String>,
    /// The at-uri of the post [default: empty]
    #[arg(long, value_name = "URI")]
    uri: Option<String>,
    #[command(flatten)]
    author: RawAuthor,
    #[command(flatten)]
    one: RawOne,
}

/// The flags of `athook publish stream.received`.
#[derive(clap::Args)]
pub(crate) struct RawStreamReceived {
    #[command(flatten)]
    one: RawOne,
}

impl RawEvent {
    /// The payload, and the flags that all types have. What is missing of a sample is filled in.
    pub(super) fn into_parts(self) -> (Payload, RawOne) {
        match self {
            Self::Chat(raw) => {
                let RawChat { text, uri, author, one } = *raw;
                let sample = one.sample_for();
                let uri = uri.or_else(|| Some(format!("at://{}/{SAMPLE_CHAT}", sample.as_ref()?)));
                let text = text.unwrap_or_else(|| "A sample chat message.".to_owned());
                let chat =
                    Chat { author: Some(author.into_actor(sample)), text, uri: uri.unwrap_or_default() };
                (Payload::Chat(chat), one)
            }
            Self::Livestream(raw) => {
                let RawLivestream { title, url, handle, host, thumbnail_url, post_uri, one } = *raw;
                let is_sample = one.sample_for().is_some();
                // The host of the URL, unless that is given.
                let host = host.or_else(|| (is_sample && url.is_none()).then(|| SAMPLE_HOST.to_owned()));
                let handle = handle.or_else(|| is_sample.then(|| SAMPLE_HANDLE.to_owned()));
                let url = url.unwrap_or_else(|| format!("https://{SAMPLE_HOST}/{SAMPLE_HANDLE}"));
                let title = title.unwrap_or_else(|| "A sample livestream".to_owned());
                let livestream = Livestream { handle, title, url, host, thumbnail_url, post_uri };
                (Payload::Livestream(livestream), one)
            }
            Self::Follow(raw) => {
                let RawFollow { follower_did, follower_handle, follower_avatar_url, one } = *raw;
                let follower = actor(follower_did, follower_handle, follower_avatar_url, one.sample_for());
                (Payload::Follow(Follow { follower: Some(follower) }), one)
            }
            Self::Mention(raw) => {
                let RawMention { text, uri, author, one } = *raw;
                let sample = one.sample_for();
                let uri = uri.or_else(|| Some(format!("at://{}/{SAMPLE_POST}", sample.as_ref()?)));
                let text = text.unwrap_or_else(|| "A sample mention.".to_owned());
                let (author, uri) = (Some(author.into_actor(sample)), uri.unwrap_or_default());
                (Payload::Mention(Mention { author, text, uri }), one)
            }
            Self::StreamReceived(raw) => {
                let RawStreamReceived { one } = *raw;
                (Payload::StreamReceived(StreamReceived {}), one)
            }
        }
    }
}

impl RawAuthor {
    fn into_actor(self, sample: Option<String>) -> Actor {
        let Self { author_did, author_handle, author_avatar_url } = self;
        actor(author_did, author_handle, author_avatar_url, sample)
    }
}

/// Somebody; of a sample, the streamer `sample`.
fn actor(
    did: Option<String>,
    handle: Option<String>,
    avatar_url: Option<String>,
    sample: Option<String>,
) -> Actor {
    let handle = handle.or_else(|| sample.as_ref().map(|_| SAMPLE_HANDLE.to_owned()));
    let did = did.or(sample).unwrap_or_else(|| developer::DID.to_owned());
    Actor { did, handle, avatar_url }
}
