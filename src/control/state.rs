//! The directory in which the server keeps what it makes itself: the secret of a server that was given none.

use super::private_file;
use crate::{auth::Secret, config::choice, net::sys::process};
use std::{
    ffi::OsString,
    fmt, fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// What of the environment decides where the directory is.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `$STATE_DIRECTORY`, set by systemd.
    pub state_directory: Option<OsString>,
    /// `$RUNTIME_DIRECTORY`, set by systemd.
    pub runtime_directory: Option<OsString>,
    /// `$XDG_STATE_HOME`.
    pub xdg_state_home: Option<OsString>,
    /// `$HOME`.
    pub home: Option<OsString>,
    /// Whether this process is root's.
    pub is_root: bool,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            state_directory: variable("STATE_DIRECTORY"),
            runtime_directory: variable("RUNTIME_DIRECTORY"),
            xdg_state_home: variable("XDG_STATE_HOME"),
            home: variable("HOME"),
            is_root: process::is_root(),
        }
    }
}

/// A secret that the server made, now or at an earlier start.
#[derive(Clone, Debug)]
pub struct OwnSecret {
    /// The secret.
    pub secret: Secret,
    /// The file it is kept in.
    pub path: PathBuf,
    /// Whether it was made just now.
    pub is_new: bool,
    /// What an operator should act on, each a sentence.
    pub notes: Vec<String>,
}

/// Why there is no secret.
#[derive(Debug)]
pub struct StateError {
    /// Whether the cause is a missing permission, for the exit code.
    pub no_permission: bool,
    message: String,
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StateError {}

/// The secret for a server to start with: the one that is kept, or else a new one. With an automatic directory, the
/// first of the candidates that can be used is; falling back is noted.
pub fn keep_secret(setting: &choice::StateDir, around: &Surroundings) -> Result<OwnSecret, StateError> {
    let mut failures: Vec<(PathBuf, io::Error)> = Vec::new();
    for directory in state_directories(setting, around) {
        match read_or_make(&directory) {
            Ok(mut own) => {
                let fell_back = failures.iter().map(|(path, error)| {
                    format!(
                        "{} cannot keep the secret ({error}); it is kept in {} instead",
                        path.display(),
                        directory.display()
                    )
                });
                own.notes.extend(fell_back);
                return Ok(own);
            }
            Err(error) => failures.push((directory, error)),
        }
    }
    Err(nowhere("no directory can keep the server's secret", failures))
}

/// The secret a running server keeps, for the commands beside it; never makes one.
pub fn find_secret(setting: &choice::StateDir, around: &Surroundings) -> Result<OwnSecret, StateError> {
    let mut failures = Vec::new();
    for directory in state_directories(setting, around) {
        match read_secret(&directory.join(SECRET_FILE)) {
            Ok(own) => return Ok(own),
            Err(error) => failures.push((directory.join(SECRET_FILE), error)),
        }
    }
    Err(nowhere("no secret is configured, and the server has not made one yet", failures))
}

/// A file that an earlier start has left in a state directory, if there is one. Makes nothing.
pub fn find_file(setting: &choice::StateDir, around: &Surroundings, name: &str) -> Option<PathBuf> {
    state_directories(setting, around)
        .into_iter()
        .map(|directory| directory.join(name))
        .find(|path| path.exists())
}

/// A directory of the name `name` for what a part of the server keeps: in the first of the candidates that can have one.
pub fn keep_directory(
    setting: &choice::StateDir,
    around: &Surroundings,
    name: &str,
) -> Result<PathBuf, StateError> {
    let mut failures = Vec::new();
    for directory in state_directories(setting, around) {
        let path = directory.join(name);
        // That it is there does not mean that we may write into it.
        let usable = private_file::create_directory(&path)
            .and_then(|()| private_file::write_beside(&path.join("probe"), b""))
            .and_then(|probe| private_file::remove(&probe));
        match usable {
            Ok(()) => return Ok(path),
            Err(error) => failures.push((path, error)),
        }
    }
    let tried = tried(&failures);
    Err(StateError {
        no_permission: is_for_want_of_permission(&failures),
        message: format!("no directory can keep {name}:{tried}\n  name a directory with --state-dir"),
    })
}

const SECRET_FILE: &str = "secret";
/// 256 bits, as hexadecimal.
const SECRET_BYTES: usize = 32;

/// Where the server may keep things, the best place first.
pub fn state_directories(setting: &choice::StateDir, around: &Surroundings) -> Vec<PathBuf> {
    if let choice::StateDir::At(path) = setting {
        return vec![path.clone()];
    }
    // systemd gives a list with colons when a unit has several; the first is the unit's own.
    let systemd = around.state_directory.as_ref().and_then(|list| std::env::split_paths(list).next());
    let xdg = around.xdg_state_home.as_ref().map(|home| Path::new(home).join("turnbridge"));
    let root = around.is_root.then(|| PathBuf::from("/var/lib/turnbridge"));
    let home = around.home.as_ref().map(|home| Path::new(home).join(".local/state/turnbridge"));
    let found = [systemd, xdg, root, home].into_iter().flatten();
    // A relative path would be another directory at each start (and the XDG specification has it ignored).
    found.filter(|path| path.is_absolute()).collect()
}

fn read_or_make(directory: &Path) -> io::Result<OwnSecret> {
    let path = directory.join(SECRET_FILE);
    match read_secret(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            private_file::create_directory(directory)?;
            make_secret(&path)?;
            // Another process may have been quicker; what is there now counts.
            let mut own = read_secret(&path)?;
            own.is_new = true;
            Ok(own)
        }
        other => other,
    }
}

