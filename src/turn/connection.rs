//! Connections to the peers of TCP allocations (RFC 6062 §5), from their beginning to any of their ends.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use foldhash::fast::FixedState;

use super::Family;
use super::answer::{Addressee, Proof, Seal, Sink};
use super::connection_id::ConnectionId;
use super::event::Event;
use super::five_tuple::FiveTuple;
use super::output::{AllocationId, Output};
use super::refusal::{Denial, Refusal};
use super::relay::Relay;
use super::time::{Millis, Now};
use crate::auth::Key;

/// RFC 6062 §5.2: at least 30 seconds to connect.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// RFC 6062 §5.2, §5.3: 30 seconds to the ConnectionBind request.
pub(super) const BIND_TIMEOUT: Duration = Duration::from_secs(30);

/// The connections of one TCP allocation. They are few, so all searches go from end to end.
#[derive(Debug, Default)]
pub(super) struct Connections {
    list: Vec<Connection>,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) peer: SocketAddr,
    pub(super) state: State,
}

/// How far a connection has come.
#[derive(Debug)]
pub(super) enum State {
    /// The Connect request is answered when the peer has.
    Connecting { request: Waiting, until: Millis },
    /// There is a peer data connection, and no client data connection yet.
    Pending { until: Millis },
    /// Bytes flow between the peer and this client connection.
    Bound { client: FiveTuple },
}

/// A Connect request that waits for its peer.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) addressee: Addressee,
    /// What it was made with; later requests may come with another.
    pub(super) key: Key,
    pub(super) seal: Seal,
}

impl Waiting {
    pub(super) fn proof(&self) -> Proof<'_> {
        Proof::Key(&self.key, self.seal)
    }
}

/// Finds connections by what the driver and clients call them.
#[derive(Debug)]
pub(super) struct ConnectionIndex {
    by_id: HashMap<ConnectionId, AllocationId, FixedState>,
    /// By the client data connection.
    by_client: HashMap<FiveTuple, ConnectionId, FixedState>,
}

impl Connections {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.list.iter()
    }

    pub(super) fn has_peer(&self, peer: SocketAddr) -> bool {
        self.list.iter().any(|connection| connection.peer == peer)
    }

    pub(super) fn get(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.list.iter_mut().find(|connection| connection.id == id)
    }

    /// When the first of them has waited long enough.
    pub(super) fn next_expiry(&self) -> Option<Millis> {
        self.list.iter().filter_map(|connection| connection.state.until()).min()
    }

    fn take_first(&mut self, is_over: impl Fn(&Connection) -> bool) -> Option<Connection> {
        let place = self.list.iter().position(is_over)?;
        Some(self.list.swap_remove(place))
    }
}

impl State {
    /// Until when it may stay like this.
    pub(super) const fn until(&self) -> Option<Millis> {
        match self {
            Self::Connecting { until, .. } | Self::Pending { until } => Some(*until),
            Self::Bound { .. } => None,
        }
    }
}

impl ConnectionIndex {
    /// `seed` keeps strangers from choosing addresses that meet in one bucket.
    pub(super) fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self { by_id: HashMap::with_hasher(hasher.clone()), by_client: HashMap::with_hasher(hasher) }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whose connection this is.
    pub(super) fn allocation(&self, id: ConnectionId) -> Option<AllocationId> {
        self.by_id.get(&id).copied()
    }

    /// The peer connection that a client connection carries the data of.
    pub(super) fn of_client(&self, client: FiveTuple) -> Option<ConnectionId> {
        self.by_client.get(&client).copied()
    }

    pub(super) fn bind(&mut self, client: FiveTuple, id: ConnectionId) {
        self.by_client.insert(client, id);
    }

    /// Forgets a client data connection.
    fn unbind(&mut self, client: FiveTuple) -> Option<ConnectionId> {
        let name = self.by_client.remove(&client);
        if self.by_client.is_empty() {
            self.by_client.shrink_to_fit();
        }
        name
    }

    fn forget(&mut self, name: ConnectionId) {
        self.by_id.remove(&name);
        // A crowd that has left leaves its room behind.
        if self.by_id.is_empty() {
            self.by_id.shrink_to_fit();
        }
    }
}

impl Relay {
    /// Gives a new connection of a TCP allocation its name.
    pub(super) fn add_connection(
        &mut self,
        id: AllocationId,
        peer: SocketAddr,
        state: State,
    ) -> Option<ConnectionId> {
        let connections = self.table.get(id)?.connections.as_deref_mut()?;
        let name = loop {
            let name = self.connection_ids.next();
            // Names come back one day, and one of the old ones may still be in use.
            if self.connections.allocation(name).is_none() {
                break name;
            }
        };
        connections.list.push(Connection { id: name, peer, state });
        self.connections.by_id.insert(name, id);
        self.schedule(id);
        Some(name)
    }

