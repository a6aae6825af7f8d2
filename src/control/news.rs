//! What the server's main thread has to hear of.

use std::sync::mpsc::Sender;
use std::{io, thread};

use signal_hook::{consts::signal, iterator::Signals};

/// A word to the main thread.
pub(super) enum News {
    /// Stop, because of this.
    Stop(&'static str),
    /// Read again what can change.
    Reload,
    /// A worker is gone.
    WorkerEnded,
}

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
    let wanted = [signal::SIGTERM, signal::SIGINT, signal::SIGQUIT, signal::SIGHUP];
    let mut signals = Signals::new(wanted)?;
    let forward = move || {
        for number in signals.forever() {
            let name = signal_hook::low_level::signal_name(number).unwrap_or("unknown");
            let word = if number == signal::SIGHUP { News::Reload } else { News::Stop(name) };
            if news.send(word).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(forward).map(drop)
}
