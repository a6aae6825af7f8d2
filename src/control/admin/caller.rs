//! Who sends a request: over which line, and with which key.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How somebody got here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Over the Unix socket: they could open a file that only we and root can open.
    Unix,
    /// Over TCP, which is anybody.
    Tcp { from: IpAddr, to: IpAddr },
}

impl Line {
    /// For the log.
    pub(super) fn source(self) -> String {
        match self {
            Self::Unix => "unix".to_owned(),
            Self::Tcp { from, .. } => from.to_string(),
        }
    }
}

/// Whether a key has been shown on a connection. Who has shown none goes first when another needs the place.
#[derive(Clone, Debug, Default)]
pub(super) struct Acquaintance(Arc<AtomicBool>);

impl Acquaintance {
    pub(super) fn make(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_made(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Somebody who may do what they ask for.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// The name of their key; none over the Unix socket.
    pub(super) key: Option<String>,
    /// The longest life of a credential that they are given, in seconds.
    pub(super) max_ttl: Option<u64>,
}

impl Caller {
    /// For the log.
    pub(super) fn name(&self) -> &str {
        self.key.as_deref().unwrap_or("unix socket")
    }
}
