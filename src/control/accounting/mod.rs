//! Who used the relay, how long, and how much: a record when an allocation begins, and one when it ends.
//!
//! Workers put what happens into a queue of their own for this and never wait. The thread "accounting" makes records of
//! it and hands them to every outlet there is; an outlet that is slow or down holds up no other. What has to be left
//! out is counted (`Tally`) and logged.

mod collector;
mod courier;
mod figures;
mod file;
mod identity;
mod interim;
mod note;
#[cfg(feature = "otlp")]
mod otlp;
mod outlets;
mod receiver;
mod record;
mod tally;
mod webhook;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::{io, thread};

use tokio::sync::mpsc;

use super::plane::Plane;
use crate::turn::Event;
use collector::{Collector, Word};
use identity::Identities;
use note::Note;
pub use outlets::Outlets;
pub use tally::{Count, Delivery, Tally};

/// A name for something that is sent once, at each attempt.
pub(crate) fn random_uuid() -> String {
    identity::RecordId::random().to_string()
}

/// What waits to become a record. A server that stops ends all its allocations at once, and each has to have its place.
const QUEUE: usize = 1 << 17;

/// The workers' end: takes events without ever waiting.
#[derive(Clone, Debug)]
pub struct Accounting {
    notes: mpsc::Sender<Note>,
    is_on: Arc<AtomicBool>,
    tally: Arc<Tally>,
}

/// What workers have noted before there is somebody to keep the books.
#[derive(Debug)]
pub struct Inbox {
    notes: mpsc::Receiver<Note>,
    is_on: Arc<AtomicBool>,
    tally: Arc<Tally>,
}

/// The thread that keeps the books, until it is told to finish.
#[derive(Debug)]
pub struct Bookkeeper {
    words: mpsc::UnboundedSender<Word>,
    thread: JoinHandle<()>,
    is_on: Arc<AtomicBool>,
    tally: Arc<Tally>,
}

/// Both ends of the queue between the workers and the bookkeeper.
pub fn queue(outlets: &Outlets) -> (Accounting, Inbox) {
    let (sender, notes) = mpsc::channel(QUEUE);
    let is_on = Arc::new(AtomicBool::new(!outlets.is_empty()));
    let tally = Arc::new(Tally::default());
    let inbox = Inbox { notes, is_on: is_on.clone(), tally: tally.clone() };
    (Accounting { notes: sender, is_on, tally }, inbox)
}

impl Accounting {
    /// Takes what a worker reports, or counts it as lost when too much waits.
    pub fn note(&self, worker: u16, event: &Event<'_>) {
        if !self.is_on.load(Ordering::Relaxed) {
            return;
        }
        let Some(note) = Note::of(worker, event) else { return };
        if self.notes.try_send(note).is_err() {
            self.tally.lost.add(1);
        }
    }

    /// What was counted.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }
}

impl Inbox {
    /// Begins to keep the books of the server behind `plane`, which calls itself `server`.
    pub fn start(self, plane: Arc<Plane>, server: &str, outlets: Outlets) -> io::Result<Bookkeeper> {
        let Self { notes, is_on, tally } = self;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (words, incoming) = mpsc::unbounded_channel();
        let identities = Identities::random()?;
        let server = server.into();
        let for_thread = tally.clone();
        let run = move || {
            runtime.block_on(async {
                let mut collector = Collector::new(plane, server, identities, for_thread);
                collector.open(outlets).await;
                collector.run(notes, incoming).await;
            });
            // A name that is being looked up must not hold up the end of the server.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("accounting".to_owned()).spawn(run)?;
        Ok(Bookkeeper { words, thread, is_on, tally })
    }
}

impl Bookkeeper {
    /// Opens the file again under its name: somebody may have moved it away.
    pub fn reopen(&self) {
        self.tell(Word::Reopen);
    }

    /// Uses these outlets from now on. The old ones deliver what they have.
    pub fn apply(&self, outlets: Outlets) {
        self.is_on.store(!outlets.is_empty(), Ordering::Relaxed);
        self.tell(Word::Open(Box::new(outlets)));
    }

    /// What was counted.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Waits until what was noted is delivered, as far as that is possible in a few seconds. All workers have ended.
    pub fn finish(self) {
        self.tell(Word::Finish);
        if self.thread.join().is_err() {
            tracing::error!("the accounting thread has panicked; records are missing");
        }
    }

    fn tell(&self, word: Word) {
        if self.words.send(word).is_err() {
            tracing::error!(
                "the accounting thread has ended; records are missing until the server is restarted"
            );
        }
    }
}
