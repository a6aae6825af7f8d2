//! What a datagram is, told by its first byte (RFC 7983, RFC 8656 §12).

/// The kinds of datagram that can arrive on a listening port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 0 to 3: a STUN message, its first two bits are zero.
    Stun,
    /// 64 to 79: a ChannelData frame of a channel in RFC 8656's range.
    ChannelData,
    /// 80 to 127: a ChannelData frame of a channel that only RFC 5766 knew.
    OldChannelData,
    /// DTLS, RTP or noise: none of it is for a TURN server on UDP.
    Other,
}

/// Tells the kind of a datagram; an empty one is [`Kind::Other`].
#[inline]
pub fn kind(datagram: &[u8]) -> Kind {
    match datagram.first() {
        Some(0x00..=0x03) => Kind::Stun,
        Some(0x40..=0x4F) => Kind::ChannelData,
        Some(0x50..=0x7F) => Kind::OldChannelData,
        Some(_) | None => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells_the_kind() {
        let cases: &[(&[u8], Kind)] = &[
            (&[], Kind::Other),
            (&[0], Kind::Stun),
            (&[3], Kind::Stun),
            (&[4], Kind::Other),
            (&[20], Kind::Other),
            (&[63], Kind::Other),
            (&[64], Kind::ChannelData),
            (&[79], Kind::ChannelData),
            (&[80], Kind::OldChannelData),
            (&[127], Kind::OldChannelData),
            (&[128], Kind::Other),
            (&[255], Kind::Other),
        ];
        for (bytes, expected) in cases {
            assert_eq!(kind(bytes), *expected, "{bytes:?}");
        }
    }
}
