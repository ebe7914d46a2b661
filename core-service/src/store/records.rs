//! Webhooks that are records, as their owners see them.
//!
//! The row says what the record says, and whether there is a place for it. The rest of its state is made of
//! what else is stored: the status of the owner's account, the secrets, and what became of deliveries.

use std::collections::HashSet;

use process::exit::chain;
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Select,
};
use uuid::Uuid;

use super::row_of_record::{self, DISABLED, INVALID, OVER_LIMIT};
use super::table::{owner_status, record_webhook, secret, webhook_state};
use super::{Store, owned};
use crate::domain::cursor::Cursor;
use crate::domain::did::Did;
use crate::error::Error;
use crate::intake::record::at_uri;
use crate::intake::shown::{RecordPage, RecordState, ShownRecord};

/// Records of a page. The longest have 7 KiB each.
const MAX_RECORDS: usize = 250;

impl Store {
    /// The wh records of `owner` that come behind `after`, those first that were seen first.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub(crate) async fn records(&self, owner: &Did, after: Option<Cursor>) -> Result<RecordPage, Error> {
        let reading = &self.database.reading;
        let mut rows = self.database.read(|| page_query(owner, after).all(reading)).await?;
        let more = rows.len() > MAX_RECORDS;
        rows.truncate(MAX_RECORDS);
        let next = rows.last().filter(|_| more).map(|row| Cursor::behind(row.indexed_at_ms, row.id));
        let status = || owner_status::Entity::find_by_id(owner.as_str()).one(reading);
        let status = self.database.read(status).await?.and_then(|row| row.status);
        let secrets = || {
            secret::Entity::find()
                .select_only()
                .column(secret::Column::Name)
                .filter(secret::Column::OwnerDid.eq(owner.as_str()))
                .into_tuple::<String>()
                .all(reading)
        };
        let secrets: HashSet<String> = self.database.read(secrets).await?.into_iter().collect();
        let mut states = self.states(rows.iter().map(|row| row.id)).await?;
        let records = rows.into_iter().map(|row| {
            let delivery_state = states.remove(&row.id);
            self.shown_record(row, &Known { status: status.as_deref(), secrets: &secrets, delivery_state })
        });
        Ok(RecordPage { records: records.collect(), next })
    }

    /// The id of the webhook that is the record `rkey` of `owner`.
    ///
    /// # Errors
    ///
    /// There is none, or the database fails.
    pub(crate) async fn record_id(&self, owner: &Did, rkey: &str) -> Result<Uuid, Error> {
        let row = || {
            owned::records(owner)
                .filter(record_webhook::Column::Rkey.eq(rkey))
                .select_only()
                .column(record_webhook::Column::Id)
                .into_tuple::<Uuid>()
                .one(&self.database.reading)
        };
        self.database.read(row).await?.ok_or(Error::WebhookNotFound)
    }

    fn shown_record(&self, row: record_webhook::Model, known: &Known<'_>) -> ShownRecord {
        // A record that was never valid has nothing to open.
        let url = row.sealed_url.is_some().then(|| row_of_record::open(&row, &self.sealer.keys));
        let url = url.and_then(|opened| match opened {
            Ok(opened) => Some(opened.url),
            Err(error) => {
                process::once_a_second!(error, causes = chain(&error), "a record is shown without its URL");
                None
            }
        });
        let (state, reason) = state(&row, known);
        let delivery_state = known.delivery_state.as_ref();
        ShownRecord {
            uri: at_uri(&row.owner_did, &row.rkey),
            state,
            reason,
            url,
            scope: row.scope.map(|uri| (uri, row.backlinks)),
            secret: row.secret_name,
            last_triggered_at_ms: delivery_state.and_then(|state| state.last_triggered_at_ms),
            error_count: delivery_state.map_or(0, |state| state.error_count),
        }
    }
}

/// What else decides the state of a record.
struct Known<'a> {
    /// Why the owner's account is not active.
    status: Option<&'a str>,
    /// The names of the owner's secrets.
    secrets: &'a HashSet<String>,
    /// None: nothing was ever delivered to it.
    delivery_state: Option<webhook_state::Model>,
}

