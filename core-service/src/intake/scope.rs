//! The scope of a `place.wisp.v2.wh` record: whose records, and which of them, it is told of.
//!
//! Owns the at-uris of scopes and references, the matching, and what the stream must be asked for so that a
//! scope's collection arrives.

use std::fmt;

use shrike::syntax::Nsid;

use crate::domain::did::Did;

/// The longest at-uri of a scope or reference, in bytes.
const MAX_URI_BYTES: usize = 2048;
/// The longest collection of a scope or reference, in bytes.
const MAX_COLLECTION_BYTES: usize = 253;
/// The longest record key of a scope or reference, in bytes.
const MAX_RKEY_BYTES: usize = 512;
/// The characters after `did:plc:`.
const PLC_CHARACTERS: usize = 24;
/// The longest label of the host of a did:web, in bytes.
const MAX_LABEL_BYTES: usize = 63;
/// The longest part of the path of a did:web, in bytes.
const MAX_PATH_PART_BYTES: usize = 128;

/// `at://<did>[/<collection>[/<rkey>]]`, whose DID is a did:plc or did:web in its one canonical form.
///
/// A handle is refused: what it leads to can change hands. The collection may have `*`, which means any
/// characters in a scope and nothing special elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct AtUri {
    pub(crate) did: Did,
    pub(crate) collection: Option<String>,
    /// Only where there is a collection.
    pub(crate) rkey: Option<String>,
}

impl AtUri {
    /// Parses an at-uri; `None` where it is not of this form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (did, collection, rkey) = parts(text)?;
        let did = did.parse().ok()?;
        Some(Self { did, collection: collection.map(str::to_owned), rkey: rkey.map(str::to_owned) })
    }
}

impl fmt::Display for AtUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { did, collection, rkey } = self;
        write_uri(f, did, collection.as_deref(), rkey.as_deref())
    }
}

/// The DID of an at-uri of the form of [`AtUri`], without allocating.
pub(crate) fn did_of(uri: &str) -> Option<&str> {
    parts(uri).map(|(did, _, _)| did)
}

/// The scope of a wh record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    pub(crate) did: Did,
    /// `None`: all collections.
    pub(crate) collection: Option<CollectionGlob>,
    /// `None`: all records. Only where there is a collection.
    pub(crate) rkey: Option<String>,
    /// Whether it is also told of records that refer to what is in the scope.
    pub(crate) backlinks: bool,
}

impl Scope {
    /// Parses the at-uri of a scope; `None` where it has not the form of [`AtUri`].
    pub(crate) fn parse(uri: &str, backlinks: bool) -> Option<Self> {
        let AtUri { did, collection, rkey } = AtUri::parse(uri)?;
        Some(Self { did, collection: collection.map(CollectionGlob), rkey, backlinks })
    }

    /// Whether the record `at://<did>/<collection>/<rkey>` is in the scope.
    pub(crate) fn matches(&self, did: &str, collection: &str, rkey: &str) -> bool {
        self.did.as_str() == did && self.matches_within(collection, rkey)
    }

    /// Whether a record of the scope's DID is in the scope.
    pub(crate) fn matches_within(&self, collection: &str, rkey: &str) -> bool {
        self.collection.as_ref().is_none_or(|glob| glob.matches(collection))
            && self.rkey.as_deref().is_none_or(|wanted| wanted == rkey)
    }

    /// Whether `reference` leads into the scope. One without a collection is to the DID as a whole, and in a
    /// scope without a collection only; likewise the record key.
    pub(crate) fn refers(&self, reference: &AtUri) -> bool {
        let in_collection = self.collection.as_ref().is_none_or(|glob| {
            reference.collection.as_deref().is_some_and(|collection| glob.matches(collection))
        });
        self.did == reference.did && in_collection && (self.rkey.is_none() || self.rkey == reference.rkey)
    }

    /// What the stream must be asked for.
    pub(crate) fn reading(&self) -> Reading<'_> {
        match &self.collection {
            Some(glob) if !self.backlinks => glob.reading(),
            Some(_) | None => Reading::Network,
        }
    }
}

/// The at-uri, without `backlinks`.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { did, collection, rkey, backlinks: _ } = self;
        write_uri(f, did, collection.as_ref().map(CollectionGlob::as_str), rkey.as_deref())
    }
}

