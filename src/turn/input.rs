//! What can happen to the relay.

use std::net::SocketAddr;

use super::connection_id::ConnectionId;
use super::five_tuple::FiveTuple;
use super::output::{RelayId, ReservationToken};
use super::verdict::{QueryId, Verdict};

/// Everything that can happen to the relay. Time comes beside it; it is never read inside.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A datagram arrived on a listener, or a message over a connection to one.
    FromClient {
        /// Who sent it, and on which listener.
        client: FiveTuple,
        /// The whole datagram; of a stream one whole message, the padding of ChannelData left off or not.
        bytes: &'a [u8],
    },
    /// A datagram arrived on a relay socket.
    FromPeer {
        /// Which relay socket.
        relay: RelayId,
        /// Who sent it.
        peer: SocketAddr,
        /// Its payload.
        bytes: &'a [u8],
    },
    /// The answer to [`super::Output::OpenRelay`].
    RelayOpened {
        /// Which relay socket was asked for.
        relay: RelayId,
        /// Its address, or why there is none.
        result: Result<OpenedRelay, OpenError>,
    },
    /// The network says that a datagram of ours did not reach its peer (RFC 8656 §11.5).
    PeerUnreachable {
        /// The relay socket it was sent from.
        relay: RelayId,
        /// Whom it was sent to.
        peer: SocketAddr,
        /// What the ICMP packet said.
        icmp: Icmp,
    },
    /// The answer to [`super::Output::ConnectPeer`].
    PeerConnected {
        /// Which connection was asked for.
        connection: ConnectionId,
        /// Whether there is one.
        result: Result<(), ConnectError>,
    },
    /// A peer has connected to a relay address. Unless [`super::Output::KeepPeer`] is among the outputs, its connection
    /// must be closed.
    PeerAccepted {
        /// Which relay address.
        relay: RelayId,
        /// Who it is.
        peer: SocketAddr,
    },
    /// A connection to a peer is closed, by whomever, and nothing more of it will come.
    PeerGone {
        /// Which one.
        connection: ConnectionId,
    },
    /// The answer to [`super::Output::FindKey`].
    KeyFound {
        /// Which question.
        query: QueryId,
        /// What was decided.
        verdict: &'a Verdict,
    },
    /// The connection of a client over TCP or TLS is closed, by whomever.
    ClientGone {
        /// Whose it was.
        client: FiveTuple,
    },
}

/// A relay socket that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenedRelay {
    /// Its address as peers see it, which behind a 1:1 NAT is not the one it is bound to.
    pub address: SocketAddr,
    /// The token of the port above it, where [`super::PortRequest::EvenAndReserveNext`] was asked for.
    pub reservation: Option<ReservationToken>,
}

/// Why a relay socket could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The host has no relay address of this family.
    FamilyUnsupported,
    /// No port is left.
    NoCapacity,
    /// The system does not give a socket: no descriptor is left, or something else is in the way.
    NoSocket,
    /// The reservation token is unknown, used, expired, or of a family that the host has no relay address of.
    TokenUnknown,
}

/// Why there is no connection to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The peer refused it or did not answer, or there is no way to it.
    Failed,
    /// No descriptor is left.
    NoCapacity,
}

/// An ICMP error as the ICMP attribute tells it (RFC 8656 §18.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// Its type.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// The next hop's MTU where the type has one.
    pub data: u32,
}
