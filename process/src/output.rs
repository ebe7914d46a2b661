//! Standard output, whose other end somebody may have closed: `println!` would panic.

use std::fmt::Display;
use std::io::Write as _;

use crate::exit::Failure;

/// Writes `text` to standard output at once.
///
/// # Errors
///
/// Whoever reads it has closed it, or the disk behind it is full.
pub fn print(text: impl Display) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    let written = write!(output, "{text}").and_then(|()| output.flush());
    written.map_err(|error| format!("standard output: {error}").into())
}

/// The same with a line feed after it.
///
/// # Errors
///
/// Those of [`print()`].
pub fn print_line(text: impl Display) -> Result<(), Failure> {
    print(format_args!("{text}\n"))
}
