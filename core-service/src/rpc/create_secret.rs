//! `SecretService.CreateSecret`, which is `place.wisp.v2.secret.create` (METHODS.md).

use proto::athook::{CreateSecretRequest, CreateSecretResponse};

use super::timestamp::timestamp;
use super::{Parts, caller};
use crate::domain::rule::field;
use crate::domain::secret::{NewSecret, SecretName, SigningToken};
use crate::error::Error;

/// Makes a secret; the answer has the token, this one time.
///
/// # Errors
///
/// The first field that breaks a rule, in the order of the lexicon; the name exists; the limit is reached.
pub(super) async fn create_secret(
    parts: &Parts,
    request: CreateSecretRequest,
) -> Result<CreateSecretResponse, Error> {
    let CreateSecretRequest { caller_did, name, token } = request;
    let owner = caller(&caller_did)?;
    let name: SecretName = field("input.name", &name)?;
    let token: SigningToken = match token {
        Some(token) => field("input.token", &token)?,
        None => SigningToken::generated(&parts.random()?),
    };
    let created_at_ms = parts.clock.unix_ms();
    let new = NewSecret { id: parts.new_id(created_at_ms)?, owner, name, token, created_at_ms };
    parts.store.create_secret(&new).await?;
    Ok(response(&new))
}

fn response(new: &NewSecret) -> CreateSecretResponse {
    let NewSecret { id: _, owner: _, name, token, created_at_ms } = new;
    CreateSecretResponse {
        name: name.to_string(),
        token: token.expose().to_owned(),
        created_at: Some(timestamp(*created_at_ms)),
    }
}
