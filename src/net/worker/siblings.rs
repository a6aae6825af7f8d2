//! How a worker hands a connection to another, with all that was read from it.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};

use crate::net::stream::Connection;

/// One worker's way to all of them.
#[derive(Clone)]
pub struct Siblings {
    doors: Arc<[OnceLock<Door>]>,
    own: usize,
}

/// Where connections for one worker are put.
struct Door {
    sender: SyncSender<Box<Connection>>,
    waker: Arc<mio::Waker>,
}

/// Connections that may wait at one door. What is handed over beyond that is closed: the worker is overwhelmed.
const QUEUE: usize = 1024;

impl Siblings {
    /// So many workers that can reach each other, in the order of their numbers.
    pub fn family(count: usize) -> Vec<Self> {
        let doors: Arc<[OnceLock<Door>]> = (0..count).map(|_| OnceLock::new()).collect();
        (0..count).map(|own| Self { doors: doors.clone(), own }).collect()
    }

    /// Lets the others reach this worker.
    pub(super) fn open_door(&self, waker: Arc<mio::Waker>) -> Receiver<Box<Connection>> {
        let (sender, receiver) = sync_channel(QUEUE);
        if let Some(door) = self.doors.get(self.own) {
            // It is opened once, when its worker starts.
            let _ = door.set(Door { sender, waker });
        }
        receiver
    }

    /// Hands a connection to the worker with this number. It is closed if that does not take any.
    pub(super) fn hand_over(&self, worker: u16, connection: Box<Connection>) {
        let Some(door) = self.doors.get(usize::from(worker)).and_then(OnceLock::get) else { return };
        if door.sender.try_send(connection).is_ok() {
            let _ = door.waker.wake();
        }
    }
}
