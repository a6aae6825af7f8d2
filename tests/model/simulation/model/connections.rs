//! Connections to the peers of TCP allocations (RFC 6062).

use std::net::SocketAddr;

use turnbridge::turn::{ConnectError, ConnectionId, FiveTuple, RelayId};
use turnbridge::wire::{AttributeType, Class, Message, Method, decode_xor_address};

use super::super::network::Network;
use super::super::outputs::{Outputs, Owned};
use super::attributes::{number, refused, succeeded};
use super::credentials::Proven;
use super::{Allocation, Model};
use AttributeType as A;

const TIMEOUT_MS: u64 = 30_000;

#[derive(Debug)]
pub struct Connection {
    pub id: ConnectionId,
    pub peer: SocketAddr,
    pub stage: Stage,
}

#[derive(Debug)]
pub enum Stage {
    Connecting { request: Vec<u8>, proven: Proven, until: u64 },
    Pending { until: u64 },
    Bound { client: FiveTuple },
}

impl Connection {
    pub fn is_over(&self, now: u64) -> bool {
        match self.stage {
            Stage::Connecting { until, .. } | Stage::Pending { until } => until <= now,
            Stage::Bound { .. } => false,
        }
    }

    /// Whether it waits for a client that binds it.
    pub fn is_pending(&self) -> bool {
        matches!(self.stage, Stage::Pending { .. })
    }
}

impl Allocation {
    /// The connections that have not waited too long.
    fn live_connections(&self, now: u64) -> impl Iterator<Item = &Connection> {
        self.connections.iter().filter(move |connection| !connection.is_over(now))
    }

    fn take_connection(&mut self, id: ConnectionId) -> Option<Connection> {
        let place = self.connections.iter().position(|connection| connection.id == id)?;
        Some(self.connections.remove(place))
    }
}

impl Model {
    pub(super) fn connect(
        &mut self,
        now: u64,
        client: FiveTuple,
        request: &Message<'_>,
        proven: &Proven,
        out: &mut Outputs,
    ) {
        let limit = self.rules.connections;
        let peer = request.get(A::XOR_PEER_ADDRESS).and_then(|it| decode_xor_address(it, request.header()));
        let allowed = peer.is_some_and(|peer| self.peers.allows(self.rules.policy, peer));
        let allocation = self.of_client(client, now).unwrap();
        if !allocation.is_tcp {
            refused(client, request, proven, &[437], out);
            return;
        }
        let Some(peer) = peer else {
            refused(client, request, proven, &[400], out);
            return;
        };
        let mut codes = Vec::new();
        let relay = allocation.relay(peer.ip(), now);
        if relay.is_none() {
            codes.push(443);
        }
        if !allowed {
            codes.push(403);
        }
        if allocation.live_connections(now).any(|connection| connection.peer == peer) {
            codes.push(446);
        }
        if allocation.live_connections(now).count() >= limit {
            codes.push(508);
        }
        if !codes.is_empty() {
            refused(client, request, proven, &codes, out);
            return;
        }
        let relay = relay.unwrap().id;
        let id = out.take_first(|output| match output {
            Owned::ConnectPeer { connection, relay: from, peer: to } if (*from, *to) == (relay, peer) => {
                Some(*connection)
            }
            _ => None,
        });
        let Some(id) = id else { panic!("no connection is asked for, but {:?}", out.list) };
        let (request, proven) = (request.bytes().to_vec(), proven.clone());
        let stage = Stage::Connecting { request, proven, until: now + TIMEOUT_MS };
        allocation.connections.push(Connection { id, peer, stage });
    }

    pub(super) fn connection_bind(
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
        let is_control = self.of_client(client, now).is_some();
        let named = request.get(A::CONNECTION_ID).and_then(|id| id.try_into().ok()).map(u32::from_be_bytes);
        let mut all = self.allocations.iter_mut().filter(|allocation| allocation.is_live(now));
        let found = all.find_map(|allocation| {
            let Allocation { connections, user, relays, .. } = allocation;
            let of = |connection: &&mut Connection| {
                Some(connection.id.0) == named
                    && matches!(connection.stage, Stage::Pending { until } if now < until)
                    && relays[usize::from(connection.peer.is_ipv6())].is_some_and(|relay| now < relay.until)
            };
            connections.iter_mut().find(of).map(|connection| (connection, &*user))
        });
        let Some((connection, user)) = found.filter(|_| client.is_stream()) else {
            refused(client, request, proven, &[400], out);
            return;
        };
        if is_control {
            refused(client, request, proven, &[437], out);
            return;
        }
        if *user != proven.name {
            refused(client, request, proven, &[441], out);
            return;
        }
        connection.stage = Stage::Bound { client };
        let connection = connection.id;
        succeeded(client, request, proven, out);
        out.take(&Owned::Splice { client, connection });
    }

