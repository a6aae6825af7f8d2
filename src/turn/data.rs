//! Relaying: ChannelData and Send up, ChannelData and Data down (RFC 8656 §11, §12).
//!
//! This is the hot path: two look-ups per packet, and no allocation.

use std::net::SocketAddr;

use super::Family;
use super::allocation::{Allocation, Bandwidth};
use super::answer::Sink;
use super::counters::DropReason;
use super::event::Direction;
use super::five_tuple::FiveTuple;
use super::input::Icmp;
use super::output::{Output, RelayId};
use super::relay::Relay;
use super::request::{Request, UnknownAttributes};
use super::time::{Millis, Now};
use crate::wire::{
    AttributeType, ChannelData, Class, DATA_HEAD_MAX, Header, Method, Writer, channel_head,
    data_indication_head,
};

/// The most that fits into one UDP datagram over IPv4.
const DATAGRAM_MAX: usize = 65_507;
/// The same over IPv6, without jumbograms.
const DATAGRAM_MAX_V6: usize = 65_527;
/// The longest STUN message: the header, and a length that is a multiple of four in 16 bits.
const MESSAGE_MAX: usize = Header::LENGTH + 65_532;

impl Relay {
    /// ChannelData from a client.
    #[inline]
    pub(super) fn relay_channel_data<'a>(
        &mut self,
        now: Now,
        client: FiveTuple,
        bytes: &'a [u8],
        out: &mut impl FnMut(Output<'a, '_>),
    ) {
        let Some(frame) = ChannelData::parse(bytes) else {
            return self.counters.drop_one(DropReason::Malformed);
        };
        let Some((id, allocation)) = self.table.by_client(client) else {
            return self.counters.drop_one(DropReason::NoAllocation);
        };
        let Some(peer) = allocation.channels.peer(frame.channel, now.mono) else {
            allocation.traffic.up.dropped += 1;
            return self.counters.drop_one(DropReason::NoChannel);
        };
        let family = Family::of(peer.ip());
        // A channel outlives its permission when only other channels are refreshed (RFC 8656 §12).
        if allocation.permission(family, peer.ip(), now.mono).is_none() {
            allocation.traffic.up.dropped += 1;
            return self.counters.drop_one(DropReason::NoPermission);
        }
        let payload = frame.payload;
        let length = payload.len();
        if length > most_to(family) {
            allocation.traffic.up.dropped += 1;
            return self.counters.drop_one(DropReason::TooLong);
        }
        if !admit(Direction::Up, allocation, &mut self.bandwidth, length, now.mono) {
            return self.counters.drop_one(DropReason::Bandwidth);
        }
        self.counters.up.count(payload.len());
        let relay = RelayId { allocation: id, family };
        out(Output::ToPeer { relay, peer, bytes: payload, dont_fragment: false });
    }

    /// A datagram that arrived on a relay socket.
    #[inline]
    pub(super) fn relay_from_peer<'a>(
        &mut self,
        now: Now,
        relay: RelayId,
        peer: SocketAddr,
        bytes: &'a [u8],
        out: &mut impl FnMut(Output<'a, '_>),
    ) {
        let Some(allocation) = self.table.get(relay.allocation) else {
            return self.counters.drop_one(DropReason::NoAllocation);
        };
        let Some(ports) = allocation.permission(relay.family, peer.ip(), now.mono) else {
            allocation.traffic.down.dropped += 1;
            return self.counters.drop_one(DropReason::NoPermission);
        };
        // On a permitted address of our own only relay ports are peers.
        if !self.settings.peers.allows_port(ports, peer) {
            allocation.traffic.down.dropped += 1;
            return self.counters.drop_one(DropReason::Forbidden);
        }
        let Ok(length) = u16::try_from(bytes.len()) else {
            return self.counters.drop_one(DropReason::TooLong);
        };
        let mut head = [0; DATA_HEAD_MAX];
        let is_stream = allocation.client.is_stream();
        // 0 to 3, whatever the length.
        let padding = (length.wrapping_neg() % 4).to_be_bytes()[1];
        let (head, padding, most) = match allocation.channels.number(peer, now.mono) {
            Some(channel) => {
                head[..4].copy_from_slice(&channel_head(channel, length));
                // A stream must stay aligned, while a datagram's end is plain (RFC 8656 §12.5).
                if is_stream { (&head[..4], padding, usize::MAX) } else { (&head[..4], 0, DATAGRAM_MAX) }
            }
            None => {
                let used = data_indication_head(&mut head, self.transactions.next(), peer, length);
                (&head[..used], padding, if is_stream { MESSAGE_MAX } else { DATAGRAM_MAX })
            }
        };
        if head.len() + bytes.len() + usize::from(padding) > most {
            allocation.traffic.down.dropped += 1;
            return self.counters.drop_one(DropReason::TooLong);
        }
        if !admit(Direction::Down, allocation, &mut self.bandwidth, bytes.len(), now.mono) {
            return self.counters.drop_one(DropReason::Bandwidth);
        }
        self.counters.down.count(bytes.len());
        out(Output::ToClient { client: allocation.client, head, payload: bytes, padding });
    }

    /// A Send indication: the way before, or without, a channel (RFC 8656 §11.2). It is never answered.
    pub(super) fn send_indication<'a>(&mut self, now: Now, request: &Request<'a>, out: Sink<'_, 'a>) {
        let message = &request.message;
        let dont_fragment = self.settings.dont_fragment;
        let can_be_done = |kind| dont_fragment || kind != AttributeType::DONT_FRAGMENT;
        if !UnknownAttributes::of(message, can_be_done).list().is_empty() {
            return self.counters.drop_one(DropReason::Malformed);
        }
        let peer = message.get(AttributeType::XOR_PEER_ADDRESS).and_then(|value| request.decode_peer(value));
        let (Some(peer), Some(data)) = (peer, message.get(AttributeType::DATA)) else {
            return self.counters.drop_one(DropReason::Malformed);
        };
        let Some((id, allocation)) = self.table.by_client(request.addressee.client) else {
            return self.counters.drop_one(DropReason::NoAllocation);
        };
        let family = Family::of(peer.ip());
        let Some(ports) = allocation.permission(family, peer.ip(), now.mono) else {
            allocation.traffic.up.dropped += 1;
            return self.counters.drop_one(DropReason::NoPermission);
        };
        if !self.settings.peers.allows_port(ports, peer) {
            allocation.traffic.up.dropped += 1;
            return self.counters.drop_one(DropReason::Forbidden);
        }
        if data.len() > most_to(family) {
            allocation.traffic.up.dropped += 1;
            return self.counters.drop_one(DropReason::TooLong);
        }
        if !admit(Direction::Up, allocation, &mut self.bandwidth, data.len(), now.mono) {
            return self.counters.drop_one(DropReason::Bandwidth);
        }
        self.counters.up.count(data.len());
        // Between datagrams the attribute MUST be ignored where either side is IPv6 (RFC 8656 §13); out of a stream it
        // is all there is to rely on (§13, §15).
        let client = request.addressee.client;
        let is_ipv4 = family == Family::V4 && client.client().is_ipv4();
        let dont_fragment = (is_ipv4 || client.is_stream()) && message.has(AttributeType::DONT_FRAGMENT);
        let relay = RelayId { allocation: id, family };
        out(Output::ToPeer { relay, peer, bytes: data, dont_fragment });
    }

    /// Tells the client that a datagram of its did not arrive, if it is one the client may know of
    /// (RFC 8656 §11.5).
    pub(super) fn peer_unreachable(
        &mut self,
        now: Now,
        relay: RelayId,
        peer: SocketAddr,
        icmp: Icmp,
        out: Sink<'_, '_>,
    ) {
        let Some(allocation) = self.table.get(relay.allocation) else { return };
        let permitted = allocation.permission(relay.family, peer.ip(), now.mono).is_some();
        if !permitted || !icmp.concerns_clients(relay.family) {
            return;
        }
        let header = Header::new(Class::Indication, Method::DATA, self.transactions.next());
        let [d0, d1, d2, d3] = icmp.error_data(relay.family).to_be_bytes();
        let mut buffer = [0; 64];
        let indication = Writer::new(&mut buffer, header)
            .xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
            .attribute(AttributeType::ICMP, &[0, 0, icmp.kind, icmp.code, d0, d1, d2, d3])
            .finish();
        if let Ok(bytes) = indication {
            out(Output::ToClient { client: allocation.client, head: bytes, payload: &[], padding: 0 });
        }
    }
}

