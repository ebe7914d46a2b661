//! `SecretService.DeleteSecret`, which is `place.wisp.v2.secret.delete` (METHODS.md).

use proto::athook::{DeleteSecretRequest, DeleteSecretResponse};

use super::{Parts, caller};
use crate::domain::rule::field;
use crate::domain::secret::SecretName;
use crate::error::Error;

/// Removes a secret that no webhook names.
///
/// # Errors
///
/// A field that breaks a rule; there is no secret of that name; webhooks name it.
pub(super) async fn delete_secret(
    parts: &Parts,
    request: DeleteSecretRequest,
) -> Result<DeleteSecretResponse, Error> {
    let DeleteSecretRequest { caller_did, name } = request;
    let owner = caller(&caller_did)?;
    let name: SecretName = field("input.name", &name)?;
    parts.store.delete_secret(&owner, &name).await?;
    Ok(DeleteSecretResponse {})
}
