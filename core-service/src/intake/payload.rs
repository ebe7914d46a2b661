//! What a wh record is told: wisp.place's canonical JSON, the same bytes as its own intake sends.
//!
//! Object keys are sorted at every level, numbers are written as JavaScript writes its doubles, and the
//! signing secret of a wh record is not passed on.

use chrono::{DateTime, SecondsFormat};
use jetstream::event::{Commit, Operation};
use serde_json::value::RawValue;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use self::canonical::{Budget, write_text};
use super::record::{COLLECTION, operation_name};
use super::scope::{CollectionGlob, Reading, Scope};

mod canonical;
mod number;

/// The longest payload, in bytes.
const MAX_BYTES: usize = 512 * 1024;
/// How many levels a payload has below its top.
const MAX_DEPTH: usize = 32;
/// The most values of a payload.
const MAX_NODES: usize = 10_000;
/// The longest key, in UTF-16 code units.
const MAX_KEY_UNITS: usize = 512;
/// The field of a wh record that is not passed on.
const INLINE_SECRET: &str = "secret";

/// Why there is no payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPayload {
    #[error("the payload would have more than {MAX_BYTES} bytes, {MAX_NODES} values or {MAX_DEPTH} levels")]
    TooLarge,
    #[error("the record is not readable")]
    Unreadable,
}

/// The payloads of one commit, which are equal but for the id of the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payload {
    without_id: String,
    /// Where the id goes, in bytes.
    id_at: usize,
}

impl Payload {
    /// The payload of the event `id`.
    pub(crate) fn of(&self, id: Uuid) -> String {
        let (before, after) = self.without_id.split_at(self.id_at);
        format!("{before}{id}{after}")
    }

    /// The length of each, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.without_id.len() + Hyphenated::LENGTH
    }
}

/// What `commit` did in the repository of `did`, at `time_us` of the stream (microseconds since
/// 1970-01-01T00:00:00Z).
///
/// # Errors
///
/// It would go beyond a bound; the record has texts that are no Unicode, or numbers beyond a double.
pub(crate) fn payload(did: &str, commit: &Commit, time_us: i64) -> Result<Payload, NoPayload> {
    let Commit { rev: _, operation, collection, rkey, cid, record } = commit;
    let time = DateTime::from_timestamp_millis(time_us.div_euclid(1000)).ok_or(NoPayload::Unreadable)?;
    let time = time.to_rfc3339_opts(SecondsFormat::Millis, true);
    let texts = [
        ("cid", cid.as_deref()),
        ("collection", Some(collection.as_str())),
        ("did", Some(did)),
        ("event", Some(operation_name(*operation))),
        ("id", Some("")),
        ("rkey", Some(rkey.as_str())),
        ("timestamp", Some(time.as_str())),
    ];
    let mut budget = Budget::for_a_record(1 + texts.iter().filter(|(_, text)| text.is_some()).count());
    let record =
        record.as_deref().map(|record| canonical_record(record, collection, &mut budget)).transpose()?;
    let mut json = String::from("{");
    let mut id_at = 0;
    for (key, text) in texts {
        if key == "rkey"
            && let Some(record) = &record
        {
            begin_field(&mut json, "record");
            json.push_str(record);
        }
        if let Some(text) = text {
            begin_field(&mut json, key);
            write_text(&mut json, text);
        }
        if key == "id" {
            id_at = json.len() - "\"".len();
        }
    }
    json.push('}');
    let payload = Payload { without_id: json, id_at };
    if payload.len() > MAX_BYTES { Err(NoPayload::TooLarge) } else { Ok(payload) }
}

fn begin_field(json: &mut String, key: &str) {
    if json.len() > 1 {
        json.push(',');
    }
    write_text(json, key);
    json.push(':');
}

/// The payload of a test: a made-up record that is in `scope` as far as that can be.
///
/// # Errors
///
/// Those of [`payload()`].
pub(crate) fn sample(id: Uuid, scope: &Scope, time_us: i64) -> Result<String, NoPayload> {
    let collection = match scope.collection.as_ref().map(CollectionGlob::reading) {
        Some(Reading::Collection(collection)) if !collection.contains('*') => collection,
        Some(_) | None => "app.bsky.feed.post",
    };
    let created = DateTime::from_timestamp_micros(time_us).ok_or(NoPayload::Unreadable)?;
    let record = serde_json::json!({
        "$type": collection,
        "text": "A sample record.",
        "createdAt": created.to_rfc3339_opts(SecondsFormat::Millis, true),
    });
    let commit = Commit {
        rev: "3jzfcijpj2z2a".to_owned(),
        operation: Operation::Create,
        collection: collection.to_owned(),
        rkey: scope.rkey.clone().unwrap_or_else(|| "3jzfcijpj2z2a".to_owned()),
        cid: Some("bafyreib2rxk3rybk3aobmv5cjuql3bm2twh4jo5uwqf5z4p7y6l5sudoqq".to_owned()),
        record: Some(serde_json::value::to_raw_value(&record).map_err(|_| NoPayload::Unreadable)?),
    };
    payload(scope.did.as_str(), &commit, time_us).map(|payload| payload.of(id))
}

/// The record in canonical JSON.
fn canonical_record(record: &RawValue, collection: &str, budget: &mut Budget) -> Result<String, NoPayload> {
    let left_out = (collection == COLLECTION).then_some(INLINE_SECRET);
    canonical::write(record, left_out, budget)
}

#[cfg(test)]
mod tests;
