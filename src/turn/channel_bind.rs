//! ChannelBind: gives a peer a short name (RFC 8656 §12.2).

use super::Family;
use super::answer::Sink;
use super::channel::BindError;
use super::output::{Output, RelayId};
use super::refusal::{Denial, Refusal};
use super::relay::Relay;
use super::request::Request;
use super::time::Now;
use crate::wire::{AttributeType, ChannelNumber};

impl Relay {
    pub(super) fn channel_bind(&mut self, now: Now, request: &Request<'_>, out: Sink<'_, '_>) {
        let Some((id, authenticated)) = self.owned_allocation(now, request, out) else { return };
        let channel = request.channel_number();
        if channel.is_some_and(|channel| !self.settings.channels.contains(channel)) {
            return self.refuse_for(request, &authenticated, Refusal::BadRequest, Denial::OldChannel, out);
        }
        let peer = request.message.get(AttributeType::XOR_PEER_ADDRESS);
        let (Some(channel), Some(peer)) = (channel, peer.and_then(|value| request.decode_peer(value))) else {
            return self.refuse(request, &authenticated, Refusal::BadRequest, out);
        };
        let Some(allocation) = self.table.get(id) else { return };
        if allocation.connections.is_some() {
            // Streams have no channels.
            return self.refuse(request, &authenticated, Refusal::AllocationMismatch, out);
        }
        let (client, family) = (allocation.client, Family::of(peer.ip()));
        allocation.channels.purge(now.mono, |channel, peer| {
            let relay = RelayId { allocation: id, family: Family::of(peer.ip()) };
            out(Output::ChannelDown { relay, client, channel, peer });
        });
        if !allocation.relays.is_live(family, now.mono) {
            return self.refuse(request, &authenticated, Refusal::FamilyMismatch, out);
        }
        let ports = match self.settings.peers.judge(peer, allocation.peer_terms()) {
            Ok(ports) => ports,
            Err(rule) => return self.forbid(request, &authenticated, peer, rule, out),
        };
        // After the policy, which knows an IPv4 address in IPv6 clothes; the channels do not (THREATS P04).
        let bindable = allocation.channels.check(channel, peer, self.settings.channels_per_allocation);
        if bindable == Err(BindError::Conflict) {
            return self.refuse(request, &authenticated, Refusal::BadRequest, out);
        }
        let limit = self.settings.permissions_per_allocation;
        let permittable = allocation.permissions.fit([peer.ip()].into_iter(), limit, now.mono);
        let full = match (bindable, permittable) {
            (Err(BindError::Full), _) => Some(Denial::Channels),
            (_, false) => Some(Denial::Permissions),
            (_, true) => None,
        };
        if let Some(denial) = full {
            return self.refuse_for(request, &authenticated, Refusal::InsufficientCapacity, denial, out);
        }
        allocation.channels.bind(channel, peer, now.mono);
        allocation.permissions.install(peer.ip(), ports, now.mono);
        let relay = RelayId { allocation: id, family };
        out(Output::ChannelUp { relay, client, channel, peer });
        self.counters.succeed(request.method());
        request.addressee.succeed(authenticated.proof(), out, |writer| writer);
        self.schedule(id);
    }
}

impl Request<'_> {
    /// CHANNEL-NUMBER: the number and two bytes that are ignored (RFC 8656 §18.1).
    fn channel_number(&self) -> Option<ChannelNumber> {
        match *self.message.get(AttributeType::CHANNEL_NUMBER)? {
            [high, low, _, _] => ChannelNumber::new(u16::from_be_bytes([high, low])),
            _ => None,
        }
    }
}
