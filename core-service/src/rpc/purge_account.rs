//! `AccountService.PurgeAccount`, for operators and internal services. No lexicon serves it.

use proto::athook::{PurgeAccountRequest, PurgeAccountResponse};

use super::Context;
use crate::domain::did::Did;
use crate::domain::rule::field;
use crate::error::Error;
use crate::store::commit::purge::Purged;

/// Deletes everything that an account has, and returns how much that was. An account that has nothing is no
/// error.
///
/// # Errors
///
/// `did` is not a DID; the store's.
pub(super) async fn purge_account(
    context: &Context,
    request: PurgeAccountRequest,
) -> Result<PurgeAccountResponse, Error> {
    let PurgeAccountRequest { did } = request;
    let owner: Did = field("did", &did)?;
    let purged = context.store.purge_account(&owner).await?;
    let Purged { secrets, webhooks, events, deliveries, attempts } = purged;
    tracing::info!(%owner, secrets, webhooks, events, deliveries, attempts, "account purged");
    Ok(response(purged))
}

fn response(purged: Purged) -> PurgeAccountResponse {
    let Purged { secrets, webhooks, events, deliveries, attempts } = purged;
    // The limits of secrets and webhooks are at most a million.
    let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    let (secrets, webhooks) = (number(secrets), number(webhooks));
    PurgeAccountResponse { secrets, webhooks, events, deliveries, attempts }
}
