//! The URL of a host: which wire it speaks, and the URLs that a connection asks for.

use std::collections::BTreeSet;
use std::sync::Arc;

use url::Url;

use crate::event::{Position, Wire};
use crate::frame::SEQUENCES_END;

/// The path of wire v1.
const V1_PATH: &str = "/subscribe";
/// The path of wire v2.
const V2_PATH: &str = "/xrpc/network.bsky.jetstream.subscribeEvents";
/// Where a v2 host serves its dictionary.
const DICTIONARY_PATH: &str = "/xrpc/network.bsky.jetstream.getZstdDictionary";

/// The most collections that a host takes. With more of them the whole network is asked for.
pub const MAX_COLLECTIONS: usize = 100;

/// The most bytes of collections that a URL holds: proxies in front of hosts refuse URLs above 8 KiB. With
/// more of them the whole network is asked for.
const MAX_COLLECTION_BYTES: usize = 7_168;

/// How far before the last event a time cursor goes, in microseconds: the clocks of hosts differ, and a
/// host's own events don't arrive in the order of their times.
pub(crate) const OVERLAP_US: i64 = 10_000_000;

/// A host of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    name: Arc<str>,
    url: Url,
    wire: Wire,
}

/// Why a text is no URL of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    /// It is no URL at all.
    #[error("not a URL")]
    NotAUrl,
    /// It is one of another scheme.
    #[error("the scheme is neither wss:// nor ws://")]
    Scheme,
    /// The path says neither wire.
    #[error("the path is neither {V1_PATH} nor {V2_PATH}")]
    Path,
    /// It has a part that the client sets itself or that does not belong there.
    #[error("it has a user name, a query or a fragment")]
    Extra,
}

impl Host {
    /// Reads a URL such as `wss://jetstream.example/subscribe`. The path says which wire it is.
    ///
    /// # Errors
    ///
    /// What is wrong with the URL.
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        let url = Url::parse(text).map_err(|_| InvalidHost::NotAUrl)?;
        if !matches!(url.scheme(), "ws" | "wss") {
            return Err(InvalidHost::Scheme);
        }
        if !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err(InvalidHost::Extra);
        }
        let wire = match url.path() {
            V1_PATH => Wire::V1,
            V2_PATH => Wire::V2,
            _ => return Err(InvalidHost::Path),
        };
        Ok(Self { name: text.into(), url, wire })
    }

    /// The URL as it was given, as in [`Position::host`].
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Which wire it speaks.
    #[must_use]
    pub fn wire(&self) -> Wire {
        self.wire
    }

    /// The URL of a subscription. `dictionary` is the id of the dictionary that frames are compressed with.
    pub(crate) fn subscription(&self, filter: &Filter, cursor: i64, dictionary: Option<u32>) -> Url {
        let mut url = self.url.clone();
        let collections = match self.wire {
            Wire::V1 => "wantedCollections",
            Wire::V2 => "collections",
        };
        let mut query = url.query_pairs_mut();
        for collection in filter.asked("&=".len() + collections.len()) {
            query.append_pair(collections, collection);
        }
        query.append_pair("cursor", &cursor.to_string());
        if let Some(id) = dictionary {
            query.append_pair("zstdDictionary", &id.to_string());
        }
        drop(query);
        url
    }

    /// Where a v2 host serves its dictionary.
    pub(crate) fn dictionary(&self) -> Url {
        let mut url = self.url.clone();
        url.set_path(DICTIONARY_PATH);
        url
    }
}

/// Which records are wanted. Events about accounts and identities always come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// All of them: the whole network.
    All,
    /// Those of these collections: NSIDs, or prefixes such as `place.stream.*`. Of none, of more than
    /// [`MAX_COLLECTIONS`] or of more than fit into a URL the whole network is read, since no host takes
    /// that.
    Collections(BTreeSet<String>),
}

impl Filter {
    /// The collections of which each takes `extra` bytes more in the URL.
    fn asked(&self, extra: usize) -> impl Iterator<Item = &String> {
        let collections = match self {
            Self::Collections(collections) => Some(collections),
            Self::All => None,
        };
        let fits = |collections: &&BTreeSet<String>| {
            let bytes: usize = collections.iter().map(|collection| collection.len() + extra).sum();
            collections.len() <= MAX_COLLECTIONS && bytes <= MAX_COLLECTION_BYTES
        };
        collections.filter(fits).into_iter().flatten()
    }
}

/// Where to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// At a time, in microseconds since 1970-01-01T00:00:00Z.
    Time(i64),
    /// After an event.
    At(Position),
}

impl Start {
    /// The time, in microseconds since 1970.
    pub(crate) fn time_us(&self) -> i64 {
        match self {
            Self::Time(time_us) => *time_us,
            Self::At(position) => position.time_us,
        }
    }

