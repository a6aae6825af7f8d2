//! What the relay counts, for metrics. Plain numbers, written by one thread.

use super::event::Flow;

/// Counts since the start. Payload bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Relayed from clients to peers.
    pub up: Flow,
    /// Relayed from peers to clients.
    pub down: Flow,
    /// Binding requests answered.
    pub bindings: u64,
    /// Requests that succeeded, Binding aside.
    pub successes: u64,
    /// Requests that were refused with an error answer.
    pub refusals: u64,
    /// Answers not given because the source had drawn its share.
    pub suppressed: u64,
    /// Datagrams from clients that led to nothing, by reason.
    pub drops: [u64; DropReason::ALL.len()],
}

/// Why a datagram led to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Neither STUN nor ChannelData.
    NotStun,
    /// STUN or ChannelData that cannot be read.
    Malformed,
    /// A method or class that no client sends to a server.
    UnknownMethod,
    /// From port 0, from an address of many, or from our own.
    ForgedSource,
    /// For an allocation that is not there.
    NoAllocation,
    /// For a channel that is not bound.
    NoChannel,
    /// No permission for the peer.
    NoPermission,
    /// The peer's port may not be relayed to.
    Forbidden,
    /// The allocation's or the server's bandwidth is used up.
    Bandwidth,
    /// Too long to be wrapped for the client, or for a datagram to the peer.
    TooLong,
    /// A peer's connection that its allocation has no room for.
    Connections,
}

impl DropReason {
    /// All of them, in the order of [`Counters::drops`].
    pub const ALL: [Self; 11] = [
        Self::NotStun,
        Self::Malformed,
        Self::UnknownMethod,
        Self::ForgedSource,
        Self::NoAllocation,
        Self::NoChannel,
        Self::NoPermission,
        Self::Forbidden,
        Self::Bandwidth,
        Self::TooLong,
        Self::Connections,
    ];

    /// The reason in a metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotStun => "not-stun",
            Self::Malformed => "malformed",
            Self::UnknownMethod => "unknown-method",
            Self::ForgedSource => "forged-source",
            Self::NoAllocation => "no-allocation",
            Self::NoChannel => "no-channel",
            Self::NoPermission => "no-permission",
            Self::Forbidden => "forbidden",
            Self::Bandwidth => "bandwidth",
            Self::TooLong => "too-long",
            Self::Connections => "connections",
        }
    }
}

impl Counters {
    /// Counts one dropped datagram.
    pub(super) fn drop_one(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }

    /// How many datagrams were dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }
}
