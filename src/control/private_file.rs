//! Files of the state directory: only their owner can read them, and nobody ever reads half of one.

use crate::auth::encoding;
use std::{
    fs,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Puts `bytes` where `path` is, in place of what was there. Whoever reads finds the old or the new, also after the
/// power has failed.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = write_beside(path, bytes)?;
    let renamed = fs::rename(&beside, path);
    match renamed {
        Ok(()) => sync_directory(path),
        Err(_) => remove(&beside).and(renamed),
    }
}

/// Puts `bytes` where nothing is yet.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create_private(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    match written {
        Ok(()) => sync_directory(path),
        Err(error) => remove(path).and(Err(error)),
    }
}

/// Writes `bytes` to the disk under a name of its own, next to `path`.
pub(super) fn write_beside(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    // A name of its own: process ids repeat, above all in containers.
    let beside = path.with_extension(random_hex::<8>()?.as_str());
    let written = create_private(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    match written {
        Ok(()) => Ok(beside),
        // What was written of it is of no use to anybody; that the disk is full counts more than that it stays.
        Err(error) => remove(&beside).and(Err(error)),
    }
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes a directory, and those above it, that only their owner can enter.
pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    std::os::unix::fs::DirBuilderExt::mode(fs::DirBuilder::new().recursive(true), 0o700).create(path)
}

/// Takes a file away from other users of the host. Returns the mode it had, when it was open to them.
pub(super) fn close_to_others(path: &Path) -> io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(None);
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(Some(mode))
}

/// Random bytes as text.
pub(super) fn random_hex<const BYTES: usize>() -> io::Result<Zeroizing<String>> {
    let mut random = Zeroizing::new([0; BYTES]);
    getrandom::fill(random.as_mut_slice()).map_err(io::Error::other)?;
    Ok(Zeroizing::new(encoding::hex(random.as_slice())))
}

fn create_private(path: &Path) -> io::Result<fs::File> {
    std::os::unix::fs::OpenOptionsExt::mode(fs::File::options().write(true).create_new(true), 0o600)
        .open(path)
}

/// A rename is on the disk when its directory is.
fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_whole_and_private_and_nothing_stays_beside_it() {
        let directory = std::env::temp_dir().join(format!("turnbridge-private-{}", std::process::id()));
        create_directory(&directory.join("inner")).unwrap();
        let path = directory.join("inner/kept.pem");
        for text in ["first", "second and longer", "third"] {
            replace(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let new = directory.join("inner/new.pem");
        create(&new, b"new").unwrap();
        assert_eq!((fs::read_to_string(&new).unwrap().as_str(), mode(&new)), ("new", 0o600));
        assert_eq!(create(&new, b"newer").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&new).unwrap(), "new");
        fs::remove_file(&new).unwrap();
        // A directory in its place cannot be replaced by a file: what was written for that is removed again.
        fs::create_dir(directory.join("inner/taken")).unwrap();
        assert!(replace(&directory.join("inner/taken"), b"text").is_err());
        let mut left: Vec<_> =
            fs::read_dir(directory.join("inner")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["kept.pem", "taken"]);
        fs::remove_dir_all(&directory).unwrap();
    }
}
