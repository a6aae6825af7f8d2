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
use record::{Record, matters};

use super::explain::Decisions;
use super::metrics::Family;
use super::utc::unix_now;
use crate::net::worker::Report;
use crate::turn::Event;

/// Reports that may wait to be written; more are counted and left out.
const QUEUE: usize = 8192;
/// How long reports are gathered before they are written.
const GATHER: Duration = Duration::from_millis(20);
/// How often folds are looked after when nothing is reported.
const TICK: Duration = Duration::from_secs(1);

/// The workers' end: takes reports without ever waiting.
#[derive(Clone, Debug)]
pub struct EventLog {
    queue: SyncSender<(u16, Record)>,
    lost: Arc<AtomicU64>,
}

/// One worker's pen.
#[derive(Debug)]
pub struct Reporter {
    log: EventLog,
    worker: u16,
    trickle: Trickle,
}

/// Lets through so much of what happens to every client and any stranger, that it cannot push out what matters.
#[derive(Debug)]
struct Trickle {
    left: u32,
    since: Instant,
}

/// Reports of that kind, per worker and second.
const TRICKLE: u32 = 200;

/// The writer's thread, which ends when the last [`EventLog`] is gone.
#[derive(Debug)]
pub struct EventWriter {
    thread: JoinHandle<()>,
    lost: Arc<AtomicU64>,
}

/// How many events were lost.
#[derive(Debug)]
pub(super) struct LostEvents(Arc<AtomicU64>);

impl EventLog {
    /// Starts the writer, which also keeps the decisions for whoever asks later.
    pub fn start(decisions: Arc<Decisions>) -> std::io::Result<(Self, EventWriter)> {
        let (queue, reports) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let log = Self { queue, lost: lost.clone() };
        let count = lost.clone();
        let writer = move || write(&reports, &decisions, &count);
        let thread = std::thread::Builder::new().name("events".to_owned()).spawn(writer)?;
        Ok((log, EventWriter { thread, lost }))
    }

    /// A pen for the worker of this number.
    pub fn reporter(&self, worker: u16) -> Reporter {
        let trickle = Trickle { left: TRICKLE, since: Instant::now() };
        Reporter { log: self.clone(), worker, trickle }
    }
}

impl Reporter {
    /// Takes a report, or counts it as lost when too many wait.
    pub fn report(&mut self, report: Report<'_>) {
        if let Report::Core(Event::Refused { denial, .. }) = report
            && !matters(denial)
            && !self.trickle.lets_through()
        {
            return;
        }
        let Some(record) = Record::of(report) else { return };
        if self.log.queue.try_send((self.worker, record)).is_err() {
            self.log.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Trickle {
    fn lets_through(&mut self) -> bool {
        if self.left == 0 && self.since.elapsed() >= Duration::from_secs(1) {
            *self = Self { left: TRICKLE, since: Instant::now() };
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

impl EventWriter {
    /// Waits until all that was reported is written.
    pub fn finish(self) {
        if self.thread.join().is_err() {
            tracing::error!("the event writer has failed; events were not logged");
        }
    }

    /// How many events were lost, for metrics.
    pub(super) fn lost(&self) -> LostEvents {
        LostEvents(self.lost.clone())
    }
}

impl LostEvents {
    pub(super) fn families(&self) -> Vec<Family> {
        let help = "Events that came faster than they could be logged, and were left out.";
        vec![Family::counter("turnbridge_events_lost", help).only(self.0.load(Ordering::Relaxed))]
    }
}

fn write(reports: &Receiver<(u16, Record)>, decisions: &Decisions, lost: &AtomicU64) {
    let mut folder = Folder::default();
    let mut told = 0;
    loop {
        match reports.recv_timeout(TICK) {
            Ok(first) => {
                // To wake this thread costs a worker more than all else about an event, so it is woken once for many.
                std::thread::sleep(GATHER);
                let now = unix_now();
                for (worker, record) in std::iter::once(first).chain(reports.try_iter()) {
                    decisions.note(record.decision(worker, now));
                    if folder.admits(&record, Instant::now()) {
                        record.log(worker);
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        folder.close_due(Instant::now());
        report_lost(lost, &mut told);
    }
    folder.close_all();
    report_lost(lost, &mut told);
}

fn report_lost(lost: &AtomicU64, told: &mut u64) {
    let all = lost.load(Ordering::Relaxed);
    let events = all - std::mem::replace(told, all);
    if events > 0 {
        tracing::warn!(events, "events came faster than they could be logged and were left out");
    }
}
