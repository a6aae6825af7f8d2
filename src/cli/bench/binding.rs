//! The binding mode: STUN Binding requests from many sources, several of them open at a time.

use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;

use super::io::{Inbox, is_full};
use super::pace::{self, Exchange, Lane, Pace};
use super::payload::Damage;
use super::report::{self, CpuCost, CpuMark};
use super::tally::{Counts, Tally};
use super::target::{Target, TargetArgs, seconds};
use crate::wire::{AttributeType, Class, Header, Message, Method, TransactionId, Writer, decode_xor_address};

/// Options of the binding mode.
#[derive(Args, Debug)]
pub(super) struct BindingArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// How many sockets the requests come from
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=5000))]
    sources: u16,
    /// Requests a second; without it as many as the window lets through
    #[arg(long)]
    rate: Option<u32>,
    /// Without a rate: how many requests may be open
    #[arg(long, default_value_t = 256)]
    window: u32,
    /// Seconds of load before the measured ones
    #[arg(long, default_value = "1", value_parser = seconds)]
    warm_up: Duration,
    /// Seconds of measured load
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
}

#[derive(Serialize)]
struct Report {
    mode: &'static str,
    sources: u16,
    answers_per_second: f64,
    counts: Counts,
    cpu_per_binding: CpuCost,
}

pub(super) fn run(args: &BindingArgs) -> Result<()> {
    let mut target = args.target.resolve()?;
    let mut sources = Vec::new();
    for _ in 0..args.sources {
        sources.push(Source::open(&mut target)?);
    }
    let mut asker = Asker {
        pace: args.rate.map_or(Pace::Window(u64::from(args.window)), Pace::Rate),
        lane: Lane::new(args.sources.into(), true),
        count: args.sources.into(),
        run: 0,
        sources,
        inbox: Inbox::new(false),
    };
    if !args.warm_up.is_zero() {
        asker.phase(&mut target, args.warm_up)?;
    }
    let mark = CpuMark::now(&target.processes)?;
    let took = asker.phase(&mut target, args.seconds)?;
    let counts = asker.lane.tally.counts();
    let report = Report {
        mode: "binding",
        sources: args.sources,
        answers_per_second: counts.received as f64 / took.as_secs_f64(),
        counts,
        cpu_per_binding: mark.cost_since(&target.processes, counts.received)?,
    };
    report::print(&report, args.target.json)?;
    if counts.received == 0 {
        bail!("no request was answered");
    }
    if !counts.is_clean() {
        bail!("answers were wrong, came twice or went to somebody else");
    }
    Ok(())
}

struct Source {
    socket: UdpSocket,
    local: SocketAddr,
}

impl Source {
    fn open(target: &mut Target) -> Result<Self> {
        let socket = target.socket(None)?;
        let local = socket.local_addr().context("a bound socket has an address")?;
        Ok(Self { socket, local })
    }
}

/// All sources in one phase. A transaction id says which phase, which source, and which request of it.
struct Asker {
    sources: Vec<Source>,
    count: u32,
    run: u32,
    pace: Pace,
    lane: Lane,
    inbox: Inbox,
}

impl Asker {
    fn phase(&mut self, target: &mut Target, span: Duration) -> Result<Duration> {
        self.run = target.phase();
        self.lane = Lane::new(self.count, true);
        let (pace, round) = (self.pace, Duration::from_millis(5));
        pace::run(self, pace, round, span)
    }

    fn transaction(&self, source: u32, sequence: u32) -> TransactionId {
        let mut id = [0; 12];
        id[..4].copy_from_slice(&self.run.to_be_bytes());
        id[4..8].copy_from_slice(&source.to_be_bytes());
        id[8..].copy_from_slice(&sequence.to_be_bytes());
        TransactionId(id)
    }
}

