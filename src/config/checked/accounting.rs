//! `[accounting]`: where records of allocations go.

use super::Findings;
use crate::config::raw;
use std::path::PathBuf;

/// `[accounting]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounting {
    /// The file they are added to, one a line.
    pub file: Option<PathBuf>,
}

pub(super) fn check(raw: &raw::Accounting, findings: &mut Findings<'_>) -> Accounting {
    let is_named = !raw.file.as_os_str().is_empty();
    Accounting { file: is_named.then(|| findings.beside_the_file(&raw.file, "accounting.file")) }
}
