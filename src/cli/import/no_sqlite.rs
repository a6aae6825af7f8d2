//! The user database of coturn, in a build that cannot read it.

use crate::config::coturn::Database;
use std::path::Path;

/// Says what is missing.
pub(super) fn read(_: &Path) -> Result<Database, String> {
    Err("this build cannot read SQLite (cargo feature `sqlite`)".to_owned())
}
