//! A `place.wisp.v2.wh` record: the rules that make it a webhook.
//!
//! They are those of wisp.place's own intake. What is read is a record of a stranger, of any form and depth:
//! nothing here fails but with a reason that its owner is shown.

use jetstream::event::Operation;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::scope::Scope;
use crate::domain::did::Did;
use crate::domain::secret::{SecretName, SigningToken};
use crate::domain::webhook_url::{Schemes, UrlRule, WebhookUrl};

/// The collection of these records.
pub(crate) const COLLECTION: &str = "place.wisp.v2.wh";
const SCOPE_TYPE: &str = "place.wisp.v2.wh#atUri";
/// The longest signing secret in a record, in bytes.
const MAX_SECRET_BYTES: usize = 256;
/// The longest `secretId`, in bytes.
const MAX_SECRET_ID_BYTES: usize = 64;
/// The most digits of a fraction of a second in `createdAt`.
const MAX_FRACTION_DIGITS: usize = 9;

/// The at-uri of a wh record.
pub(crate) fn at_uri(owner: &str, rkey: &str) -> String {
    format!("at://{owner}/{COLLECTION}/{rkey}")
}

/// The record key of the wh record of `owner` with this at-uri; `None` where it is no such at-uri.
pub(crate) fn rkey_of<'a>(uri: &'a str, owner: &Did) -> Option<&'a str> {
    let path = uri.strip_prefix("at://")?.strip_prefix(owner.as_str())?;
    path.strip_prefix('/')?.strip_prefix(COLLECTION)?.strip_prefix('/').filter(|rkey| !rkey.is_empty())
}

/// A record that keeps the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WhRecord {
    pub(crate) scope: Scope,
    pub(crate) url: WebhookUrl,
    pub(crate) events: Operations,
    pub(crate) secret: Option<RecordSecret>,
    pub(crate) enabled: bool,
}

impl WhRecord {
    /// Parses the record as it came. Unknown fields are ignored, whatever they hold.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub(crate) fn parse(record: &RawValue, schemes: Schemes) -> Result<Self, InvalidRecord> {
        let raw: RawRecord<'_> = read(record, "the record", RecordRule::Object)?;
        let RawRecord { r#type, scope, url, events, secret, secret_id, enabled, created_at } = raw;
        if r#type.is_none_or(|value| text(value).as_deref() != Some(COLLECTION)) {
            return Err(RecordRule::Type.of("$type"));
        }
        let created_at = required(created_at, "createdAt")?;
        if !text(created_at).is_some_and(|text| is_datetime(&text)) {
            return Err(RecordRule::Datetime.of("createdAt"));
        }
        let url = text(required(url, "url")?).ok_or(RecordRule::Text.of("url"))?;
        let (secret, secret_id) = (secret.map(inline_secret), secret_id.map(secret_name));
        let secret = match (secret.transpose()?, secret_id.transpose()?) {
            (Some(_), Some(_)) => return Err(RecordRule::TwoSecrets.of("secretId")),
            (secret, secret_id) => secret.or(secret_id),
        };
        Ok(Self {
            scope: parse_scope(required(scope, "scope")?)?,
            url: parse_url(&url, schemes)?,
            events: events.map_or(Ok(Operations::ALL), parse_events)?,
            secret,
            enabled: enabled.map_or(Ok(true), |value| read(value, "enabled", RecordRule::Boolean))?,
        })
    }
}

/// What signs the deliveries of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RecordSecret {
    /// The token, which the record has in plaintext.
    Inline(SigningToken),
    /// A secret of the record's owner, which need not exist.
    Named(SecretName),
}

/// Of which operations a record is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Operations {
    create: bool,
    update: bool,
    delete: bool,
}

impl Operations {
    pub(crate) const ALL: Self = Self { create: true, update: true, delete: true };
    const NONE: Self = Self { create: false, update: false, delete: false };

    pub(crate) fn contains(self, operation: Operation) -> bool {
        match operation {
            Operation::Create => self.create,
            Operation::Update => self.update,
            Operation::Delete => self.delete,
        }
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Operation> {
        let all = [Operation::Create, Operation::Update, Operation::Delete];
        all.into_iter().filter(move |operation| self.contains(*operation))
    }

    fn place(&mut self, operation: Operation) -> &mut bool {
        match operation {
            Operation::Create => &mut self.create,
            Operation::Update => &mut self.update,
            Operation::Delete => &mut self.delete,
        }
    }
}

impl FromIterator<Operation> for Operations {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> Self {
        let mut set = Self::NONE;
        for operation in operations {
            *set.place(operation) = true;
        }
        set
    }
}

/// The word for an operation: in `events` of a record, in payloads, and in stored rows.
pub(crate) fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "create",
        Operation::Update => "update",
        Operation::Delete => "delete",
    }
}

/// The operation of a word.
pub(crate) fn named_operation(name: &str) -> Option<Operation> {
    match name {
        "create" => Some(Operation::Create),
        "update" => Some(Operation::Update),
        "delete" => Some(Operation::Delete),
        _ => None,
    }
}

