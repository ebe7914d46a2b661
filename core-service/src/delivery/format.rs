//! The body of a delivery's request, in the format that its host reads (docs/delivery.md, "Formats").
//!
//! Owns which format a URL gets. What a format looks like is in the file of its name.

mod discord;
mod json;
mod slack;

use url::Url;

use super::event::Message;
use super::text::Texts;

const DISCORD_HOSTS: [&str; 6] = [
    "discord.com",
    "ptb.discord.com",
    "canary.discord.com",
    "discordapp.com",
    "ptb.discordapp.com",
    "canary.discordapp.com",
];
const DISCORD_PATH: &str = "/api/webhooks/";
const SLACK_HOST: &str = "hooks.slack.com";

/// What a receiver reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Discord's *execute webhook*.
    Discord,
    /// An incoming webhook of Slack.
    Slack,
    /// Our own JSON.
    Json,
}

impl Format {
    /// The format of a webhook's URL, whatever its scheme and port.
    pub(crate) fn of(url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default();
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if DISCORD_HOSTS.contains(&&*host) && url.path().starts_with(DISCORD_PATH) {
            Self::Discord
        } else if host == SLACK_HOST {
            Self::Slack
        } else {
            Self::Json
        }
    }

    /// The bytes of the body. `None` if there is nothing to send: Discord and Slack refuse a message without
    /// text.
    pub(crate) fn body(self, message: Message<'_>, texts: Texts<'_>) -> Option<Vec<u8>> {
        match self {
            Self::Discord => discord::body(message, texts),
            Self::Slack => slack::body(message, texts),
            Self::Json => Some(json::body(message, texts)),
        }
    }
}

/// The first `max` characters (code points) of `text`.
fn first_chars(text: &str, max: usize) -> &str {
    text.char_indices().nth(max).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests;
