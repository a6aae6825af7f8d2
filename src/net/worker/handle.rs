//! How the rest of the server talks to a worker.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use super::NetSettings;
use crate::net::counters::{Counters, Published};
use crate::turn::{Now, Output};

/// A running worker: the one place that can end it.
pub struct WorkerHandle<C> {
    thread: JoinHandle<()>,
    line: WorkerLine<C>,
}

/// The way to a running worker. There can be many; they do not keep it running.
pub struct WorkerLine<C> {
    waker: Arc<mio::Waker>,
    commands: SyncSender<Command<C>>,
    published: Arc<Published>,
}

/// Something a worker is asked to do with its core, and where the outputs of that go.
type Action<C> = Box<dyn FnOnce(&mut C, Now, &mut dyn FnMut(Output<'static, '_>)) + Send>;

pub(super) enum Command<C> {
    Stop,
    With(Action<C>),
    Reconfigure(Box<NetSettings>),
}

/// Commands that may wait. Who asks faster than a worker answers is told so.
const QUEUE: usize = 256;

pub(super) fn channel<C>() -> (SyncSender<Command<C>>, Receiver<Command<C>>) {
    sync_channel(QUEUE)
}

/// The worker does not take commands: too many are waiting, or it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy {
    /// It has ended and will not take any again.
    pub ended: bool,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.ended { "the worker has ended" } else { "too many commands are waiting" })
    }
}

impl std::error::Error for Busy {}

impl<C> WorkerHandle<C> {
    pub(super) const fn new(thread: JoinHandle<()>, line: WorkerLine<C>) -> Self {
        Self { thread, line }
    }

    /// The way to the worker.
    pub const fn line(&self) -> &WorkerLine<C> {
        &self.line
    }

    /// Whether the worker's thread is over. It ends by itself only if something is very wrong.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the worker after what it is doing, closes its sockets and waits for its thread.
    pub fn stop(self) -> thread::Result<()> {
        // If it has ended already, there is nobody to tell. If the queue is full, waiting is all right here.
        if self.line.commands.send(Command::Stop).is_ok() {
            let _ = self.line.waker.wake();
        }
        self.thread.join()
    }
}

impl<C> WorkerLine<C> {
    pub(super) const fn new(
        waker: Arc<mio::Waker>,
        commands: SyncSender<Command<C>>,
        published: Arc<Published>,
    ) -> Self {
        Self { waker, commands, published }
    }

    /// What the worker has counted, as of its last wake-up.
    pub fn counters(&self) -> Counters {
        self.published.read()
    }

    /// Does something with the worker's core, on its thread, between two packets. The action answers by itself, over a
    /// channel for example.
    pub fn with_core(
        &self,
        action: impl FnOnce(&mut C, Now, &mut dyn FnMut(Output<'static, '_>)) + Send + 'static,
    ) -> Result<(), Busy> {
        self.send(Command::With(Box::new(action)))
    }

    /// Gives the worker other settings for its sockets, between two packets. If the relay ports are to change, they have
    /// to be changed before: the worker learns here what has become of them.
    pub fn reconfigure(&self, settings: NetSettings) -> Result<(), Busy> {
        self.send(Command::Reconfigure(Box::new(settings)))
    }

    fn send(&self, command: Command<C>) -> Result<(), Busy> {
        let sent = self.commands.try_send(command).map_err(|error| Busy {
            ended: match error {
                TrySendError::Full(_) => false,
                TrySendError::Disconnected(_) => true,
            },
        });
        // Also when the queue is full: the worker may not know yet.
        let woken = self.waker.wake();
        debug_assert!(woken.is_ok(), "{woken:?}");
        sent
    }
}

impl<C> Clone for WorkerLine<C> {
    fn clone(&self) -> Self {
        let Self { waker, commands, published } = self;
        Self { waker: waker.clone(), commands: commands.clone(), published: published.clone() }
    }
}

/// A worker that a test plays.
#[cfg(test)]
pub(crate) struct Puppet<C> {
    pub(crate) line: WorkerLine<C>,
    commands: Receiver<Command<C>>,
    _poll: mio::Poll,
}

#[cfg(test)]
impl<C> Puppet<C> {
    /// One whose queue has room for so many commands.
    pub(crate) fn new(queue: usize) -> Self {
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let (sender, commands) = sync_channel(queue);
        Self { line: WorkerLine::new(waker, sender, Arc::default()), commands, _poll: poll }
    }

    /// Does what waits.
    pub(crate) fn act(&self, core: &mut C, now: Now) {
        for command in self.commands.try_iter() {
            match command {
                Command::With(action) => action(core, now, &mut |_| {}),
                Command::Stop | Command::Reconfigure(_) => {}
            }
        }
    }
}