fn read_secret(path: &Path) -> io::Result<OwnSecret> {
    let text = Zeroizing::new(fs::read_to_string(path)?);
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.len() < 16 {
        let message = format!("{} does not hold a secret; remove it to have a new one made", path.display());
        return Err(io::Error::new(ErrorKind::InvalidData, message));
    }
    let was_open = private_file::close_to_others(path)?;
    let notes = was_open.map(|mode| {
        let path = path.display();
        format!(
            "{path} had mode {mode:03o} and now has 600; remove it to have a new secret made, if others may have read it"
        )
    });
    let notes = notes.into_iter().collect();
    Ok(OwnSecret { secret: Secret::new(secret), path: path.to_owned(), is_new: false, notes })
}

/// Written beside and linked to its name when complete, so that nobody ever reads half a secret, and of two servers
/// that start at once one secret wins.
fn make_secret(path: &Path) -> io::Result<()> {
    let mut text = private_file::random_hex::<SECRET_BYTES>()?;
    text.push('\n');
    let beside = private_file::write_beside(path, text.as_bytes())?;
    let linked = match fs::hard_link(&beside, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        // Not every file system has links; a rename is as atomic, only the last of two servers wins.
        Err(_) => fs::rename(&beside, path),
        Ok(()) => Ok(()),
    };
    let removed = private_file::remove(&beside);
    linked.and(removed)
}

fn nowhere(what: &str, failures: Vec<(PathBuf, io::Error)>) -> StateError {
    let tried = tried(&failures);
    let message = format!("{what}:{tried}\n  name a directory with --state-dir, or a secret in [auth]");
    StateError { no_permission: is_for_want_of_permission(&failures), message }
}

fn is_for_want_of_permission(failures: &[(PathBuf, io::Error)]) -> bool {
    failures
        .iter()
        .any(|(_, error)| matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem))
}

fn tried(failures: &[(PathBuf, io::Error)]) -> String {
    if failures.is_empty() {
        return "\n  neither $HOME nor $STATE_DIRECTORY is set".to_owned();
    }
    failures.iter().map(|(path, error)| format!("\n  {}: {error}", path.display())).collect()
}

#[cfg(test)]
mod tests;
