//! `SecretService.CreateSecret`, served as `place.wisp.v2.secret.create` (docs/methods.md).

use proto::athook::{CreateSecretRequest, CreateSecretResponse};
use proto::timestamp;

use super::{Context, caller};
use crate::domain::rule::field;
use crate::domain::secret::{NewSecret, SecretName, SigningToken};
use crate::error::Error;

/// Creates a secret. Its token is in this response and in no other.
///
/// # Errors
///
/// The first field that breaks a rule, in the order of the lexicon; the name exists; the limit is reached;
/// the store's other errors.
pub(super) async fn create_secret(
    context: &Context,
    request: CreateSecretRequest,
) -> Result<CreateSecretResponse, Error> {
    let CreateSecretRequest { caller_did, name, token } = request;
    let owner = caller(&caller_did)?;
    let name: SecretName = field("name", &name)?;
    let token: SigningToken = match token {
        Some(token) => field("token", &token)?,
        None => SigningToken::generated(&context.random()?),
    };
    let created_at_ms = context.clock.unix_ms();
    let new = NewSecret { id: context.new_id(created_at_ms)?, owner, name, token, created_at_ms };
    context.store.create_secret(&new).await?;
    Ok(response(&new))
}

fn response(new: &NewSecret) -> CreateSecretResponse {
    let NewSecret { id: _, owner: _, name, token, created_at_ms } = new;
    CreateSecretResponse {
        name: name.to_string(),
        token: token.expose().to_owned(),
        created_at: Some(timestamp::of_unix_ms(*created_at_ms)),
    }
}
