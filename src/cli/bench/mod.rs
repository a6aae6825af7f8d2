//! `turnbridge bench`: loads a TURN server, checks every payload, and says what the server spent on it.
//!
//! All clients and all peers live on one thread of this program and their sockets are emptied in rounds, not per
//! datagram, so that the load costs clearly less than the work it asks for.

mod allocate;
mod binding;
mod credential;
mod driver;
mod flood;
mod hold;
mod io;
mod latency;
mod linger;
mod link;
mod pace;
mod payload;
mod process;
mod relay;
mod report;
mod session;
mod tally;
mod target;
mod traffic;
mod transport;

use clap::{Args, Subcommand};

use super::exit::{Exit, Failure};
use crate::net::sys::open_files;

/// Flags of `bench`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  turnbridge bench relay --server 192.0.2.1:3478 --secret-file secret --rate 50000
  turnbridge bench relay --user alice --password pw --size 1200 --burst 8 --direction down --server-pid 4711
  turnbridge bench allocate --secret-file secret --seconds 10 --json
  turnbridge bench hold --secret-file secret --allocations 5000 --server-pid 4711
  turnbridge bench binding --rate 10000
  turnbridge bench relay --transport tls --server 192.0.2.1:5349 --insecure --secret-file secret --rate 20000")]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    load: Load,
}

#[derive(Subcommand, Debug)]
enum Load {
    /// Relay payloads through many allocations and count what each relayed one costs
    Relay(relay::RelayArgs),
    /// Make and release allocations, many at a time
    Allocate(allocate::AllocateArgs),
    /// Hold many allocations and see what memory they take and give back
    Hold(hold::HoldArgs),
    /// Ask for Bindings
    Binding(binding::BindingArgs),
    /// Send to a peer that returns each payload, and tell how long that takes
    Latency(latency::LatencyArgs),
    /// Misbehave: send from a peer as fast as possible to a client that does not read
    Flood(flood::FloodArgs),
    /// Misbehave: hold connections that say nothing, or stop amid the TLS handshake
    Linger(linger::LingerArgs),
}

/// Runs one load and prints its report. It fails if a payload or an answer was not what it had to be.
pub(super) fn run(args: &BenchArgs) -> Result<Exit, Failure> {
    // Each client takes one. What really is too few shows where a socket cannot be opened.
    let _ = open_files::raise();
    let done = match &args.load {
        Load::Relay(args) => relay::run(args),
        Load::Allocate(args) => allocate::run(args),
        Load::Hold(args) => hold::run(args),
        Load::Binding(args) => binding::run(args),
        Load::Latency(args) => latency::run(args),
        Load::Flood(args) => flood::run(args),
        Load::Linger(args) => linger::run(args),
    };
    match done {
        Ok(()) => Ok(Exit::Done),
        Err(error) => Err(Failure::new(Exit::Failed, format!("{error:#}"))),
    }
}
