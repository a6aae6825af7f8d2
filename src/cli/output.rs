//! Output: for programs on standard output, for people on standard error.

use super::exit::{Exit, Failure};
use std::io::{self, Write};

/// Writes a result. A reader that has gone away is a failure of the command, not a panic; nobody need be told who has
/// seen enough (`… | head`).
pub(super) fn result(text: &str) -> Result<(), Failure> {
    let mut to = io::stdout().lock();
    let written = writeln!(to, "{text}").and_then(|()| to.flush());
    written.map_err(|error| {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Failure { exit: Exit::Failed, messages: Vec::new() }
        } else {
            error.into()
        }
    })
}

/// Tells a person something beside the result. Nobody need be listening.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Warns of something that works but is probably not meant.
pub(super) fn warning(text: &str) {
    note(&format!("warning: {text}"));
}
