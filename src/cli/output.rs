//! Output: for programs on standard output, for people on standard error.

use super::exit::Failure;
use std::io::{self, Write};

/// Writes a result. A reader that has gone away is a failure of the command, not a panic.
pub(super) fn result(text: &str) -> Result<(), Failure> {
    let mut to = io::stdout().lock();
    writeln!(to, "{text}")?;
    Ok(to.flush()?)
}

/// Tells a person something beside the result. Nobody need be listening.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Warns of something that works but is probably not meant.
pub(super) fn warning(text: &str) {
    note(&format!("warning: {text}"));
}
