//! Data both ways (RFC 8656 §11, §12).

use std::net::SocketAddr;

use turnbridge::turn::{FiveTuple, Flow, Icmp, RelayId};
use turnbridge::wire::{AttributeType, Class, Message, Method, decode_xor_address};

use super::super::network::Network;
use super::super::outputs::{Outputs, Owned};
use super::attributes::unknown_attributes;
use super::{Model, family_of};
use AttributeType as A;

/// The most that UDP carries over IPv4, and over IPv6.
const DATAGRAM_MAX: usize = 65_507;
const DATAGRAM_MAX_V6: usize = 65_527;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

impl Model {
    pub(super) fn channel_data(&mut self, now: u64, client: FiveTuple, bytes: &[u8], out: &mut Outputs) {
        let [n0, n1, l0, l1, rest @ ..] = bytes else { return };
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        let Some(payload) = rest.get(..length) else { return };
        let Some(allocation) = self.of_client(client, now) else { return };
        let Some(peer) = allocation.channel(u16::from_be_bytes([*n0, *n1]), now) else { return };
        self.up_to(now, client, peer, payload, false, out);
    }

    pub(super) fn send_indication(
        &mut self,
        now: u64,
        client: FiveTuple,
        message: &Message<'_>,
        out: &mut Outputs,
    ) {
        let can_be_done = |kind| self.rules.dont_fragment || kind != A::DONT_FRAGMENT;
        if !unknown_attributes(message, can_be_done).is_empty() {
            return;
        }
        let peer = message.get(A::XOR_PEER_ADDRESS).and_then(|it| decode_xor_address(it, message.header()));
        let (Some(peer), Some(data)) = (peer, message.get(A::DATA)) else { return };
        // It means nothing from datagrams where either side is IPv6 (RFC 8656 §13).
        let counts = client.is_stream() || client.client().is_ipv4() && peer.is_ipv4();
        self.up_to(now, client, peer, data, counts && message.has(A::DONT_FRAGMENT), out);
    }

    fn up_to(
        &mut self,
        now: u64,
        client: FiveTuple,
        peer: SocketAddr,
        payload: &[u8],
        dont_fragment: bool,
        out: &mut Outputs,
    ) {
        let allowed = self.peers.allows(self.rules.policy, peer);
        let Some(allocation) = self.of_client(client, now) else { return };
        if allocation.is_tcp || !allowed || !allocation.is_permitted(peer.ip(), now) {
            return;
        }
        let relay = allocation.relay(peer.ip(), now).unwrap().id;
        if payload.len() > if peer.is_ipv4() { DATAGRAM_MAX } else { DATAGRAM_MAX_V6 } {
            return;
        }
        if self.admits(now, client, payload.len(), Way::Up) {
            out.take(&Owned::ToPeer { relay, peer, bytes: payload.to_vec(), dont_fragment });
        }
    }

    /// A datagram arrived on a relay socket.
    pub fn peer_sent(
        &mut self,
        now: u64,
        relay: RelayId,
        peer: SocketAddr,
        payload: &[u8],
        out: &mut Outputs,
        network: &mut Network,
    ) {
        self.see(out);
        self.settle(now, out, network);
        if let Some(client) = self.client_for(now, relay, peer)
            && self.peers.allows(self.rules.policy, peer)
        {
            let allocation = self.of_client(client, now).unwrap();
            let channel = allocation.channel_of(peer, now);
            let head = match channel {
                Some(_) => 4,
                None if peer.is_ipv4() => 20 + 12 + 4,
                None => 20 + 24 + 4,
            };
            let padded = if channel.is_some() { payload.len() } else { payload.len().next_multiple_of(4) };
            let fits = match (client.is_stream(), channel) {
                (false, _) => head + padded <= DATAGRAM_MAX,
                // What the length field can say: of ChannelData any, of STUN a multiple of four without the header.
                (true, Some(_)) => true,
                (true, None) => head + padded - 20 <= 65_532,
            };
            if fits && self.admits(now, client, payload.len(), Way::Down) {
                self.wrapped(client, channel, peer, payload, out);
            }
        }
        self.finish(now, out, network);
    }

