//! Where records go.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::courier::{Courier, Destination};
use super::file::{RecordFile, Writer};
use super::receiver::{Language, Receiver};
use super::record::Record;
use super::tally::Tally;
use crate::auth::webhook_signature::Signer;
use crate::config::checked::{Accounting, Batches};

/// All that `[accounting]` wants, opened, so that what cannot be had is known before anything is done about it.
#[derive(Default)]
pub struct Outlets {
    file: Option<RecordFile>,
    interim: Option<Duration>,
    /// By web: to whom, and in what way.
    web: Vec<(Destination, Receiver, Batches)>,
}

/// The same, at work.
#[derive(Debug, Default)]
pub(super) struct Open {
    file: Option<Writer>,
    web: Vec<Courier>,
}

/// How long outlets may take to deliver what they have when they are closed.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(5);

const WEBHOOK: Destination = Destination { name: "accounting.webhook", delivery: |tally| &tally.webhook };
#[cfg(feature = "otlp")]
const OTLP: Destination = Destination { name: "accounting.otlp", delivery: |tally| &tally.otlp };
/// As exporters of OpenTelemetry have them.
#[cfg(feature = "otlp")]
const SPANS: Batches = Batches { size: 512, flush: Duration::from_secs(5), queue: 10_000 };

impl Outlets {
    /// Opens them; what is in the way says which key it is about.
    pub fn prepare(settings: &Accounting) -> Result<Self, String> {
        let file = settings.file.as_deref().map(RecordFile::open).transpose()?;
        let mut web = Vec::new();
        if let Some(webhook) = &settings.webhook {
            let signer = webhook.to.secret.as_ref().and_then(Signer::new);
            let receiver = Receiver::new(WEBHOOK.name, &webhook.to, Language::Webhook(signer))?;
            web.push((WEBHOOK, receiver, webhook.batches));
        }
        #[cfg(feature = "otlp")]
        if let Some(collector) = &settings.otlp {
            web.push((OTLP, Receiver::new(OTLP.name, collector, Language::Otlp)?, SPANS));
        }
        Ok(Self { file, interim: settings.interim, web })
    }

    /// Whether there is no reason to make any records.
    pub fn is_empty(&self) -> bool {
        self.file.is_none() && self.web.is_empty()
    }

    /// How often they get records of what goes on.
    pub(super) fn interim(&self) -> Option<Duration> {
        self.interim.filter(|_| !self.is_empty())
    }

    /// Has to be called on the accounting thread, which does the work from then on.
    pub(super) fn open(self, tally: &Arc<Tally>) -> Open {
        let web = self.web.into_iter();
        let courier = |(to, receiver, batches)| Courier::start(receiver, batches, to, tally.clone());
        Open {
            file: self.file.map(|file| Writer::start(file, tally.clone())),
            web: web.map(courier).collect(),
        }
    }
}

impl fmt::Debug for Outlets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let web: Vec<_> = self.web.iter().map(|(to, ..)| to.name).collect();
        f.debug_struct("Outlets").field("file", &self.file).field("web", &web).finish()
    }
}

impl Open {
    /// Gives each its copy. None of them makes the others wait.
    pub(super) fn hand_over(&self, records: &[Arc<Record>]) {
        if let Some(file) = &self.file {
            file.write(records);
        }
        for courier in &self.web {
            records.iter().for_each(|record| courier.take(record));
        }
    }

    /// The same when nothing more will come: there is time to wait for room, but not for long.
    pub(super) async fn hand_over_last(&self, records: &[Arc<Record>], deadline: Instant) {
        if let Some(file) = &self.file {
            file.write(records);
        }
        for courier in &self.web {
            for record in records {
                courier.take_by(record, deadline).await;
            }
        }
    }

    pub(super) fn reopen(&self) {
        if let Some(file) = &self.file {
            file.reopen();
        }
    }

    /// Waits until all is delivered, or given up.
    pub(super) async fn close(self, deadline: Instant) {
        let Self { file, web } = self;
        // All hurry at the same time, although they are waited for one after the other.
        web.iter().for_each(Courier::hurry);
        if let Some(file) = file {
            file.close(deadline).await;
        }
        for courier in web {
            courier.close(deadline).await;
        }
    }
}
