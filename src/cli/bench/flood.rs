//! The flood mode: a peer sends as fast as it can to a client that does not read. To be run beside another load, which
//! should not notice.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use super::io::{Sender, is_full};
use super::latency::establish;
use super::link::Desk;
use super::payload::{Direction, Pattern, STAMP_LEN, Stamp};
use super::report;
use super::tally::{Counts, Tally};
use super::target::{TargetArgs, seconds, udp_socket};
use super::transport::{Transport, TransportArgs};
use crate::cli::output;
use crate::wire::ChannelData;

/// Options of the flood mode.
#[derive(Args, Debug)]
pub(super) struct FloodArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    transport: TransportArgs,
    /// Bytes of a payload
    #[arg(long, default_value_t = 1200, value_parser = clap::value_parser!(u16).range(STAMP_LEN as i64..=65_000))]
    size: u16,
    /// Payloads handed to the kernel at once
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u8).range(1..=64))]
    burst: u8,
    /// Seconds of load
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
}

#[derive(Serialize)]
struct Report {
    mode: &'static str,
    transport: Transport,
    sent_per_second: f64,
    /// What the client finds when it reads at last. Nearly all is lost, and that is right; none may be damaged.
    counts: Counts,
}

pub(super) fn run(args: &FloodArgs) -> Result<()> {
    if usize::from(args.size) * usize::from(args.burst) > 65_000 {
        anyhow::bail!("a burst of {} payloads of {} bytes does not fit into one send", args.burst, args.size);
    }
    let mut target = args.target.resolve()?.over(&args.transport)?;
    let peer = udp_socket(target.client_address, None)?;
    let mut client = establish(&mut target, &peer)?;
    let relayed = client.session.relayed().context("a client with a channel has a relayed address")?;
    let pattern = Pattern::new(target.phase(), usize::from(args.size));
    let (mut tally, mut sender) = (Tally::new(1), Sender::new());
    let mut payloads = vec![0; usize::from(args.size) * usize::from(args.burst)];
    output::note("flooding");
    let start = Instant::now();
    while start.elapsed() < args.seconds {
        for (payload, sequence) in payloads.chunks_mut(args.size.into()).zip(tally.next_sequence(0)..) {
            pattern.write(Stamp { flow: 0, direction: Direction::Down, sequence }, payload);
        }
        match sender.send(&peer, relayed, &payloads, args.size) {
            Ok(()) => tally.sent(0, args.burst.into()),
            Err(error) if is_full(&error) => std::thread::yield_now(),
            Err(error) => return Err(error).context("cannot send from the peer"),
        }
    }
    let took = start.elapsed();
    let mut desk = Desk::new(false);
    let mut quiet_since = Instant::now();
    while quiet_since.elapsed() < QUIET {
        let each = |message: &[u8]| {
            quiet_since = Instant::now();
            match ChannelData::parse(message).map(|frame| pattern.check(frame.payload)) {
                Some(Ok(stamp)) => tally.received(0, stamp.sequence),
                Some(Err(damage)) => tally.damaged(damage),
                None => tally.damaged(super::payload::Damage::Foreign),
            }
        };
        client.link.receive(&mut desk, each).context("cannot receive from the server")?;
        std::thread::sleep(Duration::from_millis(1));
    }
    let counts = tally.counts();
    let report = Report {
        mode: "flood",
        transport: args.transport.transport,
        sent_per_second: counts.sent as f64 / took.as_secs_f64(),
        counts,
    };
    super::latency::release(target.server, client)?;
    report::print(&report, args.target.json)?;
    if !counts.is_clean() {
        anyhow::bail!("payloads were corrupted, duplicated or given to somebody else");
    }
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "a peer sent {:.0}/s to a client over {} that did not read",
            self.sent_per_second, self.transport
        )?;
        writeln!(f, "afterwards it found: {}", self.counts)
    }
}

/// How long nothing must come until there is nothing left.
const QUIET: Duration = Duration::from_millis(300);
