//! Connect: opens a TCP connection to a peer (RFC 6062 §5.2).

use super::Family;
use super::answer::Sink;
use super::auth::Authenticated;
use super::connection::{BIND_TIMEOUT, CONNECT_TIMEOUT, State, Waiting};
use super::connection_id::ConnectionId;
use super::event::Event;
use super::input::ConnectError;
use super::output::{Output, RelayId};
use super::refusal::{Denial, Refusal};
use super::relay::Relay;
use super::request::Request;
use super::time::Now;
use crate::wire::AttributeType;

impl Relay {
    pub(super) fn connect(&mut self, now: Now, request: &Request<'_>, out: Sink<'_, '_>) {
        let Some((id, authenticated)) = self.owned_allocation(now, request, out) else { return };
        // What has waited too long does not stand in the way of the next attempt.
        self.end_overdue_connections(now.mono, id, out);
        let Some(allocation) = self.table.get(id) else { return };
        let Some(connections) = &allocation.connections else {
            // There is no TCP allocation here.
            return self.refuse(request, &authenticated, Refusal::AllocationMismatch, out);
        };
        let peer = request.message.get(AttributeType::XOR_PEER_ADDRESS);
        let Some(peer) = peer.and_then(|value| request.decode_peer(value)) else {
            return self.refuse(request, &authenticated, Refusal::BadRequest, out);
        };
        let family = Family::of(peer.ip());
        if !allocation.relays.is_live(family, now.mono) {
            return self.refuse(request, &authenticated, Refusal::FamilyMismatch, out);
        }
        if let Err(rule) = self.settings.peers.judge(peer, allocation.peer_terms()) {
            return self.forbid(request, &authenticated, peer, rule, out);
        }
        if connections.has_peer(peer) {
            return self.refuse(request, &authenticated, Refusal::ConnectionExists, out);
        }
        if connections.len() >= self.settings.connections_per_allocation {
            let (refusal, denial) = (Refusal::InsufficientCapacity, Denial::Connections);
            return self.refuse_for(request, &authenticated, refusal, denial, out);
        }
        let Authenticated { key, seal, .. } = authenticated;
        let waiting = Waiting { addressee: request.addressee, key, seal };
        let state = State::Connecting { request: waiting, until: now.mono.after(CONNECT_TIMEOUT) };
        if let Some(connection) = self.add_connection(id, peer, state) {
            out(Output::ConnectPeer { connection, relay: RelayId { allocation: id, family }, peer });
        }
    }

    /// The driver has connected, or could not.
    pub(super) fn peer_connected(
        &mut self,
        now: Now,
        name: ConnectionId,
        result: Result<(), ConnectError>,
        out: Sink<'_, '_>,
    ) {
        self.end_if_overdue(now, name, out);
        let Some((id, connection)) = self.connection(name) else {
            // It comes too late.
            if result.is_ok() {
                out(Output::ClosePeer { connection: name });
            }
            return;
        };
        let State::Connecting { request, .. } = &connection.state else { return };
        match result {
            Ok(()) => {
                let request = request.clone();
                connection.state = State::Pending { until: now.mono.after(BIND_TIMEOUT) };
                self.counters.succeed(request.addressee.header.method);
                request.addressee.succeed(request.proof(), out, |writer| {
                    writer.number(AttributeType::CONNECTION_ID, name.0)
                });
                self.schedule(id);
            }
            Err(ConnectError::Failed) => self.connect_failed(name, Refusal::ConnectionFailed, out),
            Err(ConnectError::NoCapacity) => {
                let method = request.addressee.header.method;
                if let Some(allocation) = self.table.get(id) {
                    let (client, user) = (allocation.client, Some(allocation.user.name()));
                    let denial = Denial::NoSocket;
                    self.counters.deny(denial);
                    out(Output::Event(Event::Refused {
                        client,
                        user,
                        method,
                        denial,
                        words: None,
                        peer: None,
                    }));
                }
                self.connect_failed(name, Refusal::InsufficientCapacity, out);
            }
        }
    }
}