/// Why a record is no webhook. `Display` is for its owner: the field and the rule, never the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub(crate) struct InvalidRecord {
    field: &'static str,
    rule: RecordRule,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum RecordRule {
    #[error("is required")]
    Required,
    #[error("must be an object")]
    Object,
    #[error("must be a text")]
    Text,
    #[error("must be true or false")]
    Boolean,
    #[error("must be {COLLECTION}")]
    Type,
    #[error("must be {SCOPE_TYPE} or absent")]
    ScopeType,
    #[error(
        "must be at://, a did:plc or did:web in its canonical form (no handle), perhaps a collection, perhaps a \
         record key"
    )]
    ScopeUri,
    #[error(transparent)]
    Url(UrlRule),
    #[error("must not have a fragment")]
    Fragment,
    #[error("must be a list of create, update, delete, none of them twice")]
    Events,
    #[error("must be 1 to {MAX_SECRET_BYTES} bytes")]
    Secret,
    #[error(
        "must be 1 to {MAX_SECRET_ID_BYTES} characters of A-Z a-z 0-9 . _ - and neither \".\" nor \"..\""
    )]
    SecretId,
    #[error("must not be there together with secret")]
    TwoSecrets,
    #[error("must be a datetime as RFC 3339 has it, with at most {MAX_FRACTION_DIGITS} digits of a fraction")]
    Datetime,
}

impl RecordRule {
    fn of(self, field: &'static str) -> InvalidRecord {
        InvalidRecord { field, rule: self }
    }
}

/// Each field as it came, so that one of an unexpected form is told from an absent one.
#[derive(Deserialize)]
struct RawRecord<'a> {
    #[serde(rename = "$type", borrow, default, deserialize_with = "present")]
    r#type: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    scope: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    url: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    events: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    secret: Option<&'a RawValue>,
    #[serde(rename = "secretId", borrow, default, deserialize_with = "present")]
    secret_id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    enabled: Option<&'a RawValue>,
    #[serde(rename = "createdAt", borrow, default, deserialize_with = "present")]
    created_at: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawScope<'a> {
    #[serde(rename = "$type", borrow, default, deserialize_with = "present")]
    r#type: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    aturi: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    backlinks: Option<&'a RawValue>,
}

/// A field that is there, if it is `null` too.
fn present<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn required<'a>(value: Option<&'a RawValue>, field: &'static str) -> Result<&'a RawValue, InvalidRecord> {
    value.ok_or(RecordRule::Required.of(field))
}

/// Reads `value`; `rule` says what form it must have. An array is no struct, though serde takes it as one.
fn read<'a, T: Deserialize<'a>>(
    value: &'a RawValue,
    field: &'static str,
    rule: RecordRule,
) -> Result<T, InvalidRecord> {
    if rule == RecordRule::Object && !value.get().starts_with('{') {
        return Err(rule.of(field));
    }
    serde_json::from_str(value.get()).map_err(|_| rule.of(field))
}

fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

fn parse_scope(value: &RawValue) -> Result<Scope, InvalidRecord> {
    let RawScope { r#type, aturi, backlinks } = read(value, "scope", RecordRule::Object)?;
    if r#type.is_some_and(|value| text(value).as_deref() != Some(SCOPE_TYPE)) {
        return Err(RecordRule::ScopeType.of("scope.$type"));
    }
    let backlinks =
        backlinks.map_or(Ok(false), |value| read(value, "scope.backlinks", RecordRule::Boolean))?;
    let uri = text(required(aturi, "scope.aturi")?);
    let scope = uri.and_then(|uri| Scope::parse(&uri, backlinks));
    scope.ok_or(RecordRule::ScopeUri.of("scope.aturi"))
}

fn parse_url(url: &str, schemes: Schemes) -> Result<WebhookUrl, InvalidRecord> {
    let parsed = WebhookUrl::parse(url, schemes).map_err(|rule| RecordRule::Url(rule).of("url"))?;
    match url.split_once('#') {
        Some((_, fragment)) if !fragment.is_empty() => Err(RecordRule::Fragment.of("url")),
        Some(_) | None => Ok(parsed),
    }
}

fn parse_events(value: &RawValue) -> Result<Operations, InvalidRecord> {
    let names: Vec<String> = read(value, "events", RecordRule::Events)?;
    let mut events = Operations::NONE;
    for name in &names {
        let operation = named_operation(name).ok_or(RecordRule::Events.of("events"))?;
        if std::mem::replace(events.place(operation), true) {
            return Err(RecordRule::Events.of("events"));
        }
    }
    Ok(if names.is_empty() { Operations::ALL } else { events })
}

fn inline_secret(value: &RawValue) -> Result<RecordSecret, InvalidRecord> {
    let token = text(value).filter(|text| (1..=MAX_SECRET_BYTES).contains(&text.len()));
    let token = token.ok_or(RecordRule::Secret.of("secret"))?;
    Ok(RecordSecret::Inline(SigningToken::stored(token)))
}

fn secret_name(value: &RawValue) -> Result<RecordSecret, InvalidRecord> {
    let fits = |text: &String| {
        let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        text.len() <= MAX_SECRET_ID_BYTES && text.bytes().all(of_name)
    };
    let name = text(value).filter(fits).and_then(|text| text.parse().ok());
    name.map(RecordSecret::Named).ok_or(RecordRule::SecretId.of("secretId"))
}

/// Whether `text` is a datetime in the one form that atproto writes: capital `T`, and `Z` or an offset.
fn is_datetime(text: &str) -> bool {
    let fraction = text.split_once('.').map(|(_, rest)| rest);
    let digits = fraction.map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    let capital = text.as_bytes().get(10) == Some(&b'T') && !text.contains('z');
    digits <= MAX_FRACTION_DIGITS && capital && chrono::DateTime::parse_from_rfc3339(text).is_ok()
}

#[cfg(test)]
mod tests;
