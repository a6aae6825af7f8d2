//! Which of a worker's sockets.

/// Names one of a worker's sockets in 32 bits: a listener by its number, a relay socket by its place in the table.
///
/// It is not a descriptor: it is looked up when something is sent, so that a socket closed in between is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketId(u32);

/// What a [`SocketId`] stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketKind {
    /// The listener with this number.
    Listener(u16),
    /// The relay socket at this place.
    Relay(u32),
}

impl SocketId {
    const RELAY: u32 = 1 << 31;

    /// The listener with this number.
    pub const fn listener(number: u16) -> Self {
        Self(number as u32)
    }

    /// The relay socket at this place, below 2³¹.
    pub const fn relay(place: u32) -> Self {
        Self(place | Self::RELAY)
    }

    /// What it stands for.
    pub const fn kind(self) -> SocketKind {
        if self.0 & Self::RELAY != 0 {
            SocketKind::Relay(self.0 & !Self::RELAY)
        } else {
            #[expect(clippy::cast_possible_truncation, reason = "made from a u16")]
            SocketKind::Listener(self.0 as u16)
        }
    }

    /// As a number, for a readiness token or a hash.
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// From [`Self::to_bits`].
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}
