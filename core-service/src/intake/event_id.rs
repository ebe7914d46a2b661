//! The id of an event of intake: the same however often, from whichever host and on whichever wire its commit
//! is read.

use jetstream::event::Commit;
use ring::digest::{Context, SHA256};
use uuid::{Builder, Uuid};

use super::record::operation_name;
use crate::domain::did::Did;

/// Begins what is hashed. Another meaning of the fields needs another one.
const DOMAIN: &str = "athook intake event 1";

/// Whom an event is for. A commit that concerns two of them is two events.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Recipient<'a> {
    /// The webhooks of a streamer.
    Streamer(&'a Did),
    /// The wh record with this at-uri.
    Record(&'a str),
}

/// The id of the event that `commit` in the repository of `did` is for `recipient`.
///
/// A hash over what the commit is, and nothing of how it came: no host, time or sequence number.
pub(crate) fn event_id(recipient: Recipient<'_>, did: &str, commit: &Commit) -> Uuid {
    let (family, name) = match recipient {
        Recipient::Streamer(did) => ("streamplace", did.as_str()),
        Recipient::Record(uri) => ("record", uri),
    };
    let Commit { rev, operation, collection, rkey, cid, record: _ } = commit;
    let mut hash = Context::new(&SHA256);
    // Each with its length before it, so that no two sequences of texts are the same bytes.
    for text in [DOMAIN, family, name, did, collection, rkey, rev, operation_name(*operation)] {
        add(&mut hash, text);
    }
    if let Some(cid) = cid {
        add(&mut hash, cid);
    }
    let digest = hash.finish();
    let (id, _rest) = digest.as_ref().split_first_chunk().expect("a SHA-256 has 32 bytes");
    Builder::from_custom_bytes(*id).into_uuid()
}

fn add(hash: &mut Context, text: &str) {
    let length = u64::try_from(text.len()).expect("a text has less than 2^64 bytes");
    hash.update(&length.to_be_bytes());
    hash.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use jetstream::event::Operation;
    use serde_json::value::RawValue;

    use super::*;

    fn commit() -> Commit {
        Commit {
            rev: "3l6oveex3ii2l".to_owned(),
            operation: Operation::Create,
            collection: "app.bsky.feed.post".to_owned(),
            rkey: "3l6oveex3ii2k".to_owned(),
            cid: Some("bafyreib2rxk3rybk3aobmv5cjuql3bm2twh4jo5uwqf5z4p7y6l5sudoqq".to_owned()),
            record: None,
        }
    }

    /// Stored ids are compared with later ones for a week: a change of the hash repeats a week's deliveries.
    #[test]
    fn stays_what_it_is() {
        let streamer: Did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap();
        let id = event_id(Recipient::Streamer(&streamer), "did:plc:author", &commit());
        assert_eq!(id.to_string(), "a8633bff-e42b-810e-b340-67dcc3183a77");
        assert_eq!((id.get_version_num(), id.get_variant()), (8, uuid::Variant::RFC4122));
    }

    #[test]
    fn every_field_but_the_record_counts() {
        let streamer: Did = "did:plc:a".parse().unwrap();
        let other: Did = "did:plc:b".parse().unwrap();
        let of = |commit: &Commit| event_id(Recipient::Streamer(&streamer), "did:plc:author", commit);
        let text = |text: &str| text.to_owned();
        let with_a_record = Commit { record: Some(RawValue::from_string(text("{}")).unwrap()), ..commit() };
        assert_eq!(of(&with_a_record), of(&commit()));
        let mut ids = vec![
            of(&commit()),
            event_id(Recipient::Streamer(&other), "did:plc:author", &commit()),
            event_id(Recipient::Record("did:plc:a"), "did:plc:author", &commit()),
            event_id(Recipient::Streamer(&streamer), "did:plc:authors", &commit()),
            of(&Commit { rev: text("3l6oveex3ii2m"), ..commit() }),
            of(&Commit { operation: Operation::Update, ..commit() }),
            of(&Commit { operation: Operation::Delete, cid: None, ..commit() }),
            of(&Commit { cid: None, ..commit() }),
            of(&Commit { cid: Some(String::new()), ..commit() }),
            of(&Commit { collection: text("app.bsky.feed.pos"), rkey: text("t3l6oveex3ii2k"), ..commit() }),
            of(&Commit { rkey: text("3l6oveex3ii2j"), ..commit() }),
        ];
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }
}
