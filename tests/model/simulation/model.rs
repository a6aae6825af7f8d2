//! A TURN server as RFC 8656 tells it, as plain as can be: one list, searched from end to end.
//!
//! It is shown each input together with what the core made of it, takes out of the core's outputs what it
//! expects, and panics at whatever is missing or left over.

mod allocate;
mod attributes;
mod binding;
mod connections;
mod credentials;
mod relaying;
mod requests;

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use turnbridge::auth::{Key, PasswordAlgorithm};
use turnbridge::turn::{
    AllocationId, Family, FiveTuple, OpenError, OpenedRelay, PortRequest, RelayId, Traffic,
};
use turnbridge::wire::{AttributeType, Class, Integrity, Message, Method};

use super::cast::{Cast, Peers, Verdict};
use super::network::Network;
use super::outputs::{Channel, Outputs, Owned};
use super::rules::{Bucket, Rules};
use super::seen::Seen;
pub use connections::Connection;
use credentials::Nonces;

/// One moment: milliseconds on the clock that never jumps, and Unix seconds on the one that does.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub mono: u64,
    pub unix: u64,
}

pub struct Model {
    pub rules: Rules,
    pub cast: Rc<Cast>,
    pub peers: Peers,
    /// All allocations whose relay sockets the core has not closed yet, over or not.
    pub allocations: Vec<Allocation>,
    /// The channels that a kernel path believes in.
    pub up: Vec<Channel>,
    pub total: Traffic,
    pub nonces: Nonces,
    /// The nonce that the last answer brought.
    pub challenge: Option<Vec<u8>>,
    pub seen: Seen,
    total_bucket: Option<[Bucket; 2]>,
    /// Relay sockets that this input must close.
    released: Vec<RelayId>,
    /// Allocations of which the core closed the last socket, whose end it must report.
    ended: Vec<Owned>,
    /// The client whose connection is closed just now, so that nobody can answer it.
    gone: Option<FiveTuple>,
}

#[derive(Debug)]
pub struct Allocation {
    pub id: AllocationId,
    pub client: FiveTuple,
    pub user: String,
    /// What quotas count.
    pub quota_id: String,
    pub key: Key,
    pub algorithm: PasswordAlgorithm,
    /// When the credential is over; `u64::MAX` for a static user.
    pub credential_until: u64,
    pub transaction: [u8; 12],
    pub pending: Option<Pending>,
    /// IPv4, IPv6.
    pub relays: [Option<Relayed>; 2],
    pub reservation: Option<[u8; 8]>,
    pub address_error: Option<[u8; 4]>,
    pub permissions: Vec<(IpAddr, u64)>,
    pub channels: Vec<(u16, SocketAddr, u64)>,
    pub traffic: Traffic,
    pub buckets: Option<[Bucket; 2]>,
    /// Whether it is for connections and not for datagrams.
    pub is_tcp: bool,
    pub connections: Vec<Connection>,
}

/// A relay address and when it is over.
#[derive(Clone, Copy, Debug)]
pub struct Relayed {
    pub id: RelayId,
    pub address: SocketAddr,
    pub until: u64,
}

/// An Allocate request that waits for its relay sockets.
#[derive(Debug)]
pub struct Pending {
    request: Vec<u8>,
    integrity: Integrity,
    lifetime: u64,
    asked: [Option<Asked>; 2],
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Waiting(RelayId),
    Opened(RelayId, OpenedRelay),
    Failed(OpenError),
}

impl Allocation {
    pub fn relay(&self, ip: IpAddr, now: u64) -> Option<Relayed> {
        self.relays[usize::from(ip.is_ipv6())].filter(|relay| now < relay.until)
    }

    pub fn is_live(&self, now: u64) -> bool {
        self.pending.is_some() || self.live_relays(now).next().is_some()
    }

    pub fn is_permitted(&self, ip: IpAddr, now: u64) -> bool {
        self.relay(ip, now).is_some() && self.permissions.iter().any(|(of, until)| *of == ip && now < *until)
    }

    pub fn live_relays(&self, now: u64) -> impl Iterator<Item = Relayed> {
        self.relays.into_iter().flatten().filter(move |relay| now < relay.until)
    }

