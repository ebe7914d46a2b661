//! `SecretService.ListSecrets`, which is `place.wisp.v2.secret.list` (METHODS.md).

use proto::athook::{self, ListSecretsRequest, ListSecretsResponse};

use super::timestamp::timestamp;
use super::{Parts, caller};
use crate::domain::secret::Secret;
use crate::error::Error;

/// The caller's secrets, oldest first; never a token.
///
/// # Errors
///
/// What the store says.
pub(super) async fn list_secrets(
    parts: &Parts,
    request: ListSecretsRequest,
) -> Result<ListSecretsResponse, Error> {
    let ListSecretsRequest { caller_did } = request;
    let owner = caller(&caller_did)?;
    let secrets = parts.store.list_secrets(&owner).await?;
    Ok(ListSecretsResponse { secrets: secrets.iter().map(message).collect() })
}

fn message(secret: &Secret) -> athook::Secret {
    let Secret { name, created_at_ms, last_rotated_at_ms } = secret;
    athook::Secret {
        name: name.to_string(),
        created_at: Some(timestamp(*created_at_ms)),
        last_rotated_at: last_rotated_at_ms.map(timestamp),
    }
}