    /// The network said that a datagram did not arrive (RFC 8656 §11.5).
    pub fn unreachable(
        &mut self,
        now: u64,
        relay: RelayId,
        peer: SocketAddr,
        icmp: Icmp,
        out: &mut Outputs,
        network: &mut Network,
    ) {
        self.see(out);
        self.settle(now, out, network);
        let told = match peer {
            SocketAddr::V4(_) => [3, 11].contains(&icmp.kind),
            SocketAddr::V6(_) => [1, 2, 3].contains(&icmp.kind),
        };
        if let Some(client) = self.client_for(now, relay, peer)
            && told
        {
            let has_mtu = match peer {
                SocketAddr::V4(_) => (icmp.kind, icmp.code) == (3, 4),
                SocketAddr::V6(_) => icmp.kind == 2,
            };
            let [a, b, c, d] = if has_mtu { icmp.data.to_be_bytes() } else { [0; 4] };
            let bytes = take_indication(client, peer, out);
            let indication = Message::parse(&bytes).unwrap();
            assert_eq!(indication.get(A::ICMP), Some(&[0, 0, icmp.kind, icmp.code, a, b, c, d][..]));
            assert!(!indication.has(A::DATA));
        }
        self.finish(now, out, network);
    }

    /// The client that may hear from this peer through this relay socket.
    fn client_for(&self, now: u64, relay: RelayId, peer: SocketAddr) -> Option<FiveTuple> {
        let allocation = self.allocations.iter().find(|allocation| {
            !allocation.is_tcp
                && allocation.relays.iter().flatten().any(|own| own.id == relay && now < own.until)
        })?;
        let fits = relay.family == family_of(peer.is_ipv6()) && allocation.is_permitted(peer.ip(), now);
        fits.then_some(allocation.client)
    }

    fn wrapped(
        &self,
        client: FiveTuple,
        channel: Option<u16>,
        peer: SocketAddr,
        payload: &[u8],
        out: &mut Outputs,
    ) {
        if let Some(number) = channel {
            let length = u16::try_from(payload.len()).unwrap();
            let mut bytes = [&number.to_be_bytes(), &length.to_be_bytes(), payload].concat();
            // A stream stays aligned (RFC 8656 §12.5).
            if client.is_stream() {
                bytes.resize(bytes.len().next_multiple_of(4), 0);
            }
            out.take(&Owned::ToClient { client, bytes });
            return;
        }
        let bytes = take_indication(client, peer, out);
        let indication = Message::parse(&bytes).unwrap();
        assert_eq!(indication.get(A::DATA), Some(payload));
        assert_eq!(indication.attributes().count(), 2);
    }

    /// Whether the bandwidth is enough; what passes is counted.
    fn admits(&mut self, now: u64, client: FiveTuple, bytes: usize, way: Way) -> bool {
        let (own_rate, total_rate) = (self.rules.own_rate, self.rules.total_rate);
        let slot = usize::from(way == Way::Down);
        let allocation =
            self.allocations.iter_mut().find(|it| it.client == client && it.is_live(now)).unwrap();
        let own = allocation.buckets.as_mut().zip(own_rate);
        let total = self.total_bucket.as_mut().zip(total_rate);
        if !own.is_none_or(|(buckets, rate)| buckets[slot].take(bytes, rate, now))
            || !total.is_none_or(|(buckets, rate)| buckets[slot].take(bytes, rate, now))
        {
            return false;
        }
        let count = |flow: &mut Flow| {
            flow.packets += 1;
            flow.bytes += bytes as u64;
        };
        match way {
            Way::Up => [&mut allocation.traffic.up, &mut self.total.up].map(count),
            Way::Down => [&mut allocation.traffic.down, &mut self.total.down].map(count),
        };
        true
    }
}

/// Takes a Data indication about this peer.
fn take_indication(client: FiveTuple, peer: SocketAddr, out: &mut Outputs) -> Vec<u8> {
    let taken = out.take_first(|output| {
        let Owned::ToClient { client: to, bytes } = output else { return None };
        let message = Message::parse(bytes).ok()?;
        let about = message.get(A::XOR_PEER_ADDRESS).and_then(|it| decode_xor_address(it, message.header()));
        let fits = (message.header().class, message.header().method) == (Class::Indication, Method::DATA)
            && about == Some(peer);
        (fits && *to == client).then(|| bytes.clone())
    });
    taken.unwrap_or_else(|| panic!("no Data indication about {peer}, but {:?}", out.list))
}
