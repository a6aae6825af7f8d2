//! `[accounting]`, as written.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[accounting]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Accounting {
    /// Empty: none.
    pub file: PathBuf,
}
