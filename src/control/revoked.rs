//! Revocations outlive the process: a credential that was revoked must not come back with a restart.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
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
    file: Option<RevocationFile>,
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
        let file = RevocationFile::find(state_dir);
        let read = file.as_ref().map_or_else(|| Ok(Revocations::default()), RevocationFile::read);
        let revocations = read.unwrap_or_else(|error| {
            let path = file.as_ref().map(|file| file.path().display().to_string());
            tracing::error!(%error, path, "revocations of earlier cannot be read; those users may log in again");
            Revocations::default()
        });
        Self { revocations: Arc::new(revocations), file }
    }

    /// Who may log in by a configuration, less those who are revoked.
    pub(super) fn authenticator(&self, config: &Config) -> Arc<Authenticator> {
        Arc::new(config.auth.authenticator(&config.server.realm).under(self.revocations.clone()))
    }

    /// Revokes a credential until it would have expired, or a user until that is taken back.
    pub(super) fn add(&self, name: &str, by: &Authenticator, unix_now: u64) -> Result<(), RevokeError> {
        self.revocations.add(name, by.expiry(name), unix_now).map_err(|Full| RevokeError::Full)?;
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
        let not_kept = |error: io::Error| RevokeError::NotKept(error.to_string());
        match &self.file {
            Some(file) => file.keep(&self.revocations).map_err(not_kept),
            None => Err(RevokeError::NotKept("there is no state directory (server.state_dir)".to_owned())),
        }
    }
}

/// The file in the state directory.
#[derive(Clone, Debug)]
pub(super) struct RevocationFile {
    path: PathBuf,
}

/// One revocation as it is written down.
#[derive(Debug, Deserialize, Serialize)]
struct Entry {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

impl RevocationFile {
    /// Where it is or would be. `None` where there is no state directory: a server that keeps nothing.
    pub(super) fn find(state_dir: &StateDir) -> Option<Self> {
        let directory = state::keep_directory(state_dir, &Surroundings::of_this_process(), "revoked").ok()?;
        Some(Self { path: directory.join("users.json") })
    }

    /// What was revoked before. A file that cannot be read is said to be so, and is left alone.
    pub(super) fn read(&self) -> io::Result<Revocations> {
        let entries = match std::fs::read(&self.path) {
            Ok(text) => serde_json::from_slice::<Vec<Entry>>(&text)?,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Revocations::new(entries.into_iter().map(|entry| (entry.name.into(), entry.until))))
    }

    /// Writes down what is revoked now.
    pub(super) fn keep(&self, revocations: &Revocations) -> io::Result<()> {
        let entry = |(name, until): (Box<str>, Option<u64>)| Entry { name: name.into(), until };
        let entries: Vec<_> = revocations.all().into_iter().map(entry).collect();
        private_file::replace(&self.path, &serde_json::to_vec(&entries)?)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_what_is_broken_is_an_error() {
        let directory = std::env::temp_dir().join(format!("turnbridge-revoked-{}", std::process::id()));
        let state_dir = StateDir::At(directory.clone());
        let file = RevocationFile::find(&state_dir).unwrap();
        assert!(file.read().unwrap().all().is_empty());
        let revocations = Revocations::default();
        revocations.add("alice", None, 0).unwrap();
        revocations.add("2000000000:\"bob\"", Some(2_000_000_000), 0).unwrap();
        file.keep(&revocations).unwrap();
        assert_eq!(file.read().unwrap().all(), revocations.all());
        std::fs::write(file.path(), "[{").unwrap();
        assert_eq!(file.read().unwrap_err().kind(), ErrorKind::UnexpectedEof);
        std::fs::remove_dir_all(directory).unwrap();
    }
}
