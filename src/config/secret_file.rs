//! Reads a secret from a file of its own: the way secrets come from systemd, Docker and Kubernetes.

use crate::auth::Secret;
use std::{fs, io::Read, path::Path};

/// More than any secret or list of them; a larger file is the wrong file.
const MAX_LEN: u64 = 64 << 10;

/// A secret, and whether others on this host can read its file.
pub(super) struct SecretFile {
    pub(super) secret: Secret,
    pub(super) world_readable: bool,
}

/// Reads the secret, without the line end that editors and `echo` add.
pub(super) fn read(path: &Path) -> Result<SecretFile, String> {
    let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let file = fs::File::open(path).map_err(unreadable)?;
    let world_readable = world_readable(&file.metadata().map_err(unreadable)?);
    let mut text = zeroize::Zeroizing::new(String::new());
    let length = file.take(MAX_LEN + 1).read_to_string(&mut text).map_err(unreadable)?;
    if length as u64 > MAX_LEN {
        return Err(format!("{} is longer than {MAX_LEN} bytes, so it is no secret", path.display()));
    }
    Ok(SecretFile { secret: Secret::new(text.trim_end_matches(['\r', '\n'])), world_readable })
}

pub(super) fn world_readable(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o004 != 0
}
