//! Sockets, and the workers that drive them. Everything here is I/O; what a packet means is decided in `turn`.

pub mod batch;
pub mod counters;
pub mod listener;
mod outbox;
mod peer;
pub mod ports;
mod random;
mod relay_sockets;
pub mod socket_id;
pub mod stream;
pub mod sys;
mod throttle;
pub mod tls;
pub mod worker;
