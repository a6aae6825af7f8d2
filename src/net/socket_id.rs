//! Which of a worker's sockets.

/// Names one of a worker's sockets in 32 bits: a listener by its number, others by their place in a table.
///
/// It is not a descriptor: it is looked up when something is sent, so that a socket closed in between is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketId(u32);

/// What a [`SocketId`] stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketKind {
    /// The listener for datagrams with this number.
    Listener(u16),
    /// The relay socket at this place.
    Relay(u32),
    /// The listener for connections with this number.
    StreamListener(u16),
    /// The connection at this place.
    Connection(u32),
    /// The connection to a peer at this place.
    Peer(u32),
    /// The other end of what is passed on between the connection at this place and somebody else.
    FarEnd(u32),
}

impl SocketId {
    /// The kind is in the top bits, so that one comparison tells the two kinds that carry datagrams apart.
    const PLACE: u32 = (1 << 29) - 1;
    const RELAY: u32 = 4 << 29;
    const STREAM_LISTENER: u32 = 1 << 29;
    const CONNECTION: u32 = 2 << 29;
    const PEER: u32 = 3 << 29;
    const FAR_END: u32 = 5 << 29;

    /// The listener for datagrams with this number.
    pub const fn listener(number: u16) -> Self {
        Self(number as u32)
    }

    /// The relay socket at this place, below 2²⁹.
    pub const fn relay(place: u32) -> Self {
        Self(place & Self::PLACE | Self::RELAY)
    }

    /// The listener for connections with this number.
    pub const fn stream_listener(number: u16) -> Self {
        Self(number as u32 | Self::STREAM_LISTENER)
    }

    /// The connection at this place, below 2²⁹.
    pub const fn connection(place: u32) -> Self {
        Self(place & Self::PLACE | Self::CONNECTION)
    }

    /// The connection to a peer at this place, below 2²⁹.
    pub const fn peer(place: u32) -> Self {
        Self(place & Self::PLACE | Self::PEER)
    }

    /// The other end of what is passed on for the connection at this place, below 2²⁹.
    pub const fn far_end(place: u32) -> Self {
        Self(place & Self::PLACE | Self::FAR_END)
    }

    /// What it stands for.
    #[expect(clippy::cast_possible_truncation, reason = "numbers of listeners are made from a u16")]
    pub const fn kind(self) -> SocketKind {
        let place = self.0 & Self::PLACE;
        match self.0 & !Self::PLACE {
            0 => SocketKind::Listener(place as u16),
            Self::STREAM_LISTENER => SocketKind::StreamListener(place as u16),
            Self::CONNECTION => SocketKind::Connection(place),
            Self::PEER => SocketKind::Peer(place),
            Self::FAR_END => SocketKind::FarEnd(place),
            _ => SocketKind::Relay(place),
        }
    }

    /// Under which a poll tells of it.
    pub(crate) const fn token(self) -> mio::Token {
        mio::Token(self.0 as usize)
    }

    /// As a number, for a hash.
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// From [`Self::to_bits`].
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_packing() {
        for place in [0, 1, u16::MAX] {
            assert_eq!(SocketId::listener(place).kind(), SocketKind::Listener(place));
            assert_eq!(SocketId::stream_listener(place).kind(), SocketKind::StreamListener(place));
        }
        for place in [0, 1, SocketId::PLACE] {
            assert_eq!(SocketId::relay(place).kind(), SocketKind::Relay(place));
            assert_eq!(SocketId::connection(place).kind(), SocketKind::Connection(place));
            assert_eq!(SocketId::peer(place).kind(), SocketKind::Peer(place));
            assert_eq!(SocketId::far_end(place).kind(), SocketKind::FarEnd(place));
            let bits = SocketId::connection(place).to_bits();
            assert_eq!(SocketId::from_bits(bits), SocketId::connection(place));
        }
    }
}
