//! The admin server: HTTP for applications that need credentials, for monitoring, and for the commands that look into
//! the running server.
//!
//! It has a thread of its own, so that no load on the workers starves it, and it never touches what they own: it asks
//! them through the [`Plane`].

mod access;
mod answer;
mod caller;
mod connection;
mod credentials;
mod door;
mod drain;
mod effective;
mod explain;
mod figures;
mod health;
mod host;
mod input;
mod log_level;
mod minting;
mod openapi;
mod origin;
mod problem;
mod reload;
mod revocation;
mod router;
mod session_view;
mod sessions;
mod socket_file;
mod status;
#[cfg(test)]
mod tests;
mod wrong_keys;

pub use door::AdminListenError;
pub(super) use door::Doors;
pub use socket_file::socket_candidates;

use super::metrics::Metrics;
use super::plane::Plane;
use health::Readiness;
use std::{io, sync::Arc, thread, time::Instant};
use tokio::sync::oneshot;
use wrong_keys::WrongKeys;

/// The running admin server. It ends with its owner.
pub(super) struct Admin {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What all requests are answered from.
pub(super) struct Office {
    plane: Arc<Plane>,
    metrics: Arc<Metrics>,
    started: Instant,
    wrong_keys: WrongKeys,
    readiness: Readiness,
}

impl Office {
    fn new(plane: Arc<Plane>, metrics: Arc<Metrics>) -> Self {
        let (wrong_keys, readiness) = (WrongKeys::default(), Readiness::default());
        Self { plane, metrics, started: Instant::now(), wrong_keys, readiness }
    }
}

impl Admin {
    /// Starts to answer at `doors`.
    pub(super) fn start(doors: Doors, plane: Arc<Plane>, metrics: Arc<Metrics>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let office = Arc::new(Office::new(plane, metrics));
        let serve = move || runtime.block_on(connection::serve(doors, office, stopped));
        let thread = thread::Builder::new().name("admin".to_owned()).spawn(serve)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        // Dropping the sender is the word to stop.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take().filter(|thread| !thread.is_finished()) {
            // A panic of that thread has been reported by itself.
            let _ = thread.join();
        }
    }
}
