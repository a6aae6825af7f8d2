//! The latency mode: few payloads to a peer that returns each, and how long they took. To be run beside another load.

use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use serde::Serialize;

use super::driver::{self, Client};
use super::io::is_full;
use super::link::Desk;
use super::payload::{Direction, Pattern, STAMP_LEN, Stamp};
use super::report;
use super::session::{ESTABLISH, RELEASE};
use super::tally::{Counts, Tally};
use super::target::{Target, TargetArgs, seconds, udp_socket};
use super::transport::{Transport, TransportArgs};
use crate::wire::{ChannelData, channel_head};

/// Options of the latency mode.
#[derive(Args, Debug)]
pub(super) struct LatencyArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    transport: TransportArgs,
    /// Payloads a second
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    rate: u16,
    /// Bytes of a payload
    #[arg(long, default_value_t = 160, value_parser = clap::value_parser!(u16).range(STAMP_LEN as i64..=1400))]
    size: u16,
    /// Seconds of load
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
}

#[derive(Serialize)]
struct Report {
    mode: &'static str,
    transport: Transport,
    counts: Counts,
    median_us: f64,
    /// Nine of ten were faster.
    p90_us: f64,
    p99_us: f64,
    slowest_us: f64,
}

pub(super) fn run(args: &LatencyArgs) -> Result<()> {
    let mut target = args.target.resolve()?.over(&args.transport)?;
    let peer = udp_socket(target.client_address, None)?;
    let client = establish(&mut target, &peer)?;
    let mut probe = Probe::new(&mut target, client, peer, args)?;
    let mut trips = probe.run(args.seconds)?;
    trips.sort_unstable();
    let counts = probe.tally.counts();
    let at = |percent: usize| {
        let trip = trips.get(trips.len().saturating_sub(1) * percent / 100);
        trip.map_or(f64::NAN, |trip| trip.as_secs_f64() * 1e6)
    };
    let report = Report {
        mode: "latency",
        transport: args.transport.transport,
        counts,
        median_us: at(50),
        p90_us: at(90),
        p99_us: at(99),
        slowest_us: at(100),
    };
    release(target.server, probe.client)?;
    if counts.received == 0 {
        bail!("no payload came back");
    }
    report::print(&report, args.target.json)?;
    if !counts.is_clean() {
        bail!("payloads were corrupted or duplicated");
    }
    Ok(())
}

/// One client with a channel to `peer`.
pub(super) fn establish(target: &mut Target, peer: &UdpSocket) -> Result<Client> {
    let peer = peer.local_addr().context("a bound socket has an address")?;
    let (server, mut started, mut client) = (target.server, false, None);
    let next = || match std::mem::replace(&mut started, true) {
        true => Ok(None),
        false => target.client(peer, None, ESTABLISH).map(Some),
    };
    let outcome = driver::drive(server, 1, next, |established| client = Some(established))?;
    client.with_context(|| format!("the client got no channel: {}", outcome.failure_lines().join(", ")))
}

/// Gives its allocation back.
pub(super) fn release(server: SocketAddr, mut client: Client) -> Result<()> {
    client.session.begin(RELEASE);
    let mut client = Some(client);
    let outcome = driver::drive(server, 1, || Ok(client.take()), drop)?;
    match outcome.failed() {
        0 => Ok(()),
        _ => bail!("the allocation was not released: {}", outcome.failure_lines().join(", ")),
    }
}

/// One client, its peer, and what is on its way between them.
struct Probe {
    server: SocketAddr,
    client: Client,
    peer: UdpSocket,
    poll: Poll,
    desk: Desk,
    pattern: Pattern,
    size: u16,
    interval: Duration,
    tally: Tally,
    /// When each payload left.
    sent: Vec<Instant>,
}

