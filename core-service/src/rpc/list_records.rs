//! `RecordService.ListRecords`, served as `internal.athook.record.list` (docs/methods.md).

use proto::athook::{ListRecordsRequest, ListRecordsResponse, Record, RecordScope};
use proto::timestamp;

use super::{Context, caller};
use crate::domain::cursor::NotACursor;
use crate::domain::webhook_url::WebhookUrl;
use crate::error::Error;
use crate::intake::shown::{RecordPage, ShownRecord};

/// Lists the caller's wh records page by page, those first that were seen first.
///
/// # Errors
///
/// The cursor is wrong; then the store's.
pub(super) async fn list_records(
    context: &Context,
    request: ListRecordsRequest,
) -> Result<ListRecordsResponse, Error> {
    let ListRecordsRequest { caller_did, cursor } = request;
    let owner = caller(&caller_did)?;
    let after = cursor.map(|text| text.parse()).transpose().map_err(|NotACursor| Error::InvalidCursor)?;
    let RecordPage { records, next } = context.store.records(&owner, after).await?;
    Ok(ListRecordsResponse {
        records: records.into_iter().map(message).collect(),
        cursor: next.map(|cursor| cursor.to_string()),
    })
}

fn message(record: ShownRecord) -> Record {
    let ShownRecord { uri, state, reason, url, scope, secret, last_triggered_at_ms, error_count } = record;
    Record {
        uri,
        state: state.as_str().to_owned(),
        reason,
        url: url.map(WebhookUrl::into_exposed),
        scope: scope.map(|(aturi, backlinks)| RecordScope { aturi, backlinks: Some(backlinks) }),
        secret_id: secret,
        last_triggered: last_triggered_at_ms.map(timestamp::of_unix_ms),
        error_count: Some(error_count),
    }
}