    fn channel(&self, number: u16, now: u64) -> Option<SocketAddr> {
        let channel = self.channels.iter().find(|(of, _, until)| *of == number && now < *until)?;
        Some(channel.1)
    }

    fn channel_of(&self, peer: SocketAddr, now: u64) -> Option<u16> {
        let channel = self.channels.iter().find(|(_, of, until)| *of == peer && now < *until)?;
        Some(channel.0)
    }

    /// Forgets what is over, and what a relay address took with it (RFC 8656 §8.1).
    fn prune(&mut self, now: u64) {
        let live: Vec<bool> =
            self.relays.iter().map(|relay| relay.is_some_and(|relay| now < relay.until)).collect();
        self.permissions.retain(|(ip, until)| now < *until && live[usize::from(ip.is_ipv6())]);
        self.channels.retain(|(_, peer, until)| now < *until && live[usize::from(peer.is_ipv6())]);
    }

    fn has(&self, relay: RelayId) -> bool {
        self.relays.iter().flatten().any(|own| own.id == relay)
            || self.pending.as_ref().is_some_and(|pending| {
                pending
                    .asked
                    .iter()
                    .any(|asked| matches!(asked, Some(Asked::Opened(own, _)) if *own == relay))
            })
    }
}

impl Model {
    pub fn new(rules: Rules, cast: Rc<Cast>) -> Self {
        Self {
            total_bucket: rules.total_rate.map(|rate| [Bucket::full(rate, 0); 2]),
            rules,
            cast,
            peers: Peers::new(),
            allocations: Vec::new(),
            up: Vec::new(),
            total: Traffic::default(),
            nonces: Nonces::default(),
            challenge: None,
            seen: Seen::default(),
            released: Vec::new(),
            ended: Vec::new(),
            gone: None,
        }
    }

    /// A datagram from a client. What is over when it arrives may be closed first.
    pub fn client_sent(
        &mut self,
        now: Moment,
        client: FiveTuple,
        bytes: &[u8],
        out: &mut Outputs,
        network: &mut Network,
    ) {
        self.see(out);
        self.settle(now.mono, out, network);
        match bytes.first() {
            Some(0..=3) => self.stun(now, client, bytes, out),
            Some(0x40..=0x4F) => self.channel_data(now.mono, client, bytes, out),
            Some(0x50..=0x7F) if self.rules.old_channels => self.channel_data(now.mono, client, bytes, out),
            Some(_) | None => {}
        }
        self.finish(now.mono, out, network);
    }

    /// Counts what came out.
    fn see(&mut self, out: &Outputs) {
        for output in &out.list {
            match output {
                Owned::ToClient { bytes, .. } if bytes[0] >= 0x40 => self.seen.deed("channel data down"),
                Owned::ToClient { bytes, .. } => match Message::parse(bytes) {
                    Ok(message) if message.header().class == Class::Indication => {
                        self.seen.deed(match message.header().method {
                            Method::CONNECTION_ATTEMPT => "connection attempt",
                            _ if message.has(AttributeType::DATA) => "data indication",
                            _ => "icmp indication",
                        });
                    }
                    Ok(message) => {
                        let code = message.get(AttributeType::ERROR_CODE);
                        let code = code.map_or(0, |it| u16::from(it[2]) * 100 + u16::from(it[3]));
                        self.seen.answer(message.header().method, code);
                        if message.has(AttributeType::RESERVATION_TOKEN) {
                            self.seen.deed("reservation");
                        }
                        if message.has(AttributeType::ADDRESS_ERROR_CODE) {
                            self.seen.deed("half of a dual allocation");
                        }
                    }
                    Err(error) => panic!("{error:?} in {bytes:?}"),
                },
                Owned::CloseClient { .. } => self.seen.deed("connection closed"),
                Owned::ConnectPeer { .. } => self.seen.deed("connect"),
                Owned::KeepPeer { .. } => self.seen.deed("peer accepted"),
                Owned::ClosePeer { .. } => self.seen.deed("peer closed"),
                Owned::Splice { .. } => self.seen.deed("splice"),
                Owned::ToPeer { dont_fragment: true, .. } => self.seen.deed("up, unfragmented"),
                Owned::ToPeer { .. } => self.seen.deed("up"),
                Owned::OpenRelay { port: PortRequest::Reserved(_), .. } => self.seen.deed("token presented"),
                Owned::OpenRelay { .. } => self.seen.deed("open"),
                Owned::CloseRelay { .. } => self.seen.deed("close"),
                Owned::ChannelUp(_) => self.seen.deed("channel up"),
                Owned::ChannelDown(_) => self.seen.deed("channel down"),
                Owned::Began { relays, .. } if relays.len() == 2 => self.seen.deed("dual allocation"),
                Owned::Began { .. } => self.seen.deed("allocation"),
                Owned::Ended { .. } => self.seen.deed("end"),
            }
        }
    }

