//! Rows to lines and lines to rows.
//!
//! A line is taken for a row when the core-service could have written it: whoever reads the database later relies
//! on that. What only other rows can tell, such as uniqueness, is the database's to refuse.

use crate::domain::did::Did;
use crate::domain::event_type::EventType;
use crate::domain::rule::{BrokenField, field, storable};
use crate::domain::secret::SecretName;
use crate::store::index_key::ID;
use crate::store::row::EVENT_SEPARATOR;
use crate::store::table::{account, index_key, secret, webhook};

use super::line::{Account, Blob, IndexKey, Secret, Webhook, Wrong};

/// Bytes of a URL's hash, an HMAC-SHA-256.
const URL_HASH_BYTES: usize = 32;

impl From<index_key::Model> for IndexKey {
    fn from(row: index_key::Model) -> Self {
        let index_key::Model { id, sealed_key } = row;
        Self { id, sealed_key: Blob(sealed_key) }
    }
}

impl From<account::Model> for Account {
    fn from(row: account::Model) -> Self {
        let account::Model { did, secrets, webhooks } = row;
        Self { did, secrets, webhooks }
    }
}

impl From<secret::Model> for Secret {
    fn from(row: secret::Model) -> Self {
        let secret::Model {
            id,
            owner_did,
            name,
            sealed_token,
            created_at_ms,
            last_rotated_at_ms,
            previous_sealed_token,
            previous_until_ms,
        } = row;
        Self {
            id,
            owner_did,
            name,
            sealed_token: Blob(sealed_token),
            created_at_ms,
            last_rotated_at_ms,
            previous_sealed_token: previous_sealed_token.map(Blob),
            previous_until_ms,
        }
    }
}

impl From<webhook::Model> for Webhook {
    fn from(row: webhook::Model) -> Self {
        let webhook::Model {
            id,
            owner_did,
            sealed_url,
            url_hash,
            events,
            active,
            name,
            description,
            prefix,
            suffix,
            rewrite,
            mute_words,
            streamplace_format,
            secret_name,
            created_at_ms,
            updated_at_ms,
            last_triggered_at_ms,
            error_count,
        } = row;
        Self {
            id,
            owner_did,
            sealed_url: Blob(sealed_url),
            url_hash: Blob(url_hash),
            events,
            active,
            name,
            description,
            prefix,
            suffix,
            rewrite,
            mute_words,
            streamplace_format,
            secret_name,
            created_at_ms,
            updated_at_ms,
            last_triggered_at_ms,
            error_count,
        }
    }
}

pub(super) fn index_key(line: IndexKey) -> Result<index_key::Model, Wrong> {
    let IndexKey { id, sealed_key } = line;
    if id != ID {
        return Err(Wrong::Column { field: "id", what: "1" });
    }
    Ok(index_key::Model { id, sealed_key: bytes("sealed_key", sealed_key)? })
}

pub(super) fn account(line: Account) -> Result<account::Model, Wrong> {
    let Account { did, secrets, webhooks } = line;
    field::<Did>("did", &did)?;
    Ok(account::Model { did, secrets: count("secrets", secrets)?, webhooks: count("webhooks", webhooks)? })
}

pub(super) fn secret(line: Secret) -> Result<secret::Model, Wrong> {
    let Secret {
        id,
        owner_did,
        name,
        sealed_token,
        created_at_ms,
        last_rotated_at_ms,
        previous_sealed_token,
        previous_until_ms,
    } = line;
    field::<Did>("owner_did", &owner_did)?;
    field::<SecretName>("name", &name)?;
    if previous_sealed_token.is_some() != previous_until_ms.is_some() {
        return Err(Wrong::Column {
            field: "previous_until_ms",
            what: "there when previous_sealed_token is",
        });
    }
    Ok(secret::Model {
        id,
        owner_did,
        name,
        sealed_token: bytes("sealed_token", sealed_token)?,
        created_at_ms,
        last_rotated_at_ms,
        previous_sealed_token: match previous_sealed_token {
            Some(sealed) => Some(bytes("previous_sealed_token", sealed)?),
            None => None,
        },
        previous_until_ms,
    })
}

pub(super) fn webhook(line: Webhook) -> Result<webhook::Model, Wrong> {
    let Webhook {
        id,
        owner_did,
        sealed_url,
        url_hash,
        events,
        active,
        name,
        description,
        prefix,
        suffix,
        rewrite,
        mute_words,
        streamplace_format,
        secret_name,
        created_at_ms,
        updated_at_ms,
        last_triggered_at_ms,
        error_count,
    } = line;
    field::<Did>("owner_did", &owner_did)?;
    if let Some(name) = &secret_name {
        field::<SecretName>("secret_name", name)?;
    }
    for event in events.split(EVENT_SEPARATOR) {
        field::<EventType>("events", event)?;
    }
    if serde_json::from_str::<Vec<[String; 2]>>(&rewrite).is_err() {
        return Err(Wrong::Column { field: "rewrite", what: "a JSON array of [from, to]" });
    }
    if serde_json::from_str::<Vec<String>>(&mute_words).is_err() {
        return Err(Wrong::Column { field: "mute_words", what: "a JSON array of strings" });
    }
    if url_hash.0.len() != URL_HASH_BYTES {
        return Err(Wrong::Column { field: "url_hash", what: "32 bytes" });
    }
    for (field, text) in
        [("name", &name), ("description", &description), ("prefix", &prefix), ("suffix", &suffix)]
    {
        text_of(field, text.as_deref())?;
    }
    Ok(webhook::Model {
        id,
        owner_did,
        sealed_url: bytes("sealed_url", sealed_url)?,
        url_hash: url_hash.0,
        events,
        active,
        name,
        description,
        prefix,
        suffix,
        rewrite,
        mute_words,
        streamplace_format,
        secret_name,
        created_at_ms,
        updated_at_ms,
        last_triggered_at_ms,
        error_count: count("error_count", error_count)?,
    })
}

/// A text that every database can store.
fn text_of(field: &str, text: Option<&str>) -> Result<(), BrokenField> {
    storable(text.unwrap_or_default(), 0, usize::MAX).map_err(|rule| rule.at(field))
}

fn bytes(field: &'static str, Blob(bytes): Blob) -> Result<Vec<u8>, Wrong> {
    if bytes.is_empty() {
        return Err(Wrong::Column { field, what: "not empty" });
    }
    Ok(bytes)
}

fn count(field: &'static str, count: i32) -> Result<i32, Wrong> {
    if count < 0 {
        return Err(Wrong::Column { field, what: "0 or more" });
    }
    Ok(count)
}
