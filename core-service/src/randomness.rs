//! The operating system's random number generator, the only source of randomness in this crate.

use rand::TryRng as _;
use rand::rngs::SysRng;

/// The generator, passed to whatever needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Randomness(SysRng);

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub(crate) struct NoRandomness(#[source] <SysRng as rand::TryRng>::Error);

impl Randomness {
    /// The operating system's generator.
    pub(crate) fn of_the_system() -> Self {
        Self(SysRng)
    }

    /// `N` random bytes, fit for keys and nonces.
    ///
    /// # Errors
    ///
    /// The operating system gives none.
    pub(crate) fn bytes<const N: usize>(mut self) -> Result<[u8; N], NoRandomness> {
        let mut bytes = [0; N];
        self.0.try_fill_bytes(&mut bytes).map_err(NoRandomness)?;
        Ok(bytes)
    }
}
