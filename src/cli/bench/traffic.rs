//! The relay load: who sends what, and the check of all that arrives.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::driver::Client;
use super::io::is_full;
use super::link::Desk;
use super::pace::{self, Exchange, Lane, Pace};
use super::payload::{Damage, Direction, Pattern, Stamp};
use super::tally::Tally;
use crate::wire::{ChannelData, ChannelNumber, channel_head};

/// An allocation whose channel is bound to one of the peers.
pub(super) struct Flow {
    pub(super) client: Client,
    pub(super) relayed: SocketAddr,
    /// Which of the peers its channel leads to.
    pub(super) peer: usize,
}

/// Clients and peers with their sockets.
pub(super) struct Traffic {
    pub(super) flows: Vec<Flow>,
    peers: Vec<UdpSocket>,
    server: SocketAddr,
    desk: Desk,
    frames: Vec<u8>,
    /// Clients with something to flush.
    posted: Vec<u32>,
}

/// What to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) up: bool,
    pub(super) down: bool,
    /// Bytes of a payload.
    pub(super) size: u16,
    /// Payloads of one flow in a row.
    pub(super) burst: u8,
    pub(super) pace: Pace,
}

/// What a phase brought.
pub(super) struct Phase {
    pub(super) up: Tally,
    pub(super) down: Tally,
    /// From the first send to the last.
    pub(super) duration: Duration,
}

impl Traffic {
    /// `joined` says whether the sockets accept joined datagrams.
    pub(super) fn new(server: SocketAddr, flows: Vec<Flow>, peers: Vec<UdpSocket>, joined: bool) -> Self {
        Self { flows, peers, server, desk: Desk::new(joined), frames: Vec::new(), posted: Vec::new() }
    }

    /// Sends for `duration` and waits for what is under way.
    pub(super) fn run(&mut self, load: Load, pattern: &Pattern, duration: Duration) -> Result<Phase> {
        let round = self.round(load);
        let flows = self.flows.len().try_into().unwrap_or(u32::MAX);
        let (up, down) = (Lane::new(flows, load.up), Lane::new(flows, load.down));
        let mut run = Run { traffic: self, pattern, load, book: Book { up, down } };
        let duration = pace::run(&mut run, load.pace, round, duration)?;
        Ok(Phase { up: run.book.up.tally, down: run.book.down.tally, duration })
    }

    /// How long sockets may wait for their next emptying: until the busiest holds about 32 payloads.
    fn round(&self, load: Load) -> Duration {
        let per_second = match load.pace {
            Pace::Rate(per_second) => per_second,
            Pace::Window(_) => 500_000,
        };
        let sockets = if load.up { self.peers.len() } else { self.flows.len() };
        let seconds = 32.0 * sockets as f64 / f64::from(per_second);
        Duration::from_secs_f64(seconds.clamp(0.0005, 0.01))
    }
}

/// A phase under way.
struct Run<'a> {
    traffic: &'a mut Traffic,
    pattern: &'a Pattern,
    load: Load,
    book: Book,
}

struct Book {
    up: Lane,
    down: Lane,
}

impl Exchange for Run<'_> {
    fn send_due(&mut self, elapsed: Duration) -> Result<u64> {
        let burst = u64::from(self.load.burst);
        let mut sent = 0;
        for direction in [Direction::Up, Direction::Down] {
            let due = self.book.lane(direction).due(self.load.pace, elapsed);
            for _ in 0..due / burst {
                if !self.send_one(direction)? {
                    break;
                }
                sent += burst;
            }
        }
        let Traffic { flows, posted, .. } = &mut *self.traffic;
        for at in posted.drain(..) {
            flows[at as usize].client.link.flush().context("cannot send to the server")?;
        }
        Ok(sent)
    }

    fn receive(&mut self) -> Result<u64> {
        let Traffic { flows, peers, desk, .. } = &mut *self.traffic;
        let mut count = 0;
        if self.load.up {
            for (at, peer) in peers.iter().enumerate() {
                let each = |from: SocketAddr, datagram: &[u8]| {
                    count += 1;
                    self.book.at_peer(self.pattern, flows, at, from, datagram);
                };
                desk.inbox.empty(peer, each).context("cannot receive at a peer")?;
            }
        }
        if self.load.down {
            for (at, flow) in (0..).zip(&mut *flows) {
                let channel = flow.client.session.channel();
                let each = |message: &[u8]| {
                    count += 1;
                    self.book.at_client(self.pattern, channel, at, message);
                };
                flow.client.link.receive(desk, each).context("cannot receive at a client")?;
            }
        }
        if self.load.up {
            for flow in flows {
                flow.client.link.flush().context("cannot send to the server")?;
            }
        }
        Ok(count)
    }

    fn outstanding(&self) -> u64 {
        self.book.up.tally.outstanding() + self.book.down.tally.outstanding()
    }

    fn give_up_lost(&mut self, now: Instant) {
        self.book.up.give_up_lost(now);
        self.book.down.give_up_lost(now);
    }
}

