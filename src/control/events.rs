//! Turns what the relays report into log lines, on a thread of its own: a log that blocks must not stop a packet.

mod fold;
mod record;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fold::Folder;
use record::Record;

use crate::net::worker::Report;

/// Reports that may wait to be written; more are counted and left out.
const QUEUE: usize = 8192;
/// How long reports are gathered before they are written.
const GATHER: Duration = Duration::from_millis(20);
/// How often folds are looked after when nothing is reported.
const TICK: Duration = Duration::from_secs(1);

/// The workers' end: takes reports without ever waiting.
#[derive(Clone, Debug)]
pub struct EventLog {
    queue: SyncSender<Record>,
    lost: Arc<AtomicU64>,
}

/// The writer's thread, which ends when the last [`EventLog`] is gone.
#[derive(Debug)]
pub struct EventWriter(JoinHandle<()>);

impl EventLog {
    /// Starts the writer.
    pub fn start() -> std::io::Result<(Self, EventWriter)> {
        let (queue, reports) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let log = Self { queue, lost: lost.clone() };
        let writer = move || write(&reports, &lost);
        Ok((log, EventWriter(std::thread::Builder::new().name("events".to_owned()).spawn(writer)?)))
    }

    /// Takes a report, or counts it as lost when too many wait.
    pub fn report(&self, report: Report<'_>) {
        if self.queue.try_send(Record::of(report)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl EventWriter {
    /// Waits until all that was reported is written.
    pub fn finish(self) {
        if self.0.join().is_err() {
            tracing::error!("the event writer has failed; events were not logged");
        }
    }
}

fn write(reports: &Receiver<Record>, lost: &AtomicU64) {
    let mut folder = Folder::default();
    loop {
        match reports.recv_timeout(TICK) {
            Ok(first) => {
                // To wake this thread costs a worker more than all else about an event, so it is woken once for many.
                std::thread::sleep(GATHER);
                for record in std::iter::once(first).chain(reports.try_iter()) {
                    if folder.admits(&record, Instant::now()) {
                        record.log();
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        folder.close_due(Instant::now());
        report_lost(lost);
    }
    folder.close_all();
    report_lost(lost);
}

fn report_lost(lost: &AtomicU64) {
    let events = lost.swap(0, Ordering::Relaxed);
    if events > 0 {
        tracing::warn!(events, "events came faster than they could be logged and were left out");
    }
}
