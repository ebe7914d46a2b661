//! Where the seal keys are: in a file that is given, or in one beside the database, which is made with it.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use process::exit::Failure;
use process::files::private::file_or_new;
use process::settings::{Problems, given};

use crate::randomness::Randomness;
use crate::seal::SealKeys;

/// Bytes of a seal key.
const KEY_BYTES: usize = 32;

/// The seal keys, or the file that they will be in.
#[derive(Debug)]
pub(crate) enum KeySource {
    /// Read from a file.
    Read(Box<SealKeys>),
    /// There is no such file yet. It is made once the database is open, and before anything is sealed.
    New(PathBuf),
}

/// There are no seal keys.
#[derive(Debug, thiserror::Error)]
#[error("the seal keys can't be made beside the database; --seal-keys-file names another file")]
pub(crate) struct NoKeys(#[source] Failure);

impl KeySource {
    pub(crate) fn of(keys: SealKeys) -> Self {
        Self::Read(Box::new(keys))
    }

    /// Checks `--seal-keys-file`, or `own` in its place. `None` if the file can't be used; `problems` then
    /// says why.
    pub(super) fn check(
        given_path: Option<String>,
        own: Option<PathBuf>,
        problems: &mut Problems,
    ) -> Option<Self> {
        match (given(given_path), own) {
            (None, Some(own)) if !own.exists() => Some(Self::New(own)),
            (None, Some(own)) => read("the seal keys", &own, problems).map(Self::of),
            (given_path, _) => seal_keys(given_path, problems).map(Self::of),
        }
    }

    /// The keys, if their file is there.
    pub(crate) fn present(&self) -> Option<&SealKeys> {
        match self {
            Self::Read(keys) => Some(keys),
            Self::New(_) => None,
        }
    }

    /// The keys; makes the file if that is still to do. Of two processes that do both get the same.
    ///
    /// # Errors
    ///
    /// The file can't be made.
    pub(crate) fn keys(self, randomness: Randomness) -> Result<SealKeys, NoKeys> {
        let file = match self {
            Self::Read(keys) => return Ok(*keys),
            Self::New(file) => file,
        };
        let text = file_or_new(&file, || Ok(STANDARD.encode(randomness.bytes::<KEY_BYTES>()?)));
        text.and_then(|text| Ok(text.parse()?)).map_err(NoKeys)
    }
}

/// The keys in the file at `path`. `None` if it can't be used; `problems` then says why.
pub(crate) fn seal_keys(path: Option<String>, problems: &mut Problems) -> Option<SealKeys> {
    const FLAG: &str = "--seal-keys-file";
    let Some(path) = given(path) else {
        problems.note(FLAG, "required; make a file with: head -c 32 /dev/urandom | base64 > athook.keys");
        return None;
    };
    read(FLAG, &PathBuf::from(path), problems)
}

fn read(setting: &str, path: &PathBuf, problems: &mut Problems) -> Option<SealKeys> {
    let text = problems.secret_file(setting, path)?;
    match text.parse() {
        Ok(keys) => Some(keys),
        Err(error) => {
            problems.note(setting, format_args!("{}: {error}", path.display()));
            None
        }
    }
}