    /// What to ask `host` for.
    pub(crate) fn cursor(&self, host: &Host) -> Cursor {
        match self {
            Self::At(position) if host.wire == Wire::V2 && position.is_of(host) => {
                Cursor { value: position.cursor, seq: Some(position.cursor), from_us: position.time_us }
            }
            Self::At(_) | Self::Time(_) => Cursor::time(self.time_us(), OVERLAP_US),
        }
    }
}

impl Position {
    fn is_of(&self, host: &Host) -> bool {
        self.wire == host.wire && self.host == host.name
    }
}

/// From where on a host is asked for events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// What the URL says: a sequence number of a v2 host, or a time in microseconds since 1970.
    pub(crate) value: i64,
    /// The sequence number that was asked for. The event that has it was read before.
    pub(crate) seq: Option<i64>,
    /// The time of what was read last, in microseconds since 1970: what is lost from here on is a gap.
    pub(crate) from_us: i64,
}

impl Cursor {
    /// From a time on. A value below 1e15 would be a sequence number to a v2 host.
    pub(crate) fn time(from_us: i64, overlap_us: i64) -> Self {
        let value = from_us.saturating_sub(overlap_us).max(SEQUENCES_END);
        Self { value, seq: None, from_us }
    }
}

#[cfg(test)]
mod tests {
    use super::{Filter, Host, InvalidHost, Start};
    use crate::event::{Position, Wire};

    const V1: &str = "wss://a.example/subscribe";
    const V2: &str = "ws://b.example:80/xrpc/network.bsky.jetstream.subscribeEvents";
    const TIME_US: i64 = 1_780_000_000_000_000;

    #[test]
    fn wires_by_path() {
        for (text, expected) in [
            (V1, Ok(Wire::V1)),
            (V2, Ok(Wire::V2)),
            ("https://a.example/subscribe", Err(InvalidHost::Scheme)),
            ("wss://a.example/", Err(InvalidHost::Path)),
            ("wss://a.example/subscribe?cursor=1", Err(InvalidHost::Extra)),
            ("wss://me@a.example/subscribe", Err(InvalidHost::Extra)),
            ("a.example", Err(InvalidHost::NotAUrl)),
        ] {
            assert_eq!(Host::parse(text).map(|host| host.wire()), expected, "{text}");
        }
    }

    #[test]
    fn cursor_of_a_v2_host_is_for_that_host_alone() {
        let (v1, v2) = (Host::parse(V1).unwrap(), Host::parse(V2).unwrap());
        let position = Position { host: V2.into(), wire: Wire::V2, cursor: 7, time_us: TIME_US };
        let start = Start::At(position.clone());
        let asked = start.cursor(&v2);
        assert_eq!((asked.value, asked.seq), (7, Some(7)));
        let asked = start.cursor(&v1);
        assert_eq!((asked.value, asked.seq, asked.from_us), (TIME_US - 10_000_000, None, TIME_US));
        let elsewhere = Position { host: "wss://c.example/".into(), ..position };
        assert_eq!(Start::At(elsewhere).cursor(&v2).value, TIME_US - 10_000_000);
    }

    #[test]
    fn time_before_2001_is_no_sequence_number() {
        assert_eq!(Start::Time(5).cursor(&Host::parse(V2).unwrap()).value, 1_000_000_000_000_000);
    }

    #[test]
    fn urls() {
        let filter = Filter::Collections(["a.b.c".to_owned(), "d.e.*".to_owned()].into());
        assert_eq!(
            Host::parse(V1).unwrap().subscription(&filter, 5, None).as_str(),
            "wss://a.example/subscribe?wantedCollections=a.b.c&wantedCollections=d.e.*&cursor=5"
        );
        let v2 = Host::parse(V2).unwrap();
        assert_eq!(
            v2.subscription(&filter, 5, Some(9)).as_str(),
            "ws://b.example/xrpc/network.bsky.jetstream.subscribeEvents?collections=a.b.c&collections=d.e.*\
             &cursor=5&zstdDictionary=9"
        );
        assert_eq!(v2.dictionary().as_str(), "ws://b.example/xrpc/network.bsky.jetstream.getZstdDictionary");
    }

    #[test]
    fn more_collections_than_a_url_takes_are_the_whole_network() {
        let filter = |count: usize, length: usize| {
            Filter::Collections((0..count).map(|n| format!("a.{n:0length$}")).collect())
        };
        for (count, length, asked) in [(100, 10, 100), (101, 10, 0), (0, 0, 0), (64, 90, 64), (64, 91, 0)] {
            assert_eq!(filter(count, length).asked(20).count(), asked, "{count} of {length}");
        }
    }
}
