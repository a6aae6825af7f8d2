//! The hold mode: what allocations take while they are held, and what of it comes back.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;

use super::driver::{self, Client};
use super::process::Processes;
use super::report;
use super::session::{CYCLE, ESTABLISH, RELEASE};
use super::target::{Target, TargetArgs, udp_socket};
use super::transport::{Transport, TransportArgs};

/// Options of the hold mode.
#[derive(Args, Debug)]
pub(super) struct HoldArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    transport: TransportArgs,
    /// How many allocations to hold, each with a permission and a channel; each takes an open file here and there
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    allocations: u32,
    /// How many clients are under way at a time
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=5000))]
    in_flight: u16,
    /// Most seconds to wait until the server has given back what it will
    #[arg(long, default_value_t = 10)]
    settle: u64,
}

/// The server's belongings at one moment.
#[derive(Clone, Copy, Serialize)]
struct Footprint {
    resident_bytes: u64,
    descriptors: u64,
}

#[derive(Serialize)]
struct Report {
    mode: &'static str,
    transport: Transport,
    allocations: u32,
    before: Footprint,
    held: Footprint,
    released: Footprint,
    resident_bytes_per_allocation: f64,
}

pub(super) fn run(args: &HoldArgs) -> Result<()> {
    let mut target = args.target.resolve()?.over(&args.transport)?;
    if target.processes.is_empty() {
        bail!("hold reads the server's memory: give its process with --server-pid");
    }
    let socket = udp_socket(target.client_address, None)?;
    let peer = socket.local_addr().context("a bound socket has an address")?;
    warm_up(&mut target, peer, args)?;
    let before = settled(&target.processes, args.settle)?;
    let clients = hold(&mut target, peer, args)?;
    let held = settled(&target.processes, args.settle)?;
    release(target.server, clients, args)?;
    let released = settled(&target.processes, args.settle)?;
    let report = Report {
        mode: "hold",
        transport: args.transport.transport,
        allocations: args.allocations,
        before,
        held,
        released,
        resident_bytes_per_allocation: (held.resident_bytes as f64 - before.resident_bytes as f64)
            / f64::from(args.allocations),
    };
    report::print(&report, args.target.json)
}

/// A few cycles, so that code and tables that any client brings in are not counted as an allocation's.
fn warm_up(target: &mut Target, peer: SocketAddr, args: &HoldArgs) -> Result<()> {
    let (mut left, server) = (WARM_UP, target.server);
    let next = || {
        if left == 0 {
            return Ok(None);
        }
        left -= 1;
        target.client(peer, None, CYCLE).map(Some)
    };
    let outcome = driver::drive(server, usize::from(args.in_flight), next, drop)?;
    if outcome.failed() > 0 {
        bail!("the warm-up failed: {}", outcome.failure_lines().join(", "));
    }
    Ok(())
}

fn hold(target: &mut Target, peer: SocketAddr, args: &HoldArgs) -> Result<Vec<Client>> {
    let (wanted, mut started, server) = (args.allocations as usize, 0, target.server);
    let mut clients = Vec::with_capacity(wanted);
    let next = || {
        if started == wanted {
            return Ok(None);
        }
        started += 1;
        target.client(peer, None, ESTABLISH).map(Some)
    };
    let outcome = driver::drive(server, usize::from(args.in_flight), next, |client| clients.push(client))?;
    if clients.len() < wanted {
        bail!(
            "{} of {wanted} clients got no channel: {}",
            outcome.failed(),
            outcome.failure_lines().join(", ")
        );
    }
    Ok(clients)
}

fn release(server: SocketAddr, clients: Vec<Client>, args: &HoldArgs) -> Result<()> {
    let mut clients = clients.into_iter();
    let next = || {
        Ok(clients.next().map(|mut client| {
            client.session.begin(RELEASE);
            client
        }))
    };
    let outcome = driver::drive(server, usize::from(args.in_flight), next, drop)?;
    if outcome.failed() > 0 {
        bail!("allocations were not released: {}", outcome.failure_lines().join(", "));
    }
    Ok(())
}

/// Waits until neither memory nor descriptors have changed for a second, or `limit` seconds have passed.
fn settled(processes: &Processes, limit: u64) -> Result<Footprint> {
    let end = Instant::now() + Duration::from_secs(limit);
    let (mut last, mut since) = (Footprint::of(processes)?, Instant::now());
    while since.elapsed() < STEADY && Instant::now() < end {
        std::thread::sleep(STEADY / 10);
        let now = Footprint::of(processes)?;
        if now.differs(last) {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(last)
}

impl Footprint {
    fn of(processes: &Processes) -> Result<Self> {
        Ok(Self { resident_bytes: processes.resident()?, descriptors: processes.descriptors()? })
    }

    fn differs(self, other: Self) -> bool {
        self.descriptors != other.descriptors || self.resident_bytes.abs_diff(other.resident_bytes) > NOISE
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, footprint) in [("before", self.before), ("held", self.held), ("released", self.released)] {
            let kib = footprint.resident_bytes / 1024;
            writeln!(f, "{name:>8}: {kib} KiB resident, {} open files", footprint.descriptors)?;
        }
        let kib = self.resident_bytes_per_allocation / 1024.0;
        writeln!(f, "{} allocations held: {kib:.2} KiB resident each", self.allocations)
    }
}

const WARM_UP: u32 = 100;
const STEADY: Duration = Duration::from_secs(1);
/// Less than this is not a change.
const NOISE: u64 = 64 * 1024;