    /// Whether a relay socket belongs to an allocation, of which it is then not to be taken.
    pub fn is_held(&self, relay: RelayId) -> bool {
        self.allocations.iter().any(|allocation| allocation.has(relay))
    }

    /// The operator's new rules: what they forbid ends at once.
    pub fn swap(&mut self, now: u64, rules: Rules, out: &mut Outputs, network: &mut Network) {
        self.see(out);
        self.settle(now, out, network);
        if rules.nonce_lifetime != self.rules.nonce_lifetime {
            self.nonces.doubt();
        }
        self.rules = rules;
        self.total_bucket = self.rules.total_rate.map(|rate| [Bucket::full(rate, now); 2]);
        let (policy, peers) = (self.rules.policy, &self.peers);
        for allocation in &mut self.allocations {
            allocation.buckets = self.rules.own_rate.map(|rate| [Bucket::full(rate, now); 2]);
            allocation.permissions.retain(|(ip, _)| peers.verdict(policy, *ip) != Verdict::Denied);
            allocation.channels.retain(|(_, peer, _)| peers.allows(policy, *peer));
        }
        self.end_forbidden_connections(now, out);
        self.finish(now, out, network);
        self.up.iter().for_each(|channel| {
            assert!(peers_allow(&self.peers, policy, channel.peer), "{channel:?} is forbidden, and still up");
        });
    }

    /// The core was told to free what is over: nothing of that may be left.
    pub fn expire(&mut self, now: u64, out: &mut Outputs, network: &mut Network) {
        self.see(out);
        self.finish(now, out, network);
        for allocation in &self.allocations {
            let over = allocation.relays.iter().flatten().find(|relay| relay.until <= now);
            assert!(over.is_none(), "{over:?} is over and not closed");
            let over = allocation.connections.iter().find(|connection| connection.is_over(now));
            assert!(over.is_none(), "{over:?} is over and not closed");
        }
        let dead = self.up.iter().find(|channel| !self.is_up(channel, now));
        assert!(dead.is_none(), "{dead:?} is over and still up");
    }

    /// The server stops: everything ends.
    pub fn stop(&mut self, now: u64, out: &mut Outputs, network: &mut Network) {
        self.end_all(|_| true, now, out, network);
        assert!(self.allocations.is_empty(), "the server has stopped and holds {:?}", self.allocations);
        assert!(self.up.is_empty());
    }

    /// A connection is closed: what was allocated over it ends.
    pub fn disconnected(&mut self, now: u64, client: FiveTuple, out: &mut Outputs, network: &mut Network) {
        self.see(out);
        self.data_disconnected(client, out);
        if self.allocations.iter().any(|allocation| allocation.client == client) {
            self.seen.deed("allocation without a connection");
        }
        self.gone = Some(client);
        self.end_all(|allocation| allocation.client == client, now, out, network);
        self.gone = None;
        assert!(self.allocations.iter().all(|allocation| allocation.client != client));
    }

