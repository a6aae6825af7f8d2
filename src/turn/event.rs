//! What the relay reports for logs, metrics and accounting.

use std::net::SocketAddr;
use std::time::Duration;

use super::five_tuple::FiveTuple;
use super::output::AllocationId;
use super::refusal::Denial;
use crate::wire::Method;

/// Something that operators want to know. One per life cycle step or refusal, never one per packet.
#[derive(Clone, Copy, Debug)]
pub enum Event<'s> {
    /// A client got a relay address.
    Began {
        /// The allocation.
        allocation: AllocationId,
        /// Whose it is.
        client: FiveTuple,
        /// The user name as the client sent it.
        user: &'s str,
        /// The part of it that stays when the credential is renewed.
        user_id: &'s str,
        /// The relay address as peers see it.
        relay: SocketAddr,
        /// The relay address of the other family, in a dual allocation.
        additional: Option<SocketAddr>,
        /// How long it lasts unless refreshed.
        lifetime: Duration,
    },
    /// An allocation is gone.
    Ended {
        /// The allocation.
        allocation: AllocationId,
        /// Whose it was.
        client: FiveTuple,
        /// The user name as the client sent it.
        user: &'s str,
        /// The part of it that stays when the credential is renewed.
        user_id: &'s str,
        /// The relay address as peers saw it.
        relay: SocketAddr,
        /// Why it ended.
        reason: EndReason,
        /// How long it lasted.
        age: Duration,
        /// What went through it.
        traffic: Traffic,
    },
    /// A request was refused, mostly for a reason the client is not told in full.
    Refused {
        /// Who asked.
        client: FiveTuple,
        /// The user it is, or the name it gave if it did not prove to be anybody.
        user: Option<&'s str>,
        /// What it asked for.
        method: Method,
        /// Why not.
        denial: Denial,
        /// The same in the words of whoever decided, where that was somebody outside.
        words: Option<&'s str>,
        /// The peer it asked for, where that is the reason.
        peer: Option<SocketAddr>,
    },
}

/// Why an allocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The client said so: a Refresh with a lifetime of 0.
    Released,
    /// The client stopped refreshing it.
    Expired,
    /// The client's connection is closed.
    Disconnected,
    /// The server stops.
    Stopped,
    /// An operator ended it.
    Kicked,
    /// Its credential was revoked, or its user is not known any more.
    Revoked,
}

impl EndReason {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Released, Self::Expired, Self::Disconnected, Self::Stopped, Self::Kicked, Self::Revoked];

    /// The reason in a log line or a metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Disconnected => "disconnected",
            Self::Stopped => "stopped",
            Self::Kicked => "kicked",
            Self::Revoked => "revoked",
        }
    }
}

/// What went through an allocation, payload bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the client to its peers.
    pub up: Flow,
    /// From peers to the client.
    pub down: Flow,
}

/// Which way a payload goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to its peers.
    Up,
    /// From peers to the client.
    Down,
}

impl Traffic {
    #[inline]
    pub(super) fn flow(&mut self, direction: Direction) -> &mut Flow {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }
}

/// One direction of an allocation's traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Datagrams relayed.
    pub packets: u64,
    /// Payload bytes relayed.
    pub bytes: u64,
    /// Datagrams dropped: no permission, no bandwidth left.
    pub dropped: u64,
}