impl Run<'_> {
    /// Sends the next flow's payload or burst. Says whether the kernel took it.
    fn send_one(&mut self, direction: Direction) -> Result<bool> {
        let Traffic { flows, peers, server, desk, frames, posted } = &mut *self.traffic;
        let lane = self.book.lane(direction);
        let (at, burst, size) = (lane.turn, self.load.burst, self.load.size);
        let flow = &mut flows[at as usize];
        let channel_head = channel_head(flow.client.session.channel(), size);
        let head = match direction {
            Direction::Up => &channel_head[..],
            Direction::Down => &[],
        };
        let segment = match direction {
            // Over connections frames are padded to four bytes (RFC 8656 §12.5).
            Direction::Up if flow.client.link.is_stream() => (size + CHANNEL_HEAD).next_multiple_of(4),
            Direction::Up => size + CHANNEL_HEAD,
            Direction::Down => size,
        };
        frames.resize(usize::from(segment) * usize::from(burst), 0);
        for (frame, sequence) in frames.chunks_mut(segment.into()).zip(lane.tally.next_sequence(at)..) {
            let (channel, payload) = frame[..head.len() + usize::from(size)].split_at_mut(head.len());
            channel.copy_from_slice(head);
            self.pattern.write(Stamp { flow: at, direction, sequence }, payload);
        }
        let result = match direction {
            Direction::Up => {
                posted.push(at);
                flow.client.link.post(*server, desk, frames, segment.into())
            }
            Direction::Down => desk.sender.send(&peers[flow.peer], flow.relayed, frames, segment),
        };
        match result {
            Ok(()) => {
                lane.sent(u32::from(burst));
                Ok(true)
            }
            Err(error) if is_full(&error) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("cannot send {direction:?} for flow {at}")),
        }
    }
}

impl Book {
    fn lane(&mut self, direction: Direction) -> &mut Lane {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }

    /// A payload at a peer is in the right hands if this peer is its flow's and it came from the flow's relay address.
    fn at_peer(&mut self, pattern: &Pattern, flows: &[Flow], at: usize, from: SocketAddr, payload: &[u8]) {
        match pattern.check(payload) {
            Ok(Stamp { flow, direction: Direction::Up, sequence })
                if flows.get(flow as usize).is_some_and(|flow| flow.peer == at && flow.relayed == from) =>
            {
                self.up.tally.received(flow, sequence);
            }
            Ok(_) => self.up.tally.misdelivered(),
            Err(damage) => self.up.tally.damaged(damage),
        }
    }

    /// A payload at a client is in the right hands if it is this flow's and came on its channel.
    fn at_client(&mut self, pattern: &Pattern, channel: ChannelNumber, at: u32, message: &[u8]) {
        let Some(frame) = ChannelData::parse(message) else {
            return self.down.tally.damaged(Damage::Corrupted);
        };
        match pattern.check(frame.payload) {
            Ok(Stamp { flow: owner, direction: Direction::Down, sequence })
                if owner == at && frame.channel == channel =>
            {
                self.down.tally.received(at, sequence);
            }
            Ok(_) => self.down.tally.misdelivered(),
            Err(damage) => self.down.tally.damaged(damage),
        }
    }
}

/// The length of a ChannelData head.
const CHANNEL_HEAD: u16 = 4;
