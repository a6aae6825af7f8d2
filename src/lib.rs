//! Turnbridge, a STUN and TURN server.
//!
//! A layer knows those below it and none above:
//!
//! ```text
//! cli       what people type, and what it prints
//! control   the process around the workers: start, reload, drain, admin server, metrics, accounting
//! net       workers: sockets, TLS, batches; each turns a loop of its own and shares nothing with the others
//! turn      the protocol: takes what happened, says what to do about it, and does no I/O
//! wire      messages as bytes
//! ```
//!
//! `auth` (from a user name to a key) and `config` (from a file to what is checked) stand beside `turn`, above `wire`.
//!
//! A packet's way: a worker of `net` receives a batch, hands each datagram to `turn::Relay::handle` as an `Input`, and
//! puts what comes out as `Output` into the batch that it sends next. On that way nothing is allocated, locked or logged.
//!
//! It is one crate because nobody uses a part of it alone: what is `pub` is promised to the program, the tests, the
//! benchmarks and the fuzz targets, and to nobody else.

/// From a user name to a key, or the reason why there is none.
pub mod auth;
/// The commands.
pub mod cli;
/// The configuration: read, checked, explained when it is wrong.
pub mod config;
/// Everything that is not packets.
pub mod control;
/// Packets in and out.
pub mod net;
/// The protocol without I/O.
pub mod turn;
/// STUN messages and ChannelData as bytes.
pub mod wire;