    /// The driver has connected, or could not.
    pub fn peer_connected(
        &mut self,
        now: u64,
        id: ConnectionId,
        result: Result<(), ConnectError>,
        out: &mut Outputs,
        network: &mut Network,
    ) {
        self.see(out);
        self.settle(now, out, network);
        let connection = self.allocations.iter_mut().find_map(|allocation| {
            let connection = allocation.connections.iter_mut().find(|connection| connection.id == id)?;
            matches!(connection.stage, Stage::Connecting { .. }).then_some(connection)
        });
        match (connection, result) {
            (Some(connection), Ok(())) => {
                let pending = Stage::Pending { until: now + TIMEOUT_MS };
                let Stage::Connecting { request, proven, .. } =
                    std::mem::replace(&mut connection.stage, pending)
                else {
                    unreachable!()
                };
                let answer = self.answer_connect(id, &request, &proven, None, out);
                let answer = Message::parse(&answer).unwrap();
                assert_eq!(number(&answer, A::CONNECTION_ID), Some(id.0.into()));
            }
            (Some(_), Err(error)) => {
                let code = if error == ConnectError::Failed { 447 } else { 508 };
                self.end_connection(id, Some(code), out);
            }
            // It comes too late, unless it is told twice.
            (None, Ok(())) => {
                if self.owner_of(id).is_none() {
                    self.seen.deed("connected too late");
                    out.take(&Owned::ClosePeer { connection: id });
                }
            }
            (None, Err(_)) => {}
        }
        self.finish(now, out, network);
    }

    /// A peer has connected to a relay address.
    pub fn peer_accepted(
        &mut self,
        now: u64,
        relay: RelayId,
        peer: SocketAddr,
        out: &mut Outputs,
        network: &mut Network,
    ) {
        self.see(out);
        self.settle(now, out, network);
        let (limit, allowed) = (self.rules.connections, self.peers.allows(self.rules.policy, peer));
        let allocation = self.allocations.iter_mut().find(|allocation| allocation.id == relay.allocation);
        if let Some(allocation) = allocation
            && allocation.is_tcp
            && allowed
            && allocation.relay(peer.ip(), now).is_some_and(|own| own.id == relay)
            && allocation.is_permitted(peer.ip(), now)
            && allocation.live_connections(now).all(|connection| connection.peer != peer)
            && allocation.live_connections(now).count() < limit
        {
            let id = out.take_first(|output| match output {
                Owned::KeepPeer { connection } => Some(*connection),
                _ => None,
            });
            let Some(id) = id else { panic!("{peer} is turned away") };
            let client = allocation.client;
            let stage = Stage::Pending { until: now + TIMEOUT_MS };
            allocation.connections.push(Connection { id, peer, stage });
            let bytes = out.take_first(|output| match output {
                Owned::ToClient { client: to, bytes } if *to == client => Some(bytes.clone()),
                _ => None,
            });
            let bytes = bytes.expect("the client is told");
            let told = Message::parse(&bytes).unwrap();
            assert_eq!(
                (told.header().class, told.header().method),
                (Class::Indication, Method::CONNECTION_ATTEMPT)
            );
            assert_eq!(number(&told, A::CONNECTION_ID), Some(id.0.into()));
            let about = told.get(A::XOR_PEER_ADDRESS).and_then(|it| decode_xor_address(it, told.header()));
            assert_eq!(about, Some(peer));
        }
        self.finish(now, out, network);
    }

    /// A peer is gone.
    pub fn peer_gone(&mut self, now: u64, id: ConnectionId, out: &mut Outputs, network: &mut Network) {
        self.see(out);
        if self.owner_of(id).is_some() {
            self.end_connection(id, Some(447), out);
        }
        self.finish(now, out, network);
    }

    /// Whether a client's connection is a peer's now.
    pub fn is_bound(&self, client: FiveTuple) -> bool {
        let mut all = self.allocations.iter().flat_map(|allocation| &allocation.connections);
        all.any(|connection| matches!(connection.stage, Stage::Bound { client: of } if of == client))
    }