/// The state of a record, and the reason of one that is not active.
fn state(row: &record_webhook::Model, known: &Known<'_>) -> (RecordState, Option<String>) {
    let of_word = |word: &str| match word {
        DISABLED => Some(RecordState::Disabled),
        INVALID => Some(RecordState::Invalid),
        OVER_LIMIT => Some(RecordState::OverLimit),
        _ => None,
    };
    if let Some(state) = of_word(&row.state) {
        let switched_off = || (state == RecordState::Disabled).then(|| "enabled: is false".to_owned());
        return (state, row.reason.clone().or_else(switched_off));
    }
    if let Some(status) = known.status {
        return (RecordState::OwnerInactive, Some(format!("the account is {status}")));
    }
    if let Some(state) = row.withheld_state.as_deref().and_then(of_word) {
        return (state, row.withheld_reason.clone());
    }
    let turned_off = known.delivery_state.as_ref().filter(|state| state.disabled_at_ms.is_some());
    if let Some(turned_off) = turned_off {
        return (RecordState::Disabled, Some(why_turned_off(turned_off).to_owned()));
    }
    match &row.secret_name {
        Some(name) if !known.secrets.contains(name) => {
            (RecordState::SecretMissing, Some("secretId: there is no secret of that name".to_owned()))
        }
        Some(_) | None => (RecordState::Active, None),
    }
}

fn why_turned_off(state: &webhook_state::Model) -> &'static str {
    match state.disabled_reason.as_deref() {
        Some("gone") => "gone: the receiver answered 410",
        _ => "failing: too many deliveries failed in a row",
    }
}

/// One row more than a page has, to know whether there are more.
fn page_query(owner: &Did, after: Option<Cursor>) -> Select<record_webhook::Entity> {
    let query = owned::records(owner)
        .order_by_asc(record_webhook::Column::Id)
        .limit(u64::try_from(MAX_RECORDS).unwrap_or(u64::MAX) + 1);
    match after {
        Some(after) => query.filter(record_webhook::Column::Id.gt(after.id())),
        None => query,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::row_of_record::ACTIVE;

    fn row(state: &str) -> record_webhook::Model {
        record_webhook::Model {
            id: Uuid::nil(),
            owner_did: "did:plc:a".to_owned(),
            rkey: "a".to_owned(),
            rev: "a".to_owned(),
            state: state.to_owned(),
            reason: None,
            withheld_state: None,
            withheld_reason: None,
            sealed_url: None,
            scope: None,
            backlinks: false,
            events: String::new(),
            secret_name: None,
            sealed_secret: None,
            since_us: None,
            indexed_at_ms: 0,
        }
    }

    fn turned_off(reason: &str) -> webhook_state::Model {
        let fresh = crate::store::commit::states::fresh_state(Uuid::nil(), Vec::new(), false);
        let disabled_reason = Some(reason.to_owned());
        webhook_state::Model { disabled_reason, disabled_at_ms: Some(1), ..fresh }
    }

    #[test]
    fn states_and_reasons() {
        let text = |text: &str| Some(text.to_owned());
        let withheld = |state: &str| record_webhook::Model {
            withheld_state: text(state),
            withheld_reason: text("scope: the network"),
            ..row(ACTIVE)
        };
        let with_secret = |name: &str| record_webhook::Model { secret_name: text(name), ..row(ACTIVE) };
        let with_reason =
            |state: &str| record_webhook::Model { reason: text("url: is required"), ..row(state) };
        let of = |row: &record_webhook::Model, status: Option<&str>, delivery_state| {
            let secrets = HashSet::from(["main".to_owned()]);
            let (state, reason) = state(row, &Known { status, secrets: &secrets, delivery_state });
            format!("{} {}", state.as_str(), reason.unwrap_or_default())
        };
        let gone = || Some(turned_off("gone"));
        for (row, status, delivery_state, expected) in [
            (row(ACTIVE), None, None, "active "),
            (row(DISABLED), None, None, "disabled enabled: is false"),
            (with_reason(INVALID), None, gone(), "invalid url: is required"),
            (with_reason(OVER_LIMIT), Some("deactivated"), None, "over_limit url: is required"),
            (row(ACTIVE), Some("deactivated"), gone(), "owner_inactive the account is deactivated"),
            (withheld(INVALID), None, None, "invalid scope: the network"),
            (withheld(OVER_LIMIT), None, gone(), "over_limit scope: the network"),
            (withheld(INVALID), Some("suspended"), None, "owner_inactive the account is suspended"),
            (row(ACTIVE), None, gone(), "disabled gone: the receiver answered 410"),
            (
                row(ACTIVE),
                None,
                Some(turned_off("failing")),
                "disabled failing: too many deliveries failed in a row",
            ),
            (with_secret("main"), None, None, "active "),
            (with_secret("Main"), None, None, "secret_missing secretId: there is no secret of that name"),
        ] {
            assert_eq!(of(&row, status, delivery_state), expected);
        }
    }
}
