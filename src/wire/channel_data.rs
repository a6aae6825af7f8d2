//! ChannelData: four bytes in front of the payload instead of a STUN message (RFC 8656 §12.4).

/// A channel number that can stand on the wire: 0x4000 to 0x7FFF. Which part of that range clients may
/// bind is the server's setting (RFC 8656 §12 ends at 0x4FFF, RFC 5766 at 0x7FFF).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelNumber(u16);

impl ChannelNumber {
    /// The lowest channel.
    pub const FIRST: Self = Self(0x4000);
    /// The highest channel of RFC 8656.
    pub const LAST: Self = Self(0x4FFF);
    /// The highest channel of RFC 5766.
    pub const LAST_OLD: Self = Self(0x7FFF);

    /// A channel number, if it is one.
    #[inline]
    pub const fn new(raw: u16) -> Option<Self> {
        if raw >= Self::FIRST.0 && raw <= Self::LAST_OLD.0 { Some(Self(raw)) } else { None }
    }

    /// The number as it stands on the wire.
    #[inline]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// A ChannelData frame, borrowed from the datagram it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelData<'a> {
    /// The channel it belongs to.
    pub channel: ChannelNumber,
    /// The payload, without padding.
    pub payload: &'a [u8],
}

impl<'a> ChannelData<'a> {
    /// Reads a frame from a datagram. Bytes behind the announced length are padding, which over UDP a
    /// client may, but need not, add (RFC 8656 §12.5); a length beyond the datagram is not a frame.
    #[inline]
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let (head, rest) = datagram.split_first_chunk::<4>()?;
        let channel = ChannelNumber::new(u16::from_be_bytes([head[0], head[1]]))?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        Some(Self { channel, payload: rest.get(..length)? })
    }
}

/// The four bytes in front of a payload of this length.
#[inline]
pub const fn channel_head(channel: ChannelNumber, length: u16) -> [u8; 4] {
    let [c0, c1] = channel.0.to_be_bytes();
    let [l0, l1] = length.to_be_bytes();
    [c0, c1, l0, l1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_cut_to_its_announced_length() {
        type Case = (&'static str, &'static [u8], Option<&'static [u8]>);
        let cases: &[Case] = &[
            ("empty", &[], None),
            ("half a head", &[0x40, 0, 0], None),
            ("no payload", &[0x40, 0, 0, 0], Some(&[])),
            ("exact", &[0x40, 0, 0, 2, 7, 8], Some(&[7, 8])),
            ("padded to four", &[0x40, 0, 0, 2, 7, 8, 0, 0], Some(&[7, 8])),
            ("longer than the datagram", &[0x40, 0, 0, 3, 7, 8], None),
            ("below the channels", &[0x3F, 0xFF, 0, 0], None),
            ("above the channels", &[0x80, 0, 0, 0], None),
        ];
        for (name, bytes, payload) in cases {
            assert_eq!(ChannelData::parse(bytes).map(|frame| frame.payload), *payload, "{name}");
        }
    }

    #[test]
    fn a_head_is_read_back() {
        let channel = ChannelNumber::new(0x4ABC).unwrap();
        let head = channel_head(channel, 0);
        assert_eq!(ChannelData::parse(&head), Some(ChannelData { channel, payload: &[] }));
    }
}
