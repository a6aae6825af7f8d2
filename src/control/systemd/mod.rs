//! What systemd does for a service, and what it wants to hear in return (sd_notify(3), sd_listen_fds(3)).
//!
//! Nothing here needs its library, nor systemd: without its variables in the environment all of this is silent.

mod notifier;
mod service;
mod sockets;
mod watchdog;

pub use notifier::Notifier;
pub(super) use service::{Leaving, Service};
pub(super) use sockets::{InheritedSockets, Kind};
