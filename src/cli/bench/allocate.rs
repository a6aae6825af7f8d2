//! The allocate mode: what it costs a server to take a client in and let it go.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;

use super::driver::{self, Outcome};
use super::report::{self, CpuCost, CpuMark};
use super::session::{CYCLE, Step, VISIT};
use super::target::{Target, TargetArgs, seconds, udp_socket};
use super::transport::{Transport, TransportArgs};

/// Options of the allocate mode.
#[derive(Args, Debug)]
pub(super) struct AllocateArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    transport: TransportArgs,
    /// How many clients are under way at a time
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=5000))]
    in_flight: u16,
    /// Seconds of load before the measured ones
    #[arg(long, default_value = "1", value_parser = seconds)]
    warm_up: Duration,
    /// Seconds of measured load
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
    /// End early after so many cycles
    #[arg(long)]
    cycles: Option<u64>,
}

#[derive(Serialize)]
struct Report {
    mode: &'static str,
    transport: Transport,
    in_flight: u16,
    cycles: u64,
    cycles_per_second: f64,
    retransmissions: u64,
    failures: Vec<String>,
    cpu_per_cycle: CpuCost,
}

pub(super) fn run(args: &AllocateArgs) -> Result<()> {
    let mut target = args.target.resolve()?.over(&args.transport)?;
    // Nothing is sent to it, but it has to be a real address that the server may relay to.
    let socket = udp_socket(target.client_address, None)?;
    let peer = socket.local_addr().context("a bound socket has an address")?;
    if !args.warm_up.is_zero() {
        cycles(&mut target, peer, args, args.warm_up)?;
    }
    let mark = CpuMark::now(&target.processes)?;
    let start = Instant::now();
    let outcome = cycles(&mut target, peer, args, args.seconds)?;
    let took = start.elapsed();
    let report = Report {
        mode: "allocate",
        transport: args.transport.transport,
        in_flight: args.in_flight,
        cycles: outcome.done,
        cycles_per_second: outcome.done as f64 / took.as_secs_f64(),
        retransmissions: outcome.retransmissions,
        failures: outcome.failure_lines(),
        cpu_per_cycle: mark.cost_since(&target.processes, outcome.done)?,
    };
    report::print(&report, args.target.json)?;
    if outcome.done == 0 || outcome.failed() > 0 {
        bail!("{} of {} cycles failed", outcome.failed(), outcome.done + outcome.failed());
    }
    Ok(())
}

impl AllocateArgs {
    /// Over UDP a client's whole life; over a connection its set-up is what counts, and all else would hide it.
    fn plan(&self) -> &'static [Step] {
        match self.transport.transport {
            Transport::Udp => CYCLE,
            Transport::Tcp | Transport::Tls => VISIT,
        }
    }
}

/// Starts cycles until time or number is up, and waits for those under way.
fn cycles(target: &mut Target, peer: SocketAddr, args: &AllocateArgs, span: Duration) -> Result<Outcome> {
    let end = Instant::now() + span;
    let mut left = args.cycles.unwrap_or(u64::MAX);
    let (server, plan) = (target.server, args.plan());
    let next = || {
        if left == 0 || Instant::now() >= end {
            return Ok(None);
        }
        left -= 1;
        target.client(peer, None, plan).map(Some)
    };
    driver::drive(server, usize::from(args.in_flight), next, drop)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = match self.transport {
            Transport::Udp => "401, Allocate, CreatePermission, ChannelBind, Refresh to 0",
            Transport::Tcp => "connect, 401, Allocate, Refresh to 0, close",
            Transport::Tls => "connect, handshake, 401, Allocate, Refresh to 0, close",
        };
        writeln!(
            f,
            "{} cycles of {steps}; {} at a time: {:.0}/s",
            self.cycles, self.in_flight, self.cycles_per_second
        )?;
        writeln!(f, "{} requests sent again", self.retransmissions)?;
        for failure in &self.failures {
            writeln!(f, "{failure}")?;
        }
        writeln!(f, "CPU per cycle: {}", self.cpu_per_cycle)
    }
}
