//! Revocations outlive the process: a credential that was revoked must not come back with a restart.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::private_file;
use super::state::{self, Surroundings};
use crate::auth::revocation::{self, Full, Until};
use crate::auth::{Authenticator, Revocations};
use crate::config::Config;
use crate::config::choice::StateDir;

/// Revocations in force, and where they are kept.
#[derive(Debug)]
pub(super) struct Revoked {
    revocations: Arc<Revocations>,
    file: RevocationFile,
}

/// Why a revocation is not, or not wholly, what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevokeError {
    /// There are as many as there may be.
    Full,
    /// It is in force, and will be forgotten when the server is restarted.
    NotKept(String),
    /// It is in force for new requests; a worker has not answered whether it has ended what there was.
    Unanswered,
}

impl fmt::Display for RevokeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(
                f,
                "there are {} revocations, which is the most; rotate the secret instead",
                revocation::MAX
            ),
            Self::NotKept(reason) => {
                write!(f, "revoked, but this will be forgotten when the server is restarted: {reason}")
            }
            Self::Unanswered => {
                f.write_str("revoked, but a worker does not answer, which may still serve it")
            }
        }
    }
}

impl std::error::Error for RevokeError {}

impl Revoked {
    /// What was revoked before the start.
    pub(super) fn of(state_dir: &StateDir) -> Self {
        let file = RevocationFile { state_dir: state_dir.clone() };
        let revocations = file.read().unwrap_or_else(|(path, error)| {
            let path = path.display().to_string();
            tracing::error!(%error, path, "revocations of earlier cannot be read; those users may log in again");
            Revocations::default()
        });
        Self { revocations: Arc::new(revocations), file }
    }

    /// Who may log in by a configuration, less those who are revoked.
    pub(super) fn authenticator(&self, config: &Config) -> Arc<Authenticator> {
        Arc::new(config.auth.authenticator(&config.server.realm).under(self.revocations.clone()))
    }

    /// Revokes a credential until it would have expired, or a user until that is taken back. A number that is no time to
    /// come is part of a user's name.
    pub(super) fn add(&self, name: &str, by: &Authenticator, unix_now: u64) -> Result<(), RevokeError> {
        let until = by.expiry(name).filter(|end| *end >= unix_now);
        self.revocations.add(name, until, unix_now).map_err(|Full| RevokeError::Full)?;
        tracing::info!(user = name, "revoked");
        self.keep()
    }

    pub(super) fn remove(&self, name: &str) -> Result<bool, RevokeError> {
        let was_there = self.revocations.remove(name);
        if was_there {
            tracing::info!(user = name, "revocation taken back");
            self.keep()?;
        }
        Ok(was_there)
    }

    pub(super) fn all(&self) -> Vec<(Box<str>, Until)> {
        self.revocations.all()
    }

    fn keep(&self) -> Result<(), RevokeError> {
        self.file.keep(&self.revocations).map_err(RevokeError::NotKept)
    }
}

/// The file in the state directory.
#[derive(Clone, Debug)]
struct RevocationFile {
    state_dir: StateDir,
}

const DIRECTORY: &str = "revoked";
const FILE: &str = "users.json";

/// One revocation as it is written down.
#[derive(Debug, Deserialize, Serialize)]
struct Entry {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

impl RevocationFile {
    /// What was revoked before. A file that cannot be read is said to be so, and is left alone.
    fn read(&self) -> Result<Revocations, (PathBuf, io::Error)> {
        let around = Surroundings::of_this_process();
        let found = state::find_file(&self.state_dir, &around, &format!("{DIRECTORY}/{FILE}"));
        let Some(path) = found else { return Ok(Revocations::default()) };
        let entries = std::fs::read(&path)
            .and_then(|text| serde_json::from_slice::<Vec<Entry>>(&text).map_err(Into::into));
        match entries {
            Ok(entries) => {
                Ok(Revocations::new(entries.into_iter().map(|entry| (entry.name.into(), entry.until))))
            }
            Err(error) => Err((path, error)),
        }
    }

    /// Writes down what is revoked now.
    fn keep(&self, revocations: &Revocations) -> Result<(), String> {
        let directory = state::keep_directory(&self.state_dir, &Surroundings::of_this_process(), DIRECTORY)
            .map_err(|error| error.to_string())?;
        let entry = |(name, until): (Box<str>, Option<u64>)| Entry { name: name.into(), until };
        let entries: Vec<_> = revocations.all().into_iter().map(entry).collect();
        let path = directory.join(FILE);
        serde_json::to_vec(&entries)
            .map_err(io::Error::from)
            .and_then(|text| private_file::replace(&path, &text))
            .map_err(|error| format!("{}: {error}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_what_is_broken_is_an_error() {
        let directory = std::env::temp_dir().join(format!("turnbridge-revoked-{}", std::process::id()));
        let file = RevocationFile { state_dir: StateDir::At(directory.clone()) };
        assert!(file.read().unwrap().all().is_empty());
        assert!(!directory.exists(), "nothing is made before there is something to keep");
        let revocations = Revocations::default();
        revocations.add("alice", None, 0).unwrap();
        revocations.add("2000000000:\"bob\"", Some(2_000_000_000), 0).unwrap();
        file.keep(&revocations).unwrap();
        assert_eq!(file.read().unwrap().all(), revocations.all());
        let path = directory.join(DIRECTORY).join(FILE);
        std::fs::write(&path, "[{").unwrap();
        let (told, error) = file.read().unwrap_err();
        assert_eq!((told, error.kind()), (path, io::ErrorKind::UnexpectedEof));
        std::fs::remove_dir_all(directory).unwrap();
    }
}
