//! `AccountService.PurgeAccount`: for operators and internal services, no lexicon serves it.

use proto::athook::{PurgeAccountRequest, PurgeAccountResponse};

use super::Parts;
use crate::domain::did::Did;
use crate::domain::rule::field;
use crate::error::Error;
use crate::store::purge::Purged;

/// Removes everything that an account has; the answer says how much that was. Of nothing, nothing is removed.
///
/// # Errors
///
/// `did` is no DID; the database can't.
pub(super) async fn purge_account(
    parts: &Parts,
    request: PurgeAccountRequest,
) -> Result<PurgeAccountResponse, Error> {
    let PurgeAccountRequest { did } = request;
    let owner: Did = field("did", &did)?;
    let purged = parts.store.purge_account(&owner).await?;
    let Purged { secrets, webhooks } = purged;
    tracing::info!(%owner, secrets, webhooks, "account purged");
    Ok(response(purged))
}

fn response(purged: Purged) -> PurgeAccountResponse {
    let Purged { secrets, webhooks } = purged;
    // A limit is a million at most.
    let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    PurgeAccountResponse { secrets: number(secrets), webhooks: number(webhooks) }
}