    fn end_all(
        &mut self,
        ends: impl Fn(&Allocation) -> bool,
        now: u64,
        out: &mut Outputs,
        network: &mut Network,
    ) {
        let waits = |allocation: &mut Allocation| allocation.pending.is_some() && ends(allocation);
        for allocation in self.allocations.extract_if(.., waits) {
            for asked in allocation.pending.iter().flat_map(|pending| pending.asked) {
                if let Some(Asked::Opened(relay, _)) = asked {
                    out.take(&Owned::CloseRelay { relay });
                    network.close(relay);
                }
            }
        }
        for allocation in self.allocations.iter_mut().filter(|allocation| ends(allocation)) {
            for relay in allocation.relays.iter_mut().flatten() {
                relay.until = relay.until.min(now);
            }
        }
        self.finish(now, out, network);
    }

    /// Takes what may happen at any time: the closing of what is over.
    fn settle(&mut self, now: u64, out: &mut Outputs, network: &mut Network) {
        if out.list.is_empty() {
            return;
        }
        self.settle_connections(now, out);
        loop {
            let over = |relay: RelayId| {
                let mut relays = self.allocations.iter().flat_map(|a| a.relays.iter().flatten());
                relays.any(|own| own.id == relay && own.until <= now)
            };
            let closed = out.take_first(|output| match output {
                Owned::CloseRelay { relay } if over(*relay) => Some(*relay),
                _ => None,
            });
            let Some(relay) = closed else { break };
            network.close(relay);
            self.end_connections_of(relay, out);
            self.forget(relay);
        }
        while let Some(down) = out.take_first(|output| match output {
            Owned::ChannelDown(channel) if !self.is_up(channel, now) => Some(*channel),
            _ => None,
        }) {
            let place = self.up.iter().position(|channel| *channel == down);
            self.up.remove(place.unwrap_or_else(|| panic!("{down:?} was not up")));
        }
        for ended in std::mem::take(&mut self.ended) {
            out.take(&with_dropped_of(ended, out));
        }
    }

    fn finish(&mut self, now: u64, out: &mut Outputs, network: &mut Network) {
        self.settle(now, out, network);
        assert!(out.list.is_empty(), "not expected: {:?}", out.list);
        for relay in self.released.drain(..) {
            assert!(!network.open.contains_key(&relay), "{relay:?} was given back, and is still open");
        }
    }

    fn forget(&mut self, relay: RelayId) {
        let place = self.allocations.iter().position(|allocation| allocation.has(relay)).unwrap();
        let allocation = &mut self.allocations[place];
        for own in &mut allocation.relays {
            own.take_if(|own| own.id == relay);
        }
        if allocation.relays.iter().all(Option::is_none) {
            let Allocation { id, client, user, traffic, .. } = self.allocations.remove(place);
            self.ended.push(Owned::Ended { allocation: id, client, user, traffic });
        }
    }

    /// Whether a channel is bound, so that a kernel path may relay it.
    fn is_up(&self, channel: &Channel, now: u64) -> bool {
        self.allocations.iter().any(|allocation| {
            let relay = allocation.relay(channel.peer.ip(), now);
            relay.is_some_and(|relay| relay.id == channel.relay)
                && allocation.client == channel.client
                && allocation.channel(channel.number, now) == Some(channel.peer)
        })
    }

    /// The allocation that a 5-tuple has now.
    fn of_client(&mut self, client: FiveTuple, now: u64) -> Option<&mut Allocation> {
        let mut all = self.allocations.iter_mut();
        let allocation = all.find(|allocation| allocation.client == client && allocation.is_live(now))?;
        allocation.prune(now);
        Some(allocation)
    }
}

fn peers_allow(peers: &Peers, policy: usize, peer: SocketAddr) -> bool {
    peers.allows(policy, peer)
}

/// How many datagrams an allocation dropped is the core's own account, and not modelled.
fn with_dropped_of(mut expected: Owned, out: &Outputs) -> Owned {
    if let Owned::Ended { allocation, traffic, .. } = &mut expected {
        for output in &out.list {
            if let Owned::Ended { allocation: id, traffic: told, .. } = output
                && id == allocation
            {
                (traffic.up.dropped, traffic.down.dropped) = (told.up.dropped, told.down.dropped);
            }
        }
    }
    expected
}

fn family_of(v6: bool) -> Family {
    if v6 { Family::V6 } else { Family::V4 }
}
