//! `turnbridge bench`: loads a TURN server, checks every payload, and says what the server spent on it.
//!
//! All clients and all peers live on one thread of this program and their sockets are emptied in rounds, not per
//! datagram, so that the load costs clearly less than the work it asks for.

mod allocate;
mod binding;
mod credential;
mod driver;
mod hold;
mod io;
mod pace;
mod payload;
mod process;
mod relay;
mod report;
mod session;
mod tally;
mod target;
mod traffic;

use anyhow::Result;
use clap::{Args, Subcommand};

/// What `turnbridge bench` is told on its command line.
#[derive(Args, Debug)]
pub struct BenchArgs {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand, Debug)]
enum Mode {
    /// Relay payloads through many allocations and count what each relayed one costs
    Relay(relay::RelayArgs),
    /// Make and release allocations, one after the other, many at a time
    Allocate(allocate::AllocateArgs),
    /// Hold many allocations and see what memory they take and give back
    Hold(hold::HoldArgs),
    /// Ask for Bindings
    Binding(binding::BindingArgs),
}

/// Runs one mode and prints its report. It fails if a payload or an answer was not what it had to be.
pub fn run(args: &BenchArgs) -> Result<()> {
    match &args.mode {
        Mode::Relay(args) => relay::run(args),
        Mode::Allocate(args) => allocate::run(args),
        Mode::Hold(args) => hold::run(args),
        Mode::Binding(args) => binding::run(args),
    }
}
