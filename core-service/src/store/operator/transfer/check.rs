//! What a row must be like, so that an import takes it.
//!
//! A row is accepted if the core-service could have written it, because whatever reads the database later
//! relies on that. Types, unknown fields and missing ones are serde's business, and what only other rows can
//! tell, such as uniqueness, is the database's.

use crate::domain::did::Did;
use crate::domain::event_type::EventType;
use crate::domain::rule::{field, storable};
use crate::domain::secret::SecretName;
use crate::store::index_key::ID;
use crate::store::row::EVENT_SEPARATOR;
use crate::store::table::{account, index_key, secret, webhook};

use super::line::LineFault;

/// Bytes of a URL's hash, an HMAC-SHA-256.
const URL_HASH_BYTES: usize = 32;

pub(super) fn index_key(row: &index_key::Model) -> Result<(), LineFault> {
    if row.id != ID {
        return Err(LineFault::Column { field: "id", what: "1" });
    }
    not_empty("sealed_key", &row.sealed_key)
}

pub(super) fn account(row: &account::Model) -> Result<(), LineFault> {
    field::<Did>("did", &row.did)?;
    count("secrets", row.secrets)?;
    count("webhooks", row.webhooks)
}

pub(super) fn secret(row: &secret::Model) -> Result<(), LineFault> {
    field::<Did>("owner_did", &row.owner_did)?;
    field::<SecretName>("name", &row.name)?;
    if row.previous_sealed_token.is_some() != row.previous_until_ms.is_some() {
        return Err(LineFault::Column {
            field: "previous_until_ms",
            what: "there when previous_sealed_token is",
        });
    }
    not_empty("sealed_token", &row.sealed_token)?;
    match &row.previous_sealed_token {
        Some(sealed) => not_empty("previous_sealed_token", sealed),
        None => Ok(()),
    }
}

pub(super) fn webhook(row: &webhook::Model) -> Result<(), LineFault> {
    field::<Did>("owner_did", &row.owner_did)?;
    if let Some(name) = &row.secret_name {
        field::<SecretName>("secret_name", name)?;
    }
    for event in row.events.split(EVENT_SEPARATOR) {
        field::<EventType>("events", event)?;
    }
    if serde_json::from_str::<Vec<[String; 2]>>(&row.rewrite).is_err() {
        return Err(LineFault::Column { field: "rewrite", what: "a JSON array of [from, to]" });
    }
    if serde_json::from_str::<Vec<String>>(&row.mute_words).is_err() {
        return Err(LineFault::Column { field: "mute_words", what: "a JSON array of strings" });
    }
    if row.url_hash.len() != URL_HASH_BYTES {
        return Err(LineFault::Column { field: "url_hash", what: "32 bytes" });
    }
    for (field, text) in [
        ("name", &row.name),
        ("description", &row.description),
        ("prefix", &row.prefix),
        ("suffix", &row.suffix),
    ] {
        // Postgres can't store U+0000.
        storable(text.as_deref().unwrap_or_default(), 0, usize::MAX).map_err(|rule| rule.at(field))?;
    }
    not_empty("sealed_url", &row.sealed_url)?;
    count("error_count", row.error_count)
}

fn not_empty(field: &'static str, bytes: &[u8]) -> Result<(), LineFault> {
    if bytes.is_empty() {
        return Err(LineFault::Column { field, what: "not empty" });
    }
    Ok(())
}

fn count(field: &'static str, count: i32) -> Result<(), LineFault> {
    if count < 0 {
        return Err(LineFault::Column { field, what: "0 or more" });
    }
    Ok(())
}
