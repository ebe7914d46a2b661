//! Webhooks that are records of the collection `place.wisp.v2.wh`, to rows and back.

use uuid::Uuid;

use super::table::record_webhook;
use crate::domain::did::Did;
use crate::domain::rule::{BrokenField, field};
use crate::domain::secret::SigningToken;
use crate::domain::webhook_url::{Schemes, UrlRule, WebhookUrl};
use crate::intake::record::RecordSecret;
use crate::seal::{OpenError, Purpose, SealKeys};

/// `record_webhook.state`.
pub(super) const ACTIVE: &str = "active";
pub(super) const DISABLED: &str = "disabled";
pub(super) const INVALID: &str = "invalid";
pub(super) const OVER_LIMIT: &str = "over_limit";
/// The states of valid records: these have a URL.
pub(super) const VALID: [&str; 3] = [ACTIVE, DISABLED, OVER_LIMIT];
/// The record is gone.
pub(super) const DELETED: &str = "deleted";

/// The types of the events that such webhooks get (`event.type`).
pub(super) const CHANGES_OF_RECORDS: [&str; 3] = ["create", "update", "delete"];

/// What a delivery needs of a row.
#[derive(Debug)]
pub(super) struct OpenedRecord {
    pub(super) owner: Did,
    pub(super) url: WebhookUrl,
    pub(super) secret: Option<RecordSecret>,
}

/// A row that can't be read. `Display` names the webhook.
#[derive(Debug, thiserror::Error)]
#[error("the record's webhook {id} can't be read")]
pub(super) struct UnreadableRecord {
    id: Uuid,
    #[source]
    cause: Unreadable,
}

/// The values of the row are not part of it.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("a value does not open")]
    Sealed(#[from] OpenError),
    #[error("a value is no text")]
    NotText,
    #[error("it has no URL")]
    NoUrl,
    #[error("its URL is none")]
    Url(#[from] UrlRule),
    #[error("a column breaks a rule")]
    Field(#[from] BrokenField),
}

/// Opens what is sealed in `row`.
///
/// # Errors
///
/// `keys` do not open it, or a column has a value that is never written.
pub(super) fn open(row: &record_webhook::Model, keys: &SealKeys) -> Result<OpenedRecord, UnreadableRecord> {
    opened(row, keys).map_err(|cause| UnreadableRecord { id: row.id, cause })
}

fn opened(row: &record_webhook::Model, keys: &SealKeys) -> Result<OpenedRecord, Unreadable> {
    let owner: Did = field("owner_did", &row.owner_did)?;
    let text = |purpose: Purpose<'_>, sealed: &[u8]| -> Result<String, Unreadable> {
        String::from_utf8(keys.open(purpose, sealed)?).map_err(|_| Unreadable::NotText)
    };
    let sealed_url = row.sealed_url.as_deref().ok_or(Unreadable::NoUrl)?;
    let url = text(Purpose::Url { owner: &owner, webhook: row.id }, sealed_url)?;
    // Whether http is allowed is checked when the record arrives.
    let url = WebhookUrl::parse(&url, Schemes::HttpsAndHttp)?;
    let secret = match (&row.sealed_secret, &row.secret_name) {
        (Some(sealed), _) => {
            let token = text(Purpose::RecordSecret { owner: &owner, webhook: row.id }, sealed)?;
            Some(RecordSecret::Inline(SigningToken::stored(token)))
        }
        (None, Some(name)) => Some(RecordSecret::Named(field("secret_name", name)?)),
        (None, None) => None,
    };
    Ok(OpenedRecord { owner, url, secret })
}
