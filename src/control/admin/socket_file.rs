//! The Unix socket: where it is by default, and how it gets there without a moment in which others could open it.

use crate::config::choice::StateDir;
use crate::control::private_file;
use crate::control::state::{Surroundings, state_directories};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Where `admin.listen = "auto"` puts the socket: the first of these that works.
pub fn socket_candidates(setting: &StateDir, around: &Surroundings) -> Vec<PathBuf> {
    let runtime = around.runtime_directory.as_ref().and_then(|list| std::env::split_paths(list).next());
    let runtime = runtime.filter(|path| path.is_absolute());
    let directories = runtime.into_iter().chain(state_directories(setting, around));
    directories.map(|directory| directory.join(NAME)).collect()
}

const NAME: &str = "admin.sock";

/// A listening socket's file. It goes with its owner, unless another server has put its own there.
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl SocketFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            // Without it the next server finds a socket at which nobody answers, and replaces it.
            let _ = private_file::remove(&self.path);
        }
    }
}

/// Opens a socket at `path` for its owner alone. One that is there already is replaced if nobody answers at it.
pub(super) fn open(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    if UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server answers there"));
    }
    let is_other_file = fs::symlink_metadata(path)
        .is_ok_and(|file| !std::os::unix::fs::FileTypeExt::is_socket(&file.file_type()));
    if is_other_file {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
    }
    // Under another name until its mode is right: a new socket has the mode that the umask leaves it.
    let beside = path.with_extension(private_file::random_hex::<4>()?.as_str());
    let listener = UnixListener::bind(&beside)?;
    let placed = fs::set_permissions(&beside, fs::Permissions::from_mode(0o600))
        .and_then(|()| listener.set_nonblocking(true))
        .and_then(|()| fs::symlink_metadata(&beside))
        .and_then(|file| fs::rename(&beside, path).map(|()| file.ino()));
    match placed {
        Ok(inode) => Ok((listener, SocketFile { path: path.to_owned(), inode })),
        Err(error) => private_file::remove(&beside).and(Err(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_private_and_replaces_only_what_nobody_answers_at() {
        let directory = std::env::temp_dir().join(format!("turnbridge-socket-{}", std::process::id()));
        private_file::create_directory(&directory).unwrap();
        let path = directory.join("admin.sock");
        let (listener, file) = open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(open(&path).err().unwrap().kind(), io::ErrorKind::AddrInUse);
        // A server that was killed leaves its file behind.
        drop(listener);
        let (_second, second_file) = open(&path).unwrap();
        drop(file);
        assert!(path.exists(), "the first server's end takes the second one's socket away");
        drop(second_file);
        assert!(!path.exists());
        fs::write(&path, "notes").unwrap();
        assert!(open(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "notes");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn the_runtime_directory_comes_before_the_state_directory() {
        let around = Surroundings {
            runtime_directory: Some("/run/turnbridge:/run/other".into()),
            state_directory: Some("/var/lib/turnbridge".into()),
            ..Surroundings::default()
        };
        let found = socket_candidates(&StateDir::Auto, &around);
        assert_eq!(
            found,
            ["/run/turnbridge/admin.sock", "/var/lib/turnbridge/admin.sock"].map(PathBuf::from)
        );
        let found = socket_candidates(&StateDir::At("/srv/turn".into()), &Surroundings::default());
        assert_eq!(found, [PathBuf::from("/srv/turn/admin.sock")]);
    }
}