    /// The allocation whose credentials a request must have.
    pub(super) fn subject(
        &mut self,
        client: FiveTuple,
        request: &Message<'_>,
        now: u64,
    ) -> Option<&mut Allocation> {
        if request.header().method != Method::CONNECTION_BIND || self.of_client(client, now).is_some() {
            return self.of_client(client, now);
        }
        let id = u32::from_be_bytes(request.get(A::CONNECTION_ID)?.try_into().ok()?);
        let mut all = self.allocations.iter_mut().filter(|allocation| allocation.is_live(now));
        all.find(|allocation| allocation.live_connections(now).any(|connection| connection.id.0 == id))
    }

    pub(super) fn data_disconnected(&mut self, client: FiveTuple, out: &mut Outputs) {
        let bound = |connection: &Connection| {
            matches!(connection.stage, Stage::Bound { client: of } if of == client).then_some(connection.id)
        };
        let mut all = self.allocations.iter().flat_map(|allocation| &allocation.connections);
        if let Some(id) = all.find_map(bound) {
            let connection = self.owner_of(id).unwrap().take_connection(id).unwrap();
            out.take(&Owned::ClosePeer { connection: connection.id });
        }
    }

    /// Takes what may happen at any time: the end of connections that have waited too long.
    pub(super) fn settle_connections(&mut self, now: u64, out: &mut Outputs) {
        let all = self.allocations.iter().flat_map(|allocation| &allocation.connections);
        let over: Vec<_> = all.filter(|connection| connection.is_over(now)).map(|it| it.id).collect();
        for id in over {
            if out.list.contains(&Owned::ClosePeer { connection: id }) {
                self.end_connection(id, Some(447), out);
            }
        }
    }

    pub(super) fn end_connections_of(&mut self, relay: RelayId, out: &mut Outputs) {
        let Some(allocation) = self.allocations.iter().find(|allocation| allocation.has(relay)) else {
            return;
        };
        let family = |connection: &&Connection| super::family_of(connection.peer.is_ipv6()) == relay.family;
        let ids: Vec<_> = allocation.connections.iter().filter(family).map(|it| it.id).collect();
        for id in ids {
            self.end_connection(id, Some(447), out);
        }
    }

    pub(super) fn end_forbidden_connections(&mut self, now: u64, out: &mut Outputs) {
        self.settle_connections(now, out);
        let all = self.allocations.iter().flat_map(|allocation| &allocation.connections);
        let forbidden = all.filter(|connection| !self.peers.allows(self.rules.policy, connection.peer));
        let ids: Vec<_> = forbidden.map(|connection| connection.id).collect();
        for id in ids {
            self.end_connection(id, Some(403), out);
        }
    }

    /// A connection must end now; who waits for it is told this code.
    fn end_connection(&mut self, id: ConnectionId, code: Option<u16>, out: &mut Outputs) {
        out.take(&Owned::ClosePeer { connection: id });
        let stage = &self.owner_of(id).unwrap().connections.iter().find(|it| it.id == id).unwrap().stage;
        match stage {
            Stage::Connecting { request, proven, .. } => {
                let (request, proven) = (request.clone(), proven.clone());
                // Unless there is nobody left to be told.
                let client = self.owner_of(id).map(|owner| owner.client);
                let is_told = self.gone != client;
                if let Some(code) = code.filter(|_| is_told) {
                    self.answer_connect(id, &request, &proven, Some(code), out);
                }
            }
            Stage::Pending { .. } => {}
            Stage::Bound { client } => out.take(&Owned::CloseClient { client: *client }),
        }
        self.owner_of(id).unwrap().take_connection(id);
    }

    fn answer_connect(
        &mut self,
        id: ConnectionId,
        request: &[u8],
        proven: &Proven,
        code: Option<u16>,
        out: &mut Outputs,
    ) -> Vec<u8> {
        let client = self.owner_of(id).unwrap().client;
        let request = Message::parse(request).unwrap();
        match code {
            Some(code) => refused(client, &request, proven, &[code], out),
            None => succeeded(client, &request, proven, out),
        }
    }

    fn owner_of(&mut self, id: ConnectionId) -> Option<&mut Allocation> {
        let has = |allocation: &&mut Allocation| allocation.connections.iter().any(|it| it.id == id);
        self.allocations.iter_mut().find(has)
    }
}
