//! Sockets, and the workers that drive them. Everything here is I/O; what a packet means is decided in `turn`.

pub mod batch;
pub mod counters;
pub mod socket_id;
pub mod sys;
