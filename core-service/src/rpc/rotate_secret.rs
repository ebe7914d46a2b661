//! `SecretService.RotateSecret`, served as `place.wisp.v2.secret.rotate` (docs/methods.md).

use proto::athook::{RotateSecretRequest, RotateSecretResponse};
use proto::timestamp;

use super::{Context, caller};
use crate::domain::rule::field;
use crate::domain::secret::{Rotation, SecretName, SigningToken};
use crate::error::Error;

/// Gives a secret a new token, which is in this response and in no other. The old token stops signing at
/// once, or after `--rotation-overlap`.
///
/// # Errors
///
/// The first field that breaks a rule, in the order of the lexicon; no secret has that name; the store's
/// other errors.
pub(super) async fn rotate_secret(
    context: &Context,
    request: RotateSecretRequest,
) -> Result<RotateSecretResponse, Error> {
    let RotateSecretRequest { caller_did, name, token } = request;
    let owner = caller(&caller_did)?;
    let name: SecretName = field("name", &name)?;
    let token: SigningToken = match token {
        Some(token) => field("token", &token)?,
        None => SigningToken::generated(&context.random()?),
    };
    let rotated_at_ms = context.clock.unix_ms();
    let rotation = Rotation { owner, name, token, rotated_at_ms, overlap: context.rotation_overlap };
    context.store.rotate_secret(&rotation).await?;
    Ok(response(&rotation))
}

fn response(rotation: &Rotation) -> RotateSecretResponse {
    let Rotation { owner: _, name, token, rotated_at_ms, overlap: _ } = rotation;
    RotateSecretResponse {
        name: name.to_string(),
        token: token.expose().to_owned(),
        rotated_at: Some(timestamp::of_unix_ms(*rotated_at_ms)),
    }
}
