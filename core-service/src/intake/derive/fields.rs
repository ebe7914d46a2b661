//! The fields of Streamplace's and Bluesky's records that events are made of.
//!
//! What is not needed is not read, and may have any form. A part that is not as its lexicon says counts as
//! absent where the rest can do without it.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::UnreadableRecord;

pub(super) fn read<'a, T: Deserialize<'a>>(record: &'a RawValue) -> Result<T, UnreadableRecord> {
    part(record).ok_or(UnreadableRecord)
}

/// An object; serde would take an array as a struct too.
fn part<'a, T: Deserialize<'a>>(json: &'a RawValue) -> Option<T> {
    let json = Some(json.get()).filter(|json| json.starts_with('{'));
    json.and_then(|json| serde_json::from_str(json).ok())
}

/// A text, if a field has one.
#[derive(Default)]
pub(super) struct Text<'a>(Option<Cow<'a, str>>);

impl Text<'_> {
    pub(super) fn as_deref(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct IsText<'a>(#[serde(borrow)] Cow<'a, str>);
        let json = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str(json.get()).ok().map(|IsText(text)| text)))
    }
}

#[derive(Deserialize)]
pub(super) struct ChatMessage<'a> {
    #[serde(borrow)]
    pub(super) streamer: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) text: Text<'a>,
    #[serde(rename = "createdAt", borrow, default)]
    pub(super) created_at: Text<'a>,
    #[serde(borrow, default)]
    pub(super) facets: Facets<'a>,
}

#[derive(Deserialize)]
pub(super) struct Post<'a> {
    #[serde(borrow, default)]
    pub(super) text: Text<'a>,
    #[serde(borrow, default)]
    pub(super) facets: Facets<'a>,
}

#[derive(Deserialize)]
pub(super) struct Follow<'a> {
    #[serde(borrow)]
    pub(super) subject: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct Origin<'a> {
    #[serde(borrow)]
    streamer: Option<Cow<'a, str>>,
}

impl Origin<'_> {
    /// Whether it speaks of the one who wrote it.
    pub(super) fn is_of(&self, did: &str) -> bool {
        self.streamer.as_deref().is_none_or(|streamer| streamer == did)
    }
}

#[derive(Deserialize)]
pub(super) struct Livestream<'a> {
    #[serde(borrow)]
    pub(super) title: Cow<'a, str>,
    #[serde(rename = "createdAt", borrow, default)]
    pub(super) created_at: Text<'a>,
    #[serde(borrow, default)]
    pub(super) url: Text<'a>,
    #[serde(rename = "canonicalUrl", borrow, default)]
    pub(super) canonical_url: Text<'a>,
    #[serde(rename = "endedAt", borrow)]
    ended_at: Option<&'a RawValue>,
    #[serde(borrow)]
    post: Option<&'a RawValue>,
    #[serde(borrow)]
    thumb: Option<&'a RawValue>,
    #[serde(rename = "notificationSettings", borrow)]
    notification_settings: Option<&'a RawValue>,
}

impl Livestream<'_> {
    pub(super) fn has_ended(&self) -> bool {
        self.ended_at.is_some()
    }

    /// Whether the streamer has switched the push off.
    pub(super) fn is_silent(&self) -> bool {
        #[derive(Deserialize)]
        struct Settings {
            #[serde(rename = "pushNotification")]
            push_notification: Option<bool>,
        }
        let settings: Option<Settings> = self.notification_settings.and_then(part);
        settings.is_some_and(|settings| settings.push_notification == Some(false))
    }

    /// The Bluesky post about it.
    pub(super) fn post_uri(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct StrongRef {
            uri: String,
        }
        self.post.and_then(part).map(|StrongRef { uri }| uri)
    }

    /// The hash of its picture.
    pub(super) fn thumbnail_cid(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Blob {
            r#ref: Link,
        }
        #[derive(Deserialize)]
        struct Link {
            #[serde(rename = "$link")]
            link: String,
        }
        self.thumb.and_then(part).map(|Blob { r#ref: Link { link } }| link)
    }
}

/// What parts of a text mean: `place.stream.richtext.facet` and `app.bsky.richtext.facet`, which are alike.
#[derive(Default)]
pub(super) struct Facets<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Facets<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str(json.get()).unwrap_or_default()))
    }
}

#[derive(Deserialize)]
struct Facet<'a> {
    #[serde(borrow)]
    features: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Feature<'a> {
    #[serde(rename = "$type", borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow, default)]
    did: Text<'a>,
    #[serde(borrow, default)]
    uri: Text<'a>,
}

impl<'a> Facets<'a> {
    /// The DIDs that are mentioned, as often as they are.
    pub(super) fn mentioned(&self) -> impl Iterator<Item = Cow<'a, str>> {
        self.features("mention").filter_map(|feature| feature.did.0)
    }

    /// Whether a link would run a script. Browsers drop control characters and white space before the scheme
    /// and within it.
    pub(super) fn has_script_link(&self) -> bool {
        let runs_a_script = |uri: Cow<'_, str>| {
            let seen = uri.chars().filter(|character| !character.is_control() && !character.is_whitespace());
            let scheme = seen.take("javascript:".len()).collect::<String>();
            scheme.eq_ignore_ascii_case("javascript:")
        };
        self.features("link").filter_map(|feature| feature.uri.0).any(runs_a_script)
    }

    fn features(&self, name: &'static str) -> impl Iterator<Item = Feature<'a>> {
        let facets = self.0.iter().filter_map(|facet| part(facet));
        let features = facets.flat_map(|Facet { features }| features).filter_map(part);
        features.filter(move |feature: &Feature<'_>| {
            let lexicon = feature.r#type.strip_suffix(name).and_then(|rest| rest.strip_suffix('#'));
            matches!(lexicon, Some("app.bsky.richtext.facet" | "place.stream.richtext.facet"))
        })
    }
}
