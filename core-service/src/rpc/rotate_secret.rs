//! `SecretService.RotateSecret`, which is `place.wisp.v2.secret.rotate` (METHODS.md).

use proto::athook::{RotateSecretRequest, RotateSecretResponse};

use super::timestamp::timestamp;
use super::{Parts, caller};
use crate::domain::rule::field;
use crate::domain::secret::{Rotation, SecretName, SigningToken};
use crate::error::Error;

/// Gives a secret a new token; the answer has it, this one time. The old one stops at once, or after
/// `--rotation-overlap`.
///
/// # Errors
///
/// The first field that breaks a rule, in the order of the lexicon; there is no secret of that name.
pub(super) async fn rotate_secret(
    parts: &Parts,
    request: RotateSecretRequest,
) -> Result<RotateSecretResponse, Error> {
    let RotateSecretRequest { caller_did, name, token } = request;
    let owner = caller(&caller_did)?;
    let name: SecretName = field("input.name", &name)?;
    let token: SigningToken = match token {
        Some(token) => field("input.token", &token)?,
        None => SigningToken::generated(&parts.random()?),
    };
    let rotated_at_ms = parts.clock.unix_ms();
    let rotation = Rotation { owner, name, token, rotated_at_ms, overlap: parts.rotation_overlap };
    parts.store.rotate_secret(&rotation).await?;
    Ok(response(&rotation))
}

fn response(rotation: &Rotation) -> RotateSecretResponse {
    let Rotation { owner: _, name, token, rotated_at_ms, overlap: _ } = rotation;
    RotateSecretResponse {
        name: name.to_string(),
        token: token.expose().to_owned(),
        rotated_at: Some(timestamp(*rotated_at_ms)),
    }
}
