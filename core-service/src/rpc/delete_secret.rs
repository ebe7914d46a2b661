//! `SecretService.DeleteSecret`, served as `place.wisp.v2.secret.delete` (docs/methods.md).

use proto::athook::{DeleteSecretRequest, DeleteSecretResponse};

use super::{Context, caller};
use crate::domain::rule::field;
use crate::domain::secret::SecretName;
use crate::error::Error;

/// Deletes a secret that no webhook uses.
///
/// # Errors
///
/// A field that breaks a rule; no secret has that name; webhooks use it; the store's other errors.
pub(super) async fn delete_secret(
    context: &Context,
    request: DeleteSecretRequest,
) -> Result<DeleteSecretResponse, Error> {
    let DeleteSecretRequest { caller_did, name } = request;
    let owner = caller(&caller_did)?;
    let name: SecretName = field("name", &name)?;
    context.store.delete_secret(&owner, &name).await?;
    Ok(DeleteSecretResponse {})
}