    /// The connection of this name and whose it is.
    pub(super) fn connection(&mut self, name: ConnectionId) -> Option<(AllocationId, &mut Connection)> {
        let id = self.connections.allocation(name)?;
        let connection = self.table.get(id)?.connections.as_deref_mut()?.get(name)?;
        Some((id, connection))
    }

    /// The peer, or the way to it, is no more (RFC 6062 §5.5).
    pub(super) fn peer_gone(&mut self, name: ConnectionId, out: Sink<'_, '_>) {
        self.connect_failed(name, Refusal::ConnectionFailed, out);
    }

    /// A Connect request comes to nothing.
    pub(super) fn connect_failed(&mut self, name: ConnectionId, refusal: Refusal, out: Sink<'_, '_>) {
        if let Some(id) = self.connections.allocation(name) {
            self.end_connections(id, Some(refusal), |connection| connection.id == name, out);
        }
    }

    /// A client data connection is closed; whether it was one (RFC 6062 §5.5).
    pub(super) fn data_client_gone(&mut self, client: FiveTuple, out: Sink<'_, '_>) -> bool {
        let Some(name) = self.connections.unbind(client) else { return false };
        if let Some(id) = self.connections.allocation(name) {
            self.end_connections(id, None, |connection| connection.id == name, out);
        }
        true
    }

    /// Ends what has waited too long for its peer, or for its client.
    pub(super) fn end_overdue_connections(&mut self, now: Millis, id: AllocationId, out: Sink<'_, '_>) {
        let is_over = |connection: &Connection| connection.state.until().is_some_and(|until| until <= now);
        self.end_connections(id, Some(Refusal::ConnectionFailed), is_over, out);
    }

    /// Ends what the present policy forbids.
    pub(super) fn rejudge_connections(&mut self, id: AllocationId, out: Sink<'_, '_>) {
        let settings = self.settings.clone();
        let terms = self.table.get(id).and_then(|allocation| allocation.terms.clone());
        let terms = terms.as_deref().and_then(|terms| terms.peers.as_ref());
        let is_forbidden = |connection: &Connection| settings.peers.judge(connection.peer, terms).is_err();
        self.end_connections(id, Some(Refusal::Forbidden), is_forbidden, out);
    }

    /// Ends all connections from a relay address.
    pub(super) fn end_connections_of(
        &mut self,
        id: AllocationId,
        family: Family,
        refusal: Option<Refusal>,
        out: Sink<'_, '_>,
    ) {
        self.end_connections(id, refusal, |connection| Family::of(connection.peer.ip()) == family, out);
    }

    /// Ends some connections of an allocation. A Connect request that still waits is refused, if there is anybody left
    /// to be told.
    fn end_connections(
        &mut self,
        id: AllocationId,
        refusal: Option<Refusal>,
        is_over: impl Fn(&Connection) -> bool,
        out: Sink<'_, '_>,
    ) {
        while let Some(allocation) = self.table.get(id)
            && let Some(connections) = allocation.connections.as_deref_mut()
            && let Some(ended) = connections.take_first(&is_over)
        {
            self.connections.forget(ended.id);
            out(Output::ClosePeer { connection: ended.id });
            match ended.state {
                State::Connecting { request, .. } => {
                    if let Some(refusal) = refusal {
                        let method = request.addressee.header.method;
                        self.counters.refuse(method, refusal);
                        // Whoever ended it for want of something of ours has told so.
                        if refusal != Refusal::InsufficientCapacity {
                            let (client, user) = (allocation.client, Some(allocation.user.name()));
                            let (denial, peer) = (Denial::Request(refusal), Some(ended.peer));
                            out(Output::Event(Event::Refused {
                                client,
                                user,
                                method,
                                denial,
                                words: None,
                                peer,
                            }));
                        }
                        request.addressee.refuse(refusal, request.proof(), out, |writer| writer);
                    }
                }
                State::Pending { .. } => {}
                State::Bound { client } => {
                    // Unless it is gone: its 5-tuple may be somebody else's.
                    if self.connections.unbind(client).is_some() {
                        out(Output::CloseClient { client });
                    }
                }
            }
        }
    }

    /// Ends a connection that has waited too long, or whose relay address is over, although its sweep is still to come.
    pub(super) fn end_if_overdue(&mut self, now: Now, name: ConnectionId, out: Sink<'_, '_>) {
        if let Some(id) = self.connections.allocation(name) {
            self.end_if_over(now, id, out);
        }
        if let Some((id, connection)) = self.connection(name)
            && connection.state.until().is_some_and(|until| until <= now.mono)
        {
            self.end_overdue_connections(now.mono, id, out);
        }
    }
}
