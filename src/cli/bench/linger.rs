//! The linger mode: connections that say nothing, or stop in the midst of the TLS handshake. To be run beside another
//! load, which should not notice.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use super::report;
use super::target::{TargetArgs, seconds};
use crate::cli::output;

/// Options of the linger mode.
#[derive(Args, Debug)]
pub(super) struct LingerArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// How many connections
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=39_000))]
    connections: u32,
    /// Begin a TLS handshake on each and never go on
    #[arg(long)]
    half_hello: bool,
    /// Seconds to hold them
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
}

#[derive(Serialize)]
struct Report {
    mode: &'static str,
    half_hello: bool,
    connections: usize,
    /// Not closed by the server in the end.
    open: usize,
}

pub(super) fn run(args: &LingerArgs) -> Result<()> {
    let mut target = args.target.resolve()?;
    let mut held = Vec::with_capacity(args.connections as usize);
    let mut said = 0;
    for _ in 0..args.connections {
        held.push(target.connection()?);
        // A server accepts so many at a time; a queue that runs over costs a second for each connection in it.
        if held.len() - said >= AT_A_TIME {
            said = settle(&held, said, args.half_hello)?;
        }
    }
    settle(&held, said, args.half_hello)?;
    output::note("lingering");
    std::thread::sleep(args.seconds);
    let open = held.iter().filter(|connection| is_open(connection)).count();
    let report = Report { mode: "linger", half_hello: args.half_hello, connections: held.len(), open };
    report::print(&report, args.target.json)
}

/// Waits until all connections are established, and lets those behind the first `said` say what they have to. Returns
/// how many have said it.
fn settle(held: &[TcpStream], said: usize, half_hello: bool) -> Result<usize> {
    let end = Instant::now() + PATIENCE;
    for mut connection in &held[said..] {
        while let Err(error) = connection.peer_addr() {
            if error.kind() != ErrorKind::NotConnected || Instant::now() > end {
                return Err(error).context("cannot connect to the server");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        if half_hello {
            connection.write_all(HALF_HELLO).context("cannot send to the server")?;
        }
    }
    Ok(held.len())
}

fn is_open(mut connection: &TcpStream) -> bool {
    matches!(connection.read(&mut [0; 64]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.half_hello { "amid the TLS handshake" } else { "silent" };
        writeln!(f, "of {} connections, {what}, {} were open in the end", self.connections, self.open)
    }
}

/// The beginning of a record that is to hold a ClientHello of 508 bytes (RFC 8446 §5.1, §4.1.2).
const HALF_HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3, 7, 7, 7, 7, 7];
const AT_A_TIME: usize = 100;
const PATIENCE: Duration = Duration::from_secs(20);