/// The longest payload that can be sent to a peer of this family.
#[inline]
const fn most_to(family: Family) -> usize {
    match family {
        Family::V4 => DATAGRAM_MAX,
        Family::V6 => DATAGRAM_MAX_V6,
    }
}

impl Icmp {
    /// RFC 8656 §11.5: unreachable and time exceeded; for IPv6 also packet too big.
    fn concerns_clients(self, family: Family) -> bool {
        match family {
            Family::V4 => matches!(self.kind, 3 | 11),
            Family::V6 => matches!(self.kind, 1..=3),
        }
    }

    /// The next hop's MTU where the type has one, otherwise 0 (RFC 8656 §18.13).
    fn error_data(self, family: Family) -> u32 {
        match (family, self.kind, self.code) {
            (Family::V4, 3, 4) | (Family::V6, 2, _) => self.data,
            (Family::V4 | Family::V6, _, _) => 0,
        }
    }
}

/// Takes a payload out of the allocation's and the relay's bandwidth and counts it, or counts it as dropped.
#[inline]
fn admit(
    direction: Direction,
    allocation: &mut Allocation,
    total: &mut Option<Bandwidth>,
    payload: usize,
    now: Millis,
) -> bool {
    let takes = |bandwidth: Option<&mut Bandwidth>| {
        bandwidth.is_none_or(|bandwidth| {
            let (bucket, rate) = bandwidth.bucket(direction);
            bucket.take(payload as u64, rate, now)
        })
    };
    let admitted = takes(allocation.bandwidth.as_deref_mut()) && takes(total.as_mut());
    let flow = allocation.traffic.flow(direction);
    if admitted {
        flow.count(payload);
        allocation.heard.note(direction, now);
    } else {
        flow.dropped += 1;
    }
    admitted
}
