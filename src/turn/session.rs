//! Allocations as operators see them: what they are at one moment, and ending them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Family;
use super::allocation::Allocation;
use super::connection::State;
use super::event::{EndReason, Traffic};
use super::five_tuple::FiveTuple;
use super::output::{AllocationId, Output, RelayTransport};
use super::relay::Relay;
use super::time::{Millis, Now};
use crate::wire::ChannelNumber;

/// One allocation at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Which one, among those of its relay.
    pub id: AllocationId,
    /// Whose it is.
    pub client: FiveTuple,
    /// The user name as the client sent it.
    pub user: Box<str>,
    /// The part of it that stays when the credential is renewed.
    pub user_id: Box<str>,
    /// Whether it relays datagrams or connections.
    pub transport: RelayTransport,
    /// Its relay addresses as peers see them.
    pub relays: [Option<SocketAddr>; 2],
    /// How long it has lasted.
    pub age: Duration,
    /// How long it lasts yet, unless refreshed.
    pub left: Duration,
    /// How long its credential is good yet; `None` when that does not expire.
    pub credential_left: Option<Duration>,
    /// What went through it.
    pub traffic: Traffic,
    /// How long the client has been silent: nothing of it was relayed.
    pub client_silent: Duration,
    /// The same of all peers together.
    pub peers_silent: Duration,
    /// How many peer addresses are permitted.
    pub permissions: usize,
    /// How many channels are bound.
    pub channels: usize,
    /// How many connections to peers there are.
    pub connections: usize,
}

/// One allocation with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionDetail {
    /// The allocation.
    pub session: Session,
    /// Who may talk.
    pub permissions: Vec<SessionPermission>,
    /// By which short names.
    pub channels: Vec<SessionBinding>,
    /// The connections of a TCP allocation.
    pub connections: Vec<SessionConnection>,
}

/// A peer address that may talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionPermission {
    /// Which address.
    pub peer: IpAddr,
    /// How much longer.
    pub left: Duration,
}

/// A channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionBinding {
    /// Its number.
    pub channel: ChannelNumber,
    /// Whom it stands for.
    pub peer: SocketAddr,
    /// How much longer.
    pub left: Duration,
}

/// A connection to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConnection {
    /// Whom it leads to.
    pub peer: SocketAddr,
    /// How far it has come: "connecting", "pending" (for its client) or "bound".
    pub state: &'static str,
}

impl Relay {
    /// The allocations in up to `places` places of the table, and the place to go on from. Who wants all asks several
    /// times, so that packets are not held up.
    pub fn sessions(&self, now: Now, from: u32, places: u32) -> (Vec<Session>, Option<u32>) {
        let (found, next) = self.table.part(from, places);
        (found.filter_map(|(id, allocation)| allocation.session(id, now.mono)).collect(), next)
    }

    /// One allocation with all it has.
    pub fn session(&mut self, now: Now, id: AllocationId) -> Option<SessionDetail> {
        let allocation = self.table.get(id)?;
        let session = allocation.session(id, now.mono)?;
        let connections = allocation.connections.iter().flat_map(|connections| connections.iter());
        Some(SessionDetail {
            session,
            permissions: allocation
                .permissions
                .live(now.mono)
                .map(|(peer, until)| SessionPermission { peer, left: until.since(now.mono) })
                .collect(),
            channels: allocation
                .channels
                .live(now.mono)
                .map(|(channel, peer, until)| SessionBinding { channel, peer, left: until.since(now.mono) })
                .collect(),
            connections: connections
                .map(|connection| SessionConnection {
                    peer: connection.peer,
                    state: match connection.state {
                        State::Connecting { .. } => "connecting",
                        State::Pending { .. } => "pending",
                        State::Bound { .. } => "bound",
                    },
                })
                .collect(),
        })
    }

    /// Ends one allocation because an operator wants it; says whether it was there.
    pub fn kick(&mut self, now: Now, id: AllocationId, out: &mut impl FnMut(Output<'static, '_>)) -> bool {
        let is_there = self.table.get(id).is_some();
        self.end(now.mono, id, EndReason::Kicked, out);
        is_there
    }

    /// Ends all allocations of a credential or a user, by the whole name or the part of it that stays; says how many.
    pub fn end_user(
        &mut self,
        now: Now,
        name: &str,
        reason: EndReason,
        out: &mut impl FnMut(Output<'static, '_>),
    ) -> usize {
        let mut ended = 0;
        for id in self.table.ids() {
            let Self { table, authenticator, .. } = self;
            // Somebody outside may have given the user another name than the one in the credential.
            let is_it = |allocation: &mut Allocation| {
                let user = &allocation.user;
                [user.name(), user.id(), authenticator.user_id(user.name())].contains(&name)
            };
            if table.get(id).is_some_and(is_it) {
                self.end(now.mono, id, reason, out);
                ended += 1;
            }
        }
        ended
    }
}

impl Allocation {
    /// `None` while its relay sockets are being opened: nobody knows of it yet.
    fn session(&self, id: AllocationId, now: Millis) -> Option<Session> {
        if self.opening.is_some() {
            return None;
        }
        let until = self.relays.iter().map(|(_, relay)| relay.expires).max()?;
        Some(Session {
            id,
            client: self.client,
            user: self.user.name().into(),
            user_id: self.user.id().into(),
            transport: if self.connections.is_some() { RelayTransport::Tcp } else { RelayTransport::Udp },
            relays: [Family::V4, Family::V6].map(|family| self.relays.get(family).map(|relay| relay.address)),
            age: now.since(self.began),
            left: until.since(now),
            credential_left: self.credential_expires.map(|end| end.since(now)),
            traffic: self.traffic,
            client_silent: now.since(self.heard.up),
            peers_silent: now.since(self.heard.down),
            permissions: self.permissions.live(now).count(),
            channels: self.channels.live(now).count(),
            connections: self.connections.as_ref().map_or(0, |connections| connections.len()),
        })
    }
}
