//! ConnectionAttempt: tells a client that a peer has connected (RFC 6062 §5.3).

use std::net::SocketAddr;

use super::answer::Sink;
use super::connection::{BIND_TIMEOUT, State};
use super::counters::DropReason;
use super::output::{Output, RelayId};
use super::relay::Relay;
use super::time::Now;
use crate::wire::{AttributeType, Class, Header, Method, Writer};

impl Relay {
    /// A peer has connected to a relay address. What is not kept is closed.
    pub(super) fn peer_accepted(&mut self, now: Now, relay: RelayId, peer: SocketAddr, out: Sink<'_, '_>) {
        let id = relay.allocation;
        self.end_overdue_connections(now.mono, id, out);
        let Some(allocation) = self.table.get(id) else {
            return self.counters.drop_one(DropReason::NoAllocation);
        };
        let Some(connections) = &allocation.connections else {
            return self.counters.drop_one(DropReason::NoAllocation);
        };
        let Some(ports) = allocation.live_permission(relay.family, peer.ip(), now.mono) else {
            return self.counters.drop_one(DropReason::NoPermission);
        };
        if !self.settings.peers.allows_port(ports, peer) {
            return self.counters.drop_one(DropReason::Forbidden);
        }
        // Nobody has room for more; nor is there ever more than one to a peer's address (RFC 6062 §3).
        if connections.has_peer(peer) || connections.len() >= self.settings.connections_per_allocation {
            return self.counters.drop_one(DropReason::Connections);
        }
        let client = allocation.client;
        let state = State::Pending { until: now.mono.after(BIND_TIMEOUT) };
        let Some(connection) = self.add_connection(id, peer, state) else { return };
        out(Output::KeepPeer { connection });
        let header = Header::new(Class::Indication, Method::CONNECTION_ATTEMPT, self.transactions.next());
        let mut buffer = [0; 64];
        let indication = Writer::new(&mut buffer, header)
            .number(AttributeType::CONNECTION_ID, connection.0)
            .xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
            .finish();
        if let Ok(bytes) = indication {
            out(Output::ToClient { client, head: bytes, payload: &[], padding: 0 });
        }
    }
}
