//! `SecretService.ListSecrets`, served as `place.wisp.v2.secret.list` (docs/methods.md).

use proto::athook::{self, ListSecretsRequest, ListSecretsResponse};
use proto::timestamp;

use super::{Context, caller};
use crate::domain::secret::Secret;
use crate::error::Error;

/// Lists the caller's secrets, oldest first, without their tokens.
///
/// # Errors
///
/// The store's.
pub(super) async fn list_secrets(
    context: &Context,
    request: ListSecretsRequest,
) -> Result<ListSecretsResponse, Error> {
    let ListSecretsRequest { caller_did } = request;
    let owner = caller(&caller_did)?;
    let secrets = context.store.list_secrets(&owner).await?;
    Ok(ListSecretsResponse { secrets: secrets.iter().map(message).collect() })
}

fn message(secret: &Secret) -> athook::Secret {
    let Secret { name, created_at_ms, last_rotated_at_ms } = secret;
    athook::Secret {
        name: name.to_string(),
        created_at: Some(timestamp::of_unix_ms(*created_at_ms)),
        last_rotated_at: last_rotated_at_ms.map(timestamp::of_unix_ms),
    }
}
