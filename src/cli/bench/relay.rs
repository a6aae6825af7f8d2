//! The relay mode: payloads through many allocations, each of them checked where it arrives.

use std::fmt;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::driver::{self, Client};
use super::io::accept_joined;
use super::link::Link;
use super::pace::Pace;
use super::payload::{Pattern, STAMP_LEN};
use super::report::{self, CpuCost, CpuMark};
use super::session::{ESTABLISH, RELEASE};
use super::tally::Counts;
use super::target::{Target, TargetArgs, seconds, udp_socket};
use super::traffic::{Flow, Load, Traffic};
use super::transport::{Transport, TransportArgs};

/// Options of the relay mode.
#[derive(Args, Debug)]
pub(super) struct RelayArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    transport: TransportArgs,
    /// How many clients, each with a socket and an allocation of its own
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    allocations: u32,
    /// Which way the payloads go
    #[arg(long, value_enum, default_value_t = Way::Both)]
    direction: Way,
    /// Bytes of a payload
    #[arg(long, default_value_t = 160, value_parser = clap::value_parser!(u16).range(STAMP_LEN as i64..=65_000))]
    size: u16,
    /// Payloads of one flow in a row; 1 means that consecutive ones are of different flows
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    burst: u8,
    /// Payloads a second in each direction; without it as many as the window lets through
    #[arg(long)]
    rate: Option<u32>,
    /// Without a rate: how many payloads may be on their way in each direction
    #[arg(long, default_value_t = 512)]
    window: u32,
    /// Seconds of load before the measured ones
    #[arg(long, default_value = "1", value_parser = seconds)]
    warm_up: Duration,
    /// Seconds of measured load; at most 200, since permissions live for five minutes
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
    /// How many peer sockets the allocations share
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    peers: u16,
    /// The local address of the peers; by default that of the clients
    #[arg(long)]
    peer_address: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Way {
    /// From the clients to the peers
    Up,
    /// From the peers to the clients
    Down,
    /// Both at once
    Both,
}

#[derive(Serialize)]
struct Report {
    mode: &'static str,
    transport: Transport,
    allocations: u32,
    direction: Way,
    size: u16,
    burst: u8,
    offered_per_second: f64,
    relayed_per_second: f64,
    up: Option<Counts>,
    down: Option<Counts>,
    cpu_per_payload: CpuCost,
}

pub(super) fn run(args: &RelayArgs) -> Result<()> {
    if args.burst > 1 && usize::from(args.size + 4) * usize::from(args.burst) > 65_000 {
        bail!("a burst of {} payloads of {} bytes does not fit into one send", args.burst, args.size);
    }
    if args.warm_up + args.seconds > PERMISSION {
        bail!("permissions end after five minutes: --warm-up and --seconds may be 200 together");
    }
    let mut target = args.target.resolve()?.over(&args.transport)?;
    let mut traffic = establish(&mut target, args)?;
    let load = Load {
        up: args.direction != Way::Down,
        down: args.direction != Way::Up,
        size: args.size,
        burst: args.burst,
        pace: args.rate.map_or(Pace::Window(u64::from(args.window)), Pace::Rate),
    };
    if !args.warm_up.is_zero() {
        let pattern = Pattern::new(target.phase(), usize::from(load.size));
        traffic.run(load, &pattern, args.warm_up)?;
    }
    let pattern = Pattern::new(target.phase(), usize::from(load.size));
    let mark = CpuMark::now(&target.processes)?;
    let phase = traffic.run(load, &pattern, args.seconds)?;
    let (up, down) = (phase.up.counts(), phase.down.counts());
    let received = up.received + down.received;
    let report = Report {
        mode: "relay",
        transport: args.transport.transport,
        allocations: args.allocations,
        direction: args.direction,
        size: args.size,
        burst: args.burst,
        offered_per_second: (up.sent + down.sent) as f64 / phase.duration.as_secs_f64(),
        relayed_per_second: received as f64 / phase.duration.as_secs_f64(),
        up: load.up.then_some(up),
        down: load.down.then_some(down),
        cpu_per_payload: mark.cost_since(&target.processes, received)?,
    };
    release(target.server, traffic.flows)?;
    report::print(&report, args.target.json)?;
    if received == 0 {
        bail!("no payload was relayed");
    }
    if !up.is_clean() || !down.is_clean() {
        bail!("payloads were corrupted, duplicated or given to somebody else");
    }
    Ok(())
}

/// Opens the peers, and a client with an allocation and a channel for each flow.
fn establish(target: &mut Target, args: &RelayArgs) -> Result<Traffic> {
    let peer_address = args.peer_address.unwrap_or(target.client_address);
    // Joining costs a little per datagram and single ones gain nothing.
    let joined = args.burst > 1;
    let wanted = args.allocations as usize;
    let mut peers = Vec::new();
    for _ in 0..usize::from(args.peers).min(wanted) {
        let peer = udp_socket(peer_address, Some(PEER_BUFFER))?;
        if joined {
            accept_joined(&peer);
        }
        peers.push(peer);
    }
    let addresses = peers.iter().map(UdpSocket::local_addr).collect::<std::io::Result<Vec<_>>>()?;
    let (mut started, mut flows, server) = (0, Vec::with_capacity(wanted), target.server);
    let next = || {
        if started == wanted {
            return Ok(None);
        }
        started += 1;
        target.client(addresses[started % addresses.len()], Some(CLIENT_BUFFER), ESTABLISH).map(Some)
    };
    let outcome =
        driver::drive(server, IN_FLIGHT, next, |client| flows.extend(flow(client, &addresses, joined)))?;
    if flows.len() < wanted {
        release(server, flows)?;
        bail!(
            "{} of {wanted} clients got no channel: {}",
            outcome.failed(),
            outcome.failure_lines().join(", ")
        );
    }
    Ok(Traffic::new(target.server, flows, peers, joined))
}

fn flow(client: Client, peers: &[SocketAddr], joined: bool) -> Option<Flow> {
    if let (true, Link::Udp(socket)) = (joined, &client.link) {
        accept_joined(socket);
    }
    let relayed = client.session.relayed()?;
    let peer = peers.iter().position(|peer| *peer == client.session.peer())?;
    Some(Flow { client, relayed, peer })
}

fn release(server: SocketAddr, flows: Vec<Flow>) -> Result<()> {
    let mut flows = flows.into_iter();
    let next = || {
        Ok(flows.next().map(|mut flow| {
            flow.client.session.begin(RELEASE);
            flow.client
        }))
    };
    let outcome = driver::drive(server, IN_FLIGHT, next, drop)?;
    if outcome.failed() > 0 {
        bail!("allocations were not released: {}", outcome.failure_lines().join(", "));
    }
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} allocations over {}, payloads of {} bytes in bursts of {}: {:.0}/s offered, {:.0}/s relayed",
            self.allocations,
            self.transport,
            self.size,
            self.burst,
            self.offered_per_second,
            self.relayed_per_second
        )?;
        for (name, counts) in [("up", &self.up), ("down", &self.down)] {
            if let Some(counts) = counts {
                writeln!(f, "{name:>4}: {counts}")?;
            }
        }
        writeln!(f, "CPU per relayed payload: {}", self.cpu_per_payload)
    }
}

/// Safely less than the lifetime of a permission (RFC 8656 §9).
const PERMISSION: Duration = Duration::from_secs(200);
/// How many clients are set up at a time.
const IN_FLIGHT: usize = 50;
/// A wish; the kernel caps it at net.core.rmem_max.
const PEER_BUFFER: usize = 4 << 20;
const CLIENT_BUFFER: usize = 1 << 20;
