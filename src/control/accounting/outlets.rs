//! Where records go.

use std::sync::Arc;
use std::time::Duration;

use super::file::{RecordFile, Writer};
use super::record::Record;
use super::tally::Tally;
use crate::config::checked::Accounting;

/// All that `[accounting]` wants, opened, so that what cannot be had is known before anything is done about it.
#[derive(Debug, Default)]
pub struct Outlets {
    file: Option<RecordFile>,
}

/// The same, at work.
#[derive(Debug, Default)]
pub(super) struct Open {
    file: Option<Writer>,
}

/// How long outlets may take to deliver what they have when they are closed.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(5);

impl Outlets {
    /// Opens them; what is in the way says which key it is about.
    pub fn prepare(settings: &Accounting) -> Result<Self, String> {
        let file = settings.file.as_deref().map(RecordFile::open).transpose()?;
        Ok(Self { file })
    }

    /// Whether there is no reason to make any records.
    pub fn is_empty(&self) -> bool {
        self.file.is_none()
    }

    pub(super) fn open(self, tally: &Arc<Tally>) -> Open {
        Open { file: self.file.map(|file| Writer::start(file, tally.clone())) }
    }
}

impl Open {
    /// Gives each its copy. None of them makes the others wait.
    pub(super) fn hand_over(&self, records: &[Arc<Record>]) {
        if let Some(file) = &self.file {
            file.write(records);
        }
    }

    pub(super) fn reopen(&self) {
        if let Some(file) = &self.file {
            file.reopen();
        }
    }

    /// Waits until all is delivered, or given up.
    pub(super) async fn close(self) {
        if let Some(file) = self.file {
            file.close().await;
        }
    }
}