impl Exchange for Asker {
    fn send_due(&mut self, elapsed: Duration) -> Result<u64> {
        let due = self.lane.due(self.pace, elapsed);
        for sent in 0..due {
            let at = self.lane.turn;
            let transaction = self.transaction(at, self.lane.tally.next_sequence(at));
            let mut buffer = [0; Header::LENGTH];
            let request =
                Writer::new(&mut buffer, Header::new(Class::Request, Method::BINDING, transaction)).finish();
            let request = request.expect("a header fits into a header's length");
            match self.sources[at as usize].socket.send(request) {
                Ok(_) => self.lane.sent(1),
                Err(error) if is_full(&error) => return Ok(sent),
                Err(error) => return Err(error).context("cannot send to the server"),
            }
        }
        Ok(due)
    }

    fn receive(&mut self) -> Result<u64> {
        let Self { sources, run, lane, inbox, .. } = self;
        let mut count = 0;
        for (at, source) in (0..).zip(&*sources) {
            let each = |_: SocketAddr, datagram: &[u8]| {
                count += 1;
                enter(&mut lane.tally, *run, at, source.local, datagram);
            };
            inbox.empty(&source.socket, each).context("cannot receive from the server")?;
        }
        Ok(count)
    }

    fn outstanding(&self) -> u64 {
        self.lane.tally.outstanding()
    }

    fn give_up_lost(&mut self, now: Instant) {
        self.lane.give_up_lost(now);
    }
}

/// An answer is right if it is a success, repeats a transaction of this source, and tells this source's address.
fn enter(tally: &mut Tally, run: u32, source: u32, local: SocketAddr, datagram: &[u8]) {
    let Ok(message) = Message::parse(datagram) else { return tally.damaged(Damage::Corrupted) };
    let header = message.header();
    let id = header.transaction.0;
    let word = |at: usize| u32::from_be_bytes([id[at], id[at + 1], id[at + 2], id[at + 3]]);
    let mapped =
        message.get(AttributeType::XOR_MAPPED_ADDRESS).and_then(|value| decode_xor_address(value, header));
    if word(0) != run {
        tally.damaged(Damage::Foreign);
    } else if header.class != Class::Success || header.method != Method::BINDING || mapped != Some(local) {
        tally.damaged(Damage::Corrupted);
    } else if word(4) != source {
        tally.misdelivered();
    } else {
        tally.received(source, word(8));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} sources: {:.0} answers/s", self.sources, self.answers_per_second)?;
        writeln!(f, "{}", self.counts)?;
        writeln!(f, "CPU per Binding: {}", self.cpu_per_binding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_only_with_the_own_transaction_and_address() {
        let local: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        let other: SocketAddr = "192.0.2.1:4001".parse().unwrap();
        let id = |run: u32, source: u32| {
            let mut id = [0; 12];
            id[..4].copy_from_slice(&run.to_be_bytes());
            id[4..8].copy_from_slice(&source.to_be_bytes());
            TransactionId(id)
        };
        let cases = [
            ("right", id(7, 3), Class::Success, local, [1, 0, 0, 0]),
            ("an error", id(7, 3), Class::Error, local, [0, 1, 0, 0]),
            ("another address", id(7, 3), Class::Success, other, [0, 1, 0, 0]),
            ("another source's", id(7, 2), Class::Success, local, [0, 0, 1, 0]),
            ("of another phase", id(6, 3), Class::Success, local, [0, 0, 0, 1]),
        ];
        for (name, transaction, class, mapped, expected) in cases {
            let mut buffer = [0; 64];
            let answer = Writer::new(&mut buffer, Header::new(class, Method::BINDING, transaction))
                .xor_address(AttributeType::XOR_MAPPED_ADDRESS, mapped)
                .finish()
                .unwrap();
            let mut tally = Tally::new(4);
            tally.sent(3, 1);
            enter(&mut tally, 7, 3, local, answer);
            let counts = tally.counts();
            let seen = [counts.received, counts.corrupted, counts.misdelivered, counts.foreign];
            assert_eq!(seen, expected, "{name}");
        }
    }
}
