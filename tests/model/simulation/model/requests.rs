//! STUN messages: which is which, and the requests of TURN (RFC 8656 §7 to §12).

use std::net::{IpAddr, SocketAddr};

use turnbridge::turn::FiveTuple;
use turnbridge::wire::{AttributeType, Class, Message, Method, decode_xor_address};

use super::super::cast::{Verdict, is_forged};
use super::super::outputs::{Channel, Outputs, Owned};
use super::allocate::wants_ipv6;
use super::attributes::{family, lifetime, number, refused, succeeded, told_unknown, unknown_attributes};
use super::credentials::Proven;
use super::{Allocation, Model, Moment};
use AttributeType as A;

impl Model {
    pub(super) fn stun(&mut self, now: Moment, client: FiveTuple, bytes: &[u8], out: &mut Outputs) {
        let Ok(message) = Message::parse(bytes) else { return };
        // What is bound to a peer speaks no TURN (RFC 6062 §3).
        if is_forged(client) || self.is_bound(client) {
            return;
        }
        let header = message.header();
        if header.class == Class::Indication && header.method == Method::SEND && !header.is_classic() {
            return self.send_indication(now.mono, client, &message, out);
        }
        if header.class != Class::Request {
            return;
        }
        if header.method == Method::BINDING {
            return self.binding(client, &message, out);
        }
        let is_turn = [
            Method::ALLOCATE,
            Method::REFRESH,
            Method::CREATE_PERMISSION,
            Method::CHANNEL_BIND,
            Method::CONNECT,
            Method::CONNECTION_BIND,
        ]
        .contains(&header.method);
        if header.is_classic() || !is_turn {
            return;
        }
        let Some(proven) = self.authenticate(now, client, &message, out) else { return };
        if header.method == Method::ALLOCATE {
            self.allocate(now, client, &message, &proven, out);
        } else if header.method == Method::CONNECTION_BIND {
            self.connection_bind(now.mono, client, &message, &proven, out);
        } else {
            self.on_allocation(now.mono, client, &message, &proven, out);
        }
    }

    /// Refresh, CreatePermission and ChannelBind.
    fn on_allocation(
        &mut self,
        now: u64,
        client: FiveTuple,
        request: &Message<'_>,
        proven: &Proven,
        out: &mut Outputs,
    ) {
        if self.is_refused_for_unknown(client, request, proven, out) {
            return;
        }
        let Some(allocation) = self.of_client(client, now) else {
            refused(client, request, proven, &[437], out);
            return;
        };
        let is_theirs = allocation.user == proven.name;
        if allocation.pending.is_some() {
            // It is not there yet. Whose it will be may be told or not.
            refused(client, request, proven, if is_theirs { &[437] } else { &[437, 441] }, out);
        } else if !is_theirs {
            refused(client, request, proven, &[441], out);
        } else if request.header().method == Method::REFRESH {
            self.refresh(now, client, request, proven, out);
        } else if request.header().method == Method::CONNECT {
            self.connect(now, client, request, proven, out);
        } else if request.header().method == Method::CREATE_PERMISSION {
            self.create_permission(now, client, request, proven, out);
        } else {
            self.channel_bind(now, client, request, proven, out);
        }
    }

    fn refresh(
        &mut self,
        now: u64,
        client: FiveTuple,
        request: &Message<'_>,
        proven: &Proven,
        out: &mut Outputs,
    ) {
        let requested = lifetime(request);
        let granted = self.rules.lifetime(requested.unwrap_or(None));
        let family = family(request, A::REQUESTED_ADDRESS_FAMILY, 443);
        let allocation = self.of_client(client, now).unwrap();
        let mut codes: Vec<u16> = requested.err().into_iter().chain(family.err()).collect();
        if let Ok(Some(v6)) = family
            && allocation.relays[usize::from(v6)].is_none_or(|relay| relay.until <= now)
        {
            codes.push(443);
        }
        if !codes.is_empty() {
            refused(client, request, proven, &codes, out);
            return;
        }
        let release = requested == Ok(Some(0));
        let answer = succeeded(client, request, proven, out);
        let told = number(&Message::parse(&answer).unwrap(), A::LIFETIME);
        assert_eq!(told, Some(if release { 0 } else { granted }));
        let mut released = Vec::new();
        for (slot, relay) in allocation.relays.iter_mut().enumerate() {
            let Some(relay) = relay.as_mut().filter(|relay| now < relay.until) else { continue };
            let is_meant = family.unwrap().is_none_or(|v6| usize::from(v6) == slot);
            if is_meant && release {
                relay.until = now;
                released.push(relay.id);
            } else if is_meant {
                relay.until = now + granted * 1000;
            }
        }
        self.released = released;
    }