/// What the stream must be asked for so that the records of a scope arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading<'a> {
    /// No record can be of this collection: it is not an NSID.
    Nothing,
    /// This NSID, or `prefix.*`.
    Collection(&'a str),
    /// The records of the whole network: no filter says what is wanted.
    Network,
}

/// The collection of a scope: `*` stands for any characters, also dots and none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CollectionGlob(String);

impl CollectionGlob {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether all of `collection` matches.
    pub(crate) fn matches(&self, collection: &str) -> bool {
        let (glob, text) = (self.0.as_bytes(), collection.as_bytes());
        let (mut at, mut position) = (0, 0);
        // Where the last `*` stands, and the end of what it stands for so far.
        let mut star: Option<(usize, usize)> = None;
        while position < text.len() {
            match (glob.get(at), star) {
                (Some(b'*'), _) => {
                    star = Some((at, position));
                    at += 1;
                }
                (Some(byte), _) if *byte == text[position] => {
                    at += 1;
                    position += 1;
                }
                (_, Some((star_at, end))) => {
                    star = Some((star_at, end + 1));
                    at = star_at + 1;
                    position = end + 1;
                }
                (_, None) => return false,
            }
        }
        glob[at..].iter().all(|byte| *byte == b'*')
    }

    /// What the stream must be asked for.
    pub(crate) fn reading(&self) -> Reading<'_> {
        let glob = self.as_str();
        if !glob.contains('*') {
            let known = glob.parse::<Nsid>().is_ok();
            return if known { Reading::Collection(glob) } else { Reading::Nothing };
        }
        // A server takes a prefix that some NSID can begin with.
        let prefix = glob.strip_suffix(".*").filter(|prefix| !prefix.contains('*'));
        let of_an_nsid = prefix.is_some_and(|prefix| format!("{prefix}.x").parse::<Nsid>().is_ok());
        if of_an_nsid { Reading::Collection(glob) } else { Reading::Network }
    }
}

fn write_uri(
    f: &mut fmt::Formatter<'_>,
    did: &Did,
    collection: Option<&str>,
    rkey: Option<&str>,
) -> fmt::Result {
    write!(f, "at://{did}")?;
    for part in [collection, rkey].into_iter().flatten() {
        write!(f, "/{part}")?;
    }
    Ok(())
}

/// DID, collection and record key of an at-uri of the form of [`AtUri`].
fn parts(uri: &str) -> Option<(&str, Option<&str>, Option<&str>)> {
    if uri.len() > MAX_URI_BYTES {
        return None;
    }
    let mut parts = uri.strip_prefix("at://")?.split('/');
    let (did, collection, rkey) = (parts.next()?, parts.next(), parts.next());
    let of_collection = |byte: u8| byte.is_ascii_alphanumeric() || b".*-".contains(&byte);
    let of_rkey = |byte: u8| byte.is_ascii_alphanumeric() || b"._~:%@+-".contains(&byte);
    let fits = parts.next().is_none()
        && is_canonical_did(did)
        && collection.is_none_or(|text| consists(text, MAX_COLLECTION_BYTES, of_collection))
        && rkey.is_none_or(|text| consists(text, MAX_RKEY_BYTES, of_rkey));
    fits.then_some((did, collection, rkey))
}

/// Whether `did` is a did:plc, or a did:web in lower case and without a port.
fn is_canonical_did(did: &str) -> bool {
    if let Some(id) = did.strip_prefix("did:plc:") {
        return id.len() == PLC_CHARACTERS
            && id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
    }
    let Some(id) = did.strip_prefix("did:web:") else { return false };
    let mut parts = id.split(':');
    let host = parts.next().unwrap_or_default();
    let of_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let of_path = |byte: u8| of_label(byte) || byte == b'.' || byte == b'_';
    let ends_well = |text: &str| {
        let is_plain = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        is_plain(text.bytes().next()) && is_plain(text.bytes().last())
    };
    host.split('.').all(|label| consists(label, MAX_LABEL_BYTES, of_label) && ends_well(label))
        && parts.all(|part| consists(part, MAX_PATH_PART_BYTES, of_path) && ends_well(part))
}

/// Whether `text` has 1 to `max` bytes, all of which fit.
fn consists(text: &str, max: usize, fits: impl Fn(u8) -> bool) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests;
