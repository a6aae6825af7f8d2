//! What the server's main thread has to hear of.

use std::sync::mpsc::Sender;
use std::{io, thread};

use signal_hook::{consts::signal, iterator::Signals};
use tokio::sync::oneshot;

use super::drain::{Order, Stage};
use super::reload::Reload;

/// A word to the main thread.
pub(super) enum News {
    /// The system wants something; the second is the signal's name.
    Signal(Signal, &'static str),
    /// Take no new allocations, and say so.
    Drain(Order, oneshot::Sender<Stage>),
    /// Take some again, and say whether they are.
    Undrain(oneshot::Sender<Stage>),
    /// Read the configuration again, and say what came of it.
    Reload(oneshot::Sender<Reload>),
    /// A worker is gone.
    WorkerEnded,
}

/// What signals mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Stop at once.
    Stop,
    /// Drain to the deadline, then stop.
    Leave,
    /// Drain as long as it takes, then stop.
    Drain,
    /// Read the configuration again.
    Reload,
    /// Read the certificates again.
    Certificates,
}

const SIGNALS: [(i32, Signal); 6] = [
    (signal::SIGINT, Signal::Stop),
    (signal::SIGQUIT, Signal::Stop),
    (signal::SIGTERM, Signal::Leave),
    (signal::SIGUSR1, Signal::Drain),
    (signal::SIGHUP, Signal::Reload),
    (signal::SIGUSR2, Signal::Certificates),
];

/// Tells when the worker that holds it is gone, be it by a panic.
pub(super) struct Alive(pub(super) Sender<News>);

impl Drop for Alive {
    fn drop(&mut self) {
        // Nobody listens any more when all workers are stopped on purpose.
        let _ = self.0.send(News::WorkerEnded);
    }
}

/// Turns signals into news, on a thread of its own.
pub(super) fn forward_signals(news: Sender<News>) -> io::Result<()> {
    let mut signals = Signals::new(SIGNALS.map(|(number, _)| number))?;
    let forward = move || {
        for number in signals.forever() {
            let name = signal_hook::low_level::signal_name(number).unwrap_or("unknown");
            let Some((_, meaning)) = SIGNALS.iter().find(|(known, _)| *known == number) else { continue };
            if news.send(News::Signal(*meaning, name)).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(forward).map(drop)
}
