//! The kinds of events that a webhook can subscribe to.

use std::fmt;
use std::str::FromStr;

use super::rule::{BrokenField, Rule};

/// A kind of event (docs/methods.md, `events` of createWebhook).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventType {
    Chat,
    Livestream,
    Follow,
    Mention,
    StreamReceived,
}

impl EventType {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Livestream => "livestream",
            Self::Follow => "follow",
            Self::Mention => "mention",
            Self::StreamReceived => "stream.received",
        }
    }
}

impl FromStr for EventType {
    type Err = Rule;

    fn from_str(text: &str) -> Result<Self, Rule> {
        match text {
            "chat" => Ok(Self::Chat),
            "livestream" => Ok(Self::Livestream),
            "follow" => Ok(Self::Follow),
            "mention" => Ok(Self::Mention),
            "stream.received" => Ok(Self::StreamReceived),
            _ => Err(Rule::EventType),
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The event types of a webhook: at least one, none twice, in the order given.
///
/// Only the size of a message limits how many entries a request may have; repeated ones are dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventTypes(Vec<EventType>);

impl EventTypes {
    /// Parses the entries of the field at `path`.
    ///
    /// # Errors
    ///
    /// The first entry that is not an event type; or there is no entry.
    pub(crate) fn parse(path: &str, texts: &[String]) -> Result<Self, BrokenField> {
        let mut types = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let event_type: EventType =
                text.parse().map_err(|rule: Rule| rule.at(format!("{path}[{index}]")))?;
            if !types.contains(&event_type) {
                types.push(event_type);
            }
        }
        if types.is_empty() {
            return Err(Rule::NoEntry.at(path));
        }
        Ok(Self(types))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = EventType> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Result<String, String> {
        let texts: Vec<String> = texts.iter().copied().map(str::to_owned).collect();
        let types = EventTypes::parse("events", &texts).map_err(|error| error.to_string())?;
        Ok(types.iter().map(EventType::as_str).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn repeats_collapse_and_order_is_kept() {
        let all = ["stream.received", "chat", "mention", "chat", "follow", "livestream", "follow"];
        assert_eq!(parse(&all).unwrap(), "stream.received chat mention follow livestream");
    }

    #[test]
    fn none() {
        assert_eq!(parse(&[]).unwrap_err(), "events: must have at least one entry");
    }

    #[test]
    fn unknown() {
        for text in ["", "Chat", "chat ", "stream", "*"] {
            let error = parse(&["chat", text]).unwrap_err();
            assert!(error.starts_with("events[1]: must be one of chat,"), "{error}");
        }
    }

    #[test]
    fn text_of_each_type_is_read_back() {
        for text in ["chat", "livestream", "follow", "mention", "stream.received"] {
            assert_eq!(text.parse::<EventType>().unwrap().to_string(), text);
        }
    }
}
