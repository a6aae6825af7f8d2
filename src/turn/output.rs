//! What the relay asks its driver to do.

use std::net::SocketAddr;

use super::Family;
use super::connection_id::ConnectionId;
use super::event::Event;
use super::five_tuple::FiveTuple;
use super::verdict::QueryId;
use crate::wire::ChannelNumber;

/// Everything the relay asks its driver to do, in order. `'a` is the datagram that came in, so payloads are
/// never copied; `'s` lasts only for the call-back.
#[derive(Clone, Copy, Debug)]
pub enum Output<'a, 's> {
    /// Send a datagram to a client from the listener it talks to, or a message over its connection: `head`,
    /// `payload`, and `padding` zero bytes. Answers are all head, ChannelData has a head of four bytes.
    ToClient {
        /// Whom to send it to.
        client: FiveTuple,
        /// What stands before the payload.
        head: &'s [u8],
        /// Bytes from the datagram that came in.
        payload: &'a [u8],
        /// Zero bytes behind the payload, at most three.
        padding: u8,
    },
    /// Close the connection of a stream client as soon as what it was sent before is out, and say so with
    /// [`super::Input::ClientGone`].
    CloseClient {
        /// Whose.
        client: FiveTuple,
    },
    /// Send a datagram to a peer from a relay socket.
    ToPeer {
        /// The relay socket.
        relay: RelayId,
        /// Whom to send it to.
        peer: SocketAddr,
        /// The payload, from the datagram that came in.
        bytes: &'a [u8],
        /// Whether the DF bit must be set (RFC 8656 §14).
        dont_fragment: bool,
    },
    /// Open a relay socket and say so with [`super::Input::RelayOpened`].
    OpenRelay {
        /// How the socket will be called.
        relay: RelayId,
        /// For whom it is.
        client: FiveTuple,
        /// Which ports will do.
        port: PortRequest,
        /// Whether it sends datagrams or listens for connections.
        transport: RelayTransport,
    },
    /// Close a relay socket; its port is free again. Connections from it are told of by themselves.
    CloseRelay {
        /// Which one.
        relay: RelayId,
    },
    /// Connect to a peer from a relay address, and say so with [`super::Input::PeerConnected`]. Nothing of what the peer
    /// sends is read before [`Self::Splice`].
    ConnectPeer {
        /// How the connection will be called.
        connection: ConnectionId,
        /// The relay address it must come from.
        relay: RelayId,
        /// Whom to connect to.
        peer: SocketAddr,
    },
    /// Keep the connection that [`super::Input::PeerAccepted`] tells of.
    KeepPeer {
        /// How it will be called.
        connection: ConnectionId,
    },
    /// Close a connection to a peer. That need not be told.
    ClosePeer {
        /// Which one.
        connection: ConnectionId,
    },
    /// From here on pass the bytes of a client connection and of a peer connection to each other: on the client's side all
    /// that stands behind the message that was answered, on the peer's all there is. How much at a time,
    /// [`super::Relay::pass`] says.
    Splice {
        /// The client's side.
        client: FiveTuple,
        /// The peer's side.
        connection: ConnectionId,
    },
    /// Hand a client connection to another worker, with the message that came in and all that stands behind it. This
    /// relay has kept nothing of it.
    HandOver {
        /// Whose connection.
        client: FiveTuple,
        /// The number of the worker.
        worker: u16,
    },
    /// A channel was bound, or bound again: until `ChannelDown` a kernel path may relay it.
    ChannelUp {
        /// The relay socket it leads to.
        relay: RelayId,
        /// The client's side.
        client: FiveTuple,
        /// Its number.
        channel: ChannelNumber,
        /// The peer's side.
        peer: SocketAddr,
    },
    /// A channel is gone.
    ChannelDown {
        /// The relay socket it led to.
        relay: RelayId,
        /// The client's side.
        client: FiveTuple,
        /// Its number.
        channel: ChannelNumber,
        /// The peer's side.
        peer: SocketAddr,
    },
    /// Ask somebody outside about a user, and say so with [`super::Input::KeyFound`]. Only where
    /// [`super::Settings::asks`] is set.
    FindKey {
        /// How the question will be called.
        query: QueryId,
        /// Who claims to be the user.
        client: FiveTuple,
        /// The user name as the client sent it.
        user: &'s str,
    },
    /// Something that operators want to know.
    Event(Event<'s>),
}

/// Names an allocation: its place in the table, and which of the allocations that were ever in that place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AllocationId {
    /// The place.
    pub index: u32,
    /// Tells a late message for an earlier allocation from one for this.
    pub generation: u32,
}

/// Names a relay socket: a dual allocation has one of each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RelayId {
    /// Whose it is.
    pub allocation: AllocationId,
    /// Which of the two.
    pub family: Family,
}

/// What goes between a relay address and its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelayTransport {
    /// Datagrams (RFC 8656).
    Udp,
    /// Connections (RFC 6062).
    Tcp,
}

/// Stands for a reserved port (RFC 8656 §18.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReservationToken(pub [u8; 8]);

/// Which relay ports will do for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortRequest {
    /// All.
    Any,
    /// Even ones (RFC 8656 §18.6, R=0).
    Even,
    /// Even ones whose next is free and will be kept for a later allocation (R=1).
    EvenAndReserveNext,
    /// The one that was kept under this token.
    Reserved(ReservationToken),
}
