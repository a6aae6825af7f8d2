//! Asks a web server of the operator's who may log in, with what key and under which terms.
//!
//! Workers hand their questions over and go on; the answers come back to them as commands. Everything waits on a thread
//! of its own, for a bounded time and in bounded numbers. What was answered is remembered for a while, and a web server
//! that does not answer is left alone.

mod answer;
mod breaker;
mod cache;
mod counterpart;
mod desk;
mod failure;
mod figures;
mod outbox;
mod question;
mod tally;

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc;

use super::plane::Plane;
use crate::turn::{FiveTuple, QueryId};
pub use counterpart::Counterpart;
use desk::{Desk, Word};
use question::Question;
pub use tally::Tally;

/// Questions that may wait to be looked at. A worker keeps a thousand requests at most for theirs.
const QUEUE: usize = 4096;

/// The workers' end: takes questions without ever waiting.
#[derive(Clone, Debug)]
pub struct Asker {
    questions: mpsc::Sender<Question>,
    tally: Arc<Tally>,
}

/// Questions before there is somebody to answer them.
#[derive(Debug)]
pub struct Inbox {
    questions: mpsc::Receiver<Question>,
    tally: Arc<Tally>,
}

/// The thread that asks. It stops with its owner.
#[derive(Debug)]
pub struct Clerk {
    /// Dropping it tells the thread to stop.
    words: Option<mpsc::UnboundedSender<Word>>,
    thread: Option<JoinHandle<()>>,
}

/// Both ends of the queue between the workers and the clerk.
pub fn queue() -> (Asker, Inbox) {
    let (sender, questions) = mpsc::channel(QUEUE);
    let tally = Arc::new(Tally::default());
    (Asker { questions: sender, tally: tally.clone() }, Inbox { questions, tally })
}

impl Asker {
    /// Takes a question of a worker. When too many wait it is dropped and counted; the worker asks again when the client
    /// has sent its request again, after a while.
    pub fn ask(&self, worker: u16, query: QueryId, client: FiveTuple, user: &str) {
        let question = Question { worker, query, client, user: user.into() };
        if self.questions.try_send(question).is_err() {
            self.tally.dropped.add(1);
        }
    }

    /// What was counted.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }
}

impl Inbox {
    /// Begins to answer the workers behind `plane`. The server calls itself `server`.
    pub fn start(
        self,
        plane: Arc<Plane>,
        server: &str,
        counterpart: Option<Counterpart>,
    ) -> io::Result<Clerk> {
        let Self { questions, tally } = self;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (words, incoming) = mpsc::unbounded_channel();
        let server = server.to_owned();
        let run = move || {
            runtime.block_on(Desk::new(plane, server, counterpart, tally).run(questions, incoming));
            // A name that is being looked up must not hold up the end of the server.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("auth-webhook".to_owned()).spawn(run)?;
        Ok(Clerk { words: Some(words), thread: Some(thread) })
    }
}

impl Clerk {
    /// Asks this one from now on, or nobody. Nothing that was answered before counts any more.
    pub fn apply(&self, counterpart: Option<Counterpart>) {
        let word = Word::Ask(Box::new(counterpart));
        if self.words.as_ref().is_none_or(|words| words.send(word).is_err()) {
            tracing::error!(
                "the auth webhook's thread has ended; nobody can log in by it until the server is restarted"
            );
        }
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        drop(self.words.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the auth webhook's thread has panicked");
        }
    }
}
