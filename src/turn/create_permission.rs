//! CreatePermission: names the peers that may talk (RFC 8656 §10).

use std::net::IpAddr;

use super::Family;
use super::answer::Sink;
use super::peers::PortRule;
use super::refusal::{Denial, Refusal};
use super::relay::Relay;
use super::request::Request;
use super::time::Now;
use crate::wire::AttributeType;

impl Relay {
    /// All peers of a request are checked before any is permitted (THREATS A06).
    pub(super) fn create_permission(&mut self, now: Now, request: &Request<'_>, out: Sink<'_, '_>) {
        let Some((id, authenticated)) = self.owned_allocation(now, request, out) else { return };
        let mut peers = Vec::new();
        for value in request.values(AttributeType::XOR_PEER_ADDRESS) {
            let Some(peer) = request.decode_peer(value) else {
                return self.refuse(request, &authenticated, Refusal::BadRequest, out);
            };
            peers.push(peer);
        }
        if peers.is_empty() {
            return self.refuse(request, &authenticated, Refusal::BadRequest, out);
        }
        let Some(allocation) = self.table.get(id) else { return };
        if !peers.iter().all(|peer| allocation.relays.is_live(Family::of(peer.ip()), now.mono)) {
            return self.refuse(request, &authenticated, Refusal::FamilyMismatch, out);
        }
        let mut judged: Vec<(IpAddr, PortRule)> = Vec::with_capacity(peers.len());
        for peer in peers {
            match self.settings.peers.judge_address(peer.ip(), allocation.peer_terms()) {
                Ok(ports) => judged.push((peer.ip(), ports)),
                Err(rule) => return self.forbid(request, &authenticated, peer, rule, out),
            }
        }
        // Two ports of one peer are one permission.
        judged.sort_unstable_by_key(|(ip, _)| *ip);
        judged.dedup_by_key(|(ip, _)| *ip);
        let Some(allocation) = self.table.get(id) else { return };
        let limit = self.settings.permissions_per_allocation;
        if !allocation.permissions.fit(judged.iter().map(|(ip, _)| *ip), limit, now.mono) {
            return self.refuse_for(
                request,
                &authenticated,
                Refusal::InsufficientCapacity,
                Denial::Permissions,
                out,
            );
        }
        for (ip, ports) in judged {
            allocation.permissions.install(ip, ports, now.mono);
        }
        self.counters.succeed(request.method());
        request.addressee.succeed(authenticated.proof(), out, |writer| writer);
        self.schedule(id);
    }
}
