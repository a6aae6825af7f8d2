//! Reads a secret from a file of its own: the way secrets come from systemd, Docker and Kubernetes.

use crate::auth::Secret;
use std::{fs, io::Read, path::Path};

/// More than any secret or list of them; a larger file is the wrong file.
const MAX_LEN: u64 = 64 << 10;

/// A secret, and whether others on this host can read its file.
pub(crate) struct SecretFile {
    pub(crate) secret: Secret,
    pub(crate) world_readable: bool,
}

/// Reads the secret, without the line end that editors and `echo` add.
pub(crate) fn read(path: &Path) -> Result<SecretFile, String> {
    let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let file = fs::File::open(path).map_err(unreadable)?;
    let world_readable = world_readable(&file.metadata().map_err(unreadable)?);
    let secret = read_from(file).map_err(|message| format!("{} {message}", path.display()))?;
    Ok(SecretFile { secret, world_readable })
}

/// The same from anything else that can be read, such as standard input.
pub(crate) fn read_from(from: impl Read) -> Result<Secret, String> {
    let mut text = zeroize::Zeroizing::new(String::new());
    let length = from
        .take(MAX_LEN + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    match length as u64 > MAX_LEN {
        true => Err(format!("is longer than {MAX_LEN} bytes, so it is no secret")),
        false => Ok(Secret::new(text.trim_end_matches(['\r', '\n']))),
    }
}

pub(crate) fn world_readable(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o004 != 0
}