    fn create_permission(
        &mut self,
        now: u64,
        client: FiveTuple,
        request: &Message<'_>,
        proven: &Proven,
        out: &mut Outputs,
    ) {
        let (policy, limit) = (self.rules.policy, self.rules.permissions);
        let named = request.attributes().filter(|attribute| attribute.kind == A::XOR_PEER_ADDRESS);
        let named: Vec<Option<SocketAddr>> =
            named.map(|attribute| decode_xor_address(attribute.value, request.header())).collect();
        let mut peers: Vec<IpAddr> = named.iter().flatten().map(SocketAddr::ip).collect();
        peers.sort();
        peers.dedup();
        let verdicts: Vec<Verdict> = peers.iter().map(|ip| self.peers.verdict(policy, *ip)).collect();
        let allocation = self.of_client(client, now).unwrap();
        let mut codes = Vec::new();
        if named.is_empty() || named.contains(&None) {
            codes.push(400);
        }
        if peers.iter().any(|ip| allocation.relay(*ip, now).is_none()) {
            codes.push(443);
        }
        if verdicts.contains(&Verdict::Denied) {
            codes.push(403);
        }
        let has = |ip: &IpAddr| allocation.permissions.iter().any(|(of, _)| of == ip);
        let new = peers.iter().filter(|ip| !has(ip)).count();
        if new > 0 && allocation.permissions.len() + new > limit {
            codes.push(508);
        }
        if !codes.is_empty() {
            refused(client, request, proven, &codes, out);
            return;
        }
        for ip in peers {
            allocation.permit(ip, now);
        }
        succeeded(client, request, proven, out);
    }

    fn channel_bind(
        &mut self,
        now: u64,
        client: FiveTuple,
        request: &Message<'_>,
        proven: &Proven,
        out: &mut Outputs,
    ) {
        if self.of_client(client, now).unwrap().is_tcp {
            refused(client, request, proven, &[437, 400], out);
            return;
        }
        let last = if self.rules.old_channels { 0x7FFF } else { 0x4FFF };
        let number = match request.get(A::CHANNEL_NUMBER) {
            Some([high, low, _, _]) => Some(u16::from_be_bytes([*high, *low])),
            Some(_) | None => None,
        };
        let number = number.filter(|number| (0x4000..=last).contains(number));
        let peer = request.get(A::XOR_PEER_ADDRESS).and_then(|it| decode_xor_address(it, request.header()));
        let (Some(number), Some(peer)) = (number, peer) else {
            refused(client, request, proven, &[400], out);
            return;
        };
        let allowed = self.peers.allows(self.rules.policy, peer);
        let (permissions, channels) = (self.rules.permissions, self.rules.channels);
        let allocation = self.of_client(client, now).unwrap();
        let (bound_peer, bound_number) = (allocation.channel(number, now), allocation.channel_of(peer, now));
        let mut codes = Vec::new();
        if bound_peer.is_some_and(|bound| bound != peer) || bound_number.is_some_and(|bound| bound != number)
        {
            codes.push(400);
        }
        if allocation.relay(peer.ip(), now).is_none() {
            codes.push(443);
        }
        if !allowed {
            codes.push(403);
        }
        let has_permission = allocation.permissions.iter().any(|(of, _)| *of == peer.ip());
        if (bound_peer.is_none() && allocation.channels.len() >= channels)
            || (!has_permission && allocation.permissions.len() >= permissions)
        {
            codes.push(508);
        }
        if !codes.is_empty() {
            refused(client, request, proven, &codes, out);
            return;
        }
        allocation.channels.retain(|(of, _, _)| *of != number);
        allocation.channels.push((number, peer, now + 600_000));
        allocation.permit(peer.ip(), now);
        let relay = allocation.relay(peer.ip(), now).unwrap().id;
        let channel = Channel { relay, client, number, peer };
        out.take(&Owned::ChannelUp(channel));
        if !self.up.contains(&channel) {
            self.up.push(channel);
        }
        succeeded(client, request, proven, out);
    }

    pub(super) fn is_refused_for_unknown(
        &self,
        client: FiveTuple,
        request: &Message<'_>,
        proven: &Proven,
        out: &mut Outputs,
    ) -> bool {
        let is_for_tcp = request.header().method == Method::ALLOCATE
            && matches!(request.get(A::REQUESTED_TRANSPORT), Some([6, _, _, _]));
        let can_forbid_fragments = self.rules.dont_fragment && !wants_ipv6(client, request);
        let can_be_done = |kind| can_forbid_fragments || is_for_tcp || kind != A::DONT_FRAGMENT;
        let unknown = unknown_attributes(request, can_be_done);
        if unknown.is_empty() {
            return false;
        }
        let answer = refused(client, request, proven, &[420], out);
        assert_eq!(told_unknown(&Message::parse(&answer).unwrap()), unknown);
        true
    }
}

impl Allocation {
    fn permit(&mut self, ip: IpAddr, now: u64) {
        self.permissions.retain(|(of, _)| *of != ip);
        self.permissions.push((ip, now + 300_000));
    }
}
