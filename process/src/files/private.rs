//! Files with secrets that this process makes where there are none.

use std::fs;
use std::io::{Error, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::exit::Failure;

/// Reads a private file (mode 0600), or creates it with the text of `new`. If two processes start at the same
/// time, both return the same text.
///
/// # Errors
///
/// The file can't be read or made; the text names it.
pub fn file_or_new(file: &Path, new: impl FnOnce() -> Result<String, Failure>) -> Result<String, Failure> {
    let with_path = |error: Error| format!("{}: {error}", file.display());
    match fs::read_to_string(file) {
        Ok(text) => return Ok(text),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(with_path(error).into()),
        Err(_) => {}
    }
    let temporary = file.with_extension(format!("{}.new", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options.open(&temporary).and_then(|mut out| {
        out.write_all(format!("{}\n", new().map_err(Error::other)?).as_bytes())?;
        out.sync_all()
    });
    written.map_err(with_path)?;
    // Unlike a rename, a link does not replace the file of a process that was faster.
    let linked = fs::hard_link(&temporary, file);
    fs::remove_file(&temporary).map_err(with_path)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(with_path(error).into()),
        _ => Ok(fs::read_to_string(file).map_err(with_path)?),
    }
}
