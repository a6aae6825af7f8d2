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

pub mod auth;
pub mod cli;
pub mod config;
pub mod control;
pub mod net;
pub mod turn;
pub mod wire;