impl Probe {
    fn new(target: &mut Target, client: Client, peer: UdpSocket, args: &LatencyArgs) -> Result<Self> {
        let poll = Poll::new().context("cannot make a poll")?;
        for (token, fd) in [(CLIENT, client.link.as_raw_fd()), (PEER, peer.as_raw_fd())] {
            poll.registry()
                .register(&mut SourceFd(&fd), token, Interest::READABLE)
                .context("cannot watch a socket")?;
        }
        Ok(Self {
            server: target.server,
            client,
            peer,
            poll,
            desk: Desk::new(false),
            pattern: Pattern::new(target.phase(), usize::from(args.size)),
            size: args.size,
            interval: Duration::from_secs(1) / u32::from(args.rate),
            tally: Tally::new(1),
            sent: Vec::new(),
        })
    }

    /// Returns how long each payload took that came back.
    fn run(&mut self, span: Duration) -> Result<Vec<Duration>> {
        let start = Instant::now();
        let (end, mut due) = (start + span, start);
        let mut trips = Vec::new();
        let mut events = Events::with_capacity(2);
        loop {
            let now = Instant::now();
            if now >= due && now < end {
                self.send()?;
                // Late ones are not made up for: one after the other is what is measured.
                due = (due + self.interval).max(now);
            }
            let until = if now < end { due.min(end) } else { end + PATIENCE };
            if now >= end && (self.tally.outstanding() == 0 || now >= until) {
                return Ok(trips);
            }
            let wait = until.saturating_duration_since(Instant::now());
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                result => result.context("cannot wait for payloads")?,
            }
            for event in &events {
                if event.token() == PEER {
                    self.return_payloads()?;
                } else {
                    self.receive(&mut trips)?;
                }
            }
        }
    }

    fn send(&mut self) -> Result<()> {
        let mut frame = channel_head(self.client.session.channel(), self.size).to_vec();
        frame.resize((frame.len() + usize::from(self.size)).next_multiple_of(4), 0);
        let stamp = Stamp { flow: 0, direction: Direction::Up, sequence: self.tally.next_sequence(0) };
        self.pattern.write(stamp, &mut frame[4..][..usize::from(self.size)]);
        match self.client.link.send(self.server, &mut self.desk, &frame, frame.len()) {
            Ok(()) => {
                self.tally.sent(0, 1);
                self.sent.push(Instant::now());
                Ok(())
            }
            Err(error) if is_full(&error) => Ok(()),
            Err(error) => Err(error).context("cannot send to the server"),
        }
    }

    fn return_payloads(&mut self) -> Result<()> {
        let Desk { inbox, sender, .. } = &mut self.desk;
        let mut sent = Ok(());
        let each = |from: SocketAddr, payload: &[u8]| {
            let segment = payload.len().try_into().unwrap_or(u16::MAX);
            if sent.is_ok() {
                sent = sender.send(&self.peer, from, payload, segment);
            }
        };
        inbox.empty(&self.peer, each).context("cannot receive at the peer")?;
        sent.context("cannot send from the peer")
    }

    fn receive(&mut self, trips: &mut Vec<Duration>) -> Result<()> {
        let now = Instant::now();
        let Self { client, desk, pattern, tally, sent, .. } = self;
        let each = |message: &[u8]| {
            let checked = ChannelData::parse(message).map(|frame| pattern.check(frame.payload));
            match checked {
                Some(Ok(stamp)) => {
                    let before = tally.counts().received;
                    tally.received(0, stamp.sequence);
                    if tally.counts().received > before {
                        trips.push(now - sent[stamp.sequence as usize]);
                    }
                }
                Some(Err(damage)) => tally.damaged(damage),
                // What is no ChannelData is no answer to anything here.
                None => tally.damaged(super::payload::Damage::Foreign),
            }
        };
        client.link.receive(desk, each).context("cannot receive from the server")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "to a peer and back over {}: {}", self.transport, self.counts)?;
        writeln!(
            f,
            "median {:.0} us, 90 % within {:.0} us, 99 % within {:.0} us, slowest {:.0} us",
            self.median_us, self.p90_us, self.p99_us, self.slowest_us
        )
    }
}

const CLIENT: Token = Token(0);
const PEER: Token = Token(1);
/// How long to wait for what has not come back in the end.
const PATIENCE: Duration = Duration::from_secs(5);
