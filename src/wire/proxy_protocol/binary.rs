//! Version 2: binary, with room for more than addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Ends, HEADER_MAX, Parsed, ProxyError, ProxyHeader, begins_with};

/// Chosen by the specification so that servers of other protocols refuse it.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length of the rest.
const FIXED: usize = 16;

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    if !begins_with(bytes, SIGNATURE)? {
        return Ok(Parsed::NeedMore);
    }
    // In the order of the bytes, so that it does not matter how they come.
    let rest = &bytes[SIGNATURE.len()..];
    let Some(&command) = rest.first() else { return Ok(Parsed::NeedMore) };
    let command = Command::new(command)?;
    let Some(&family) = rest.get(1) else { return Ok(Parsed::NeedMore) };
    let family = match command {
        Command::Proxy => Family::new(family)?,
        // All that such a header has besides its length must be ignored.
        Command::Local => Family::Unspecified,
    };
    let Some(&[high, low]) = rest.get(2..4) else { return Ok(Parsed::NeedMore) };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > HEADER_MAX {
        return Err(ProxyError::TooLong);
    }
    if length < FIXED + family.size() {
        return Err(ProxyError::TooShort);
    }
    let Some(header) = bytes.get(..length) else { return Ok(Parsed::NeedMore) };
    if family != Family::Unspecified {
        check_fields(header, FIXED + family.size())?;
    }
    Ok(Parsed::Header(ProxyHeader { ends: family.ends(&header[FIXED..]), length }))
}

#[derive(Clone, Copy)]
enum Command {
    /// The load balancer has connected on its own account.
    Local,
    /// It has connected for a client.
    Proxy,
}

impl Command {
    fn new(byte: u8) -> Result<Self, ProxyError> {
        match byte {
            0x20 => Ok(Self::Local),
            0x21 => Ok(Self::Proxy),
            _ => Err(ProxyError::Undefined),
        }
    }
}

/// What the addresses are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    /// The sender does not say, or it makes no sense in front of a TCP connection.
    Unspecified,
    /// Addresses that are none of ours: of a UDP flow, or names of Unix sockets.
    Foreign(usize),
    V4,
    V6,
}

impl Family {
    const V4_SIZE: usize = 2 * 4 + 2 * 2;
    const V6_SIZE: usize = 2 * 16 + 2 * 2;
    const UNIX_SIZE: usize = 2 * 108;

    /// Combinations that are defined and of no use here stand for "unspecified"; others must be refused.
    fn new(byte: u8) -> Result<Self, ProxyError> {
        match byte {
            0x00 => Ok(Self::Unspecified),
            0x11 => Ok(Self::V4),
            0x12 => Ok(Self::Foreign(Self::V4_SIZE)),
            0x21 => Ok(Self::V6),
            0x22 => Ok(Self::Foreign(Self::V6_SIZE)),
            0x31 | 0x32 => Ok(Self::Foreign(Self::UNIX_SIZE)),
            _ => Err(ProxyError::Undefined),
        }
    }

    const fn size(self) -> usize {
        match self {
            Self::Unspecified => 0,
            Self::Foreign(size) => size,
            Self::V4 => Self::V4_SIZE,
            Self::V6 => Self::V6_SIZE,
        }
    }

    /// Reads the addresses: source, destination, then their ports.
    fn ends(self, bytes: &[u8]) -> Option<Ends> {
        match self {
            Self::Unspecified | Self::Foreign(_) => None,
            Self::V4 => ends::<4, Ipv4Addr>(bytes),
            Self::V6 => ends::<16, Ipv6Addr>(bytes),
        }
    }
}

fn ends<const N: usize, Ip>(bytes: &[u8]) -> Option<Ends>
where
    Ip: From<[u8; N]> + Into<IpAddr>,
{
    let (source, rest) = bytes.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (from, rest) = rest.split_first_chunk()?;
    let to = rest.first_chunk()?;
    let end = |ip: [u8; N], port| SocketAddr::new(Ip::from(ip).into(), u16::from_be_bytes(port));
    Some(Ends::new(end(*source, *from), end(*destination, *to)))
}

/// Steps over the fields behind the addresses. None of them matters here but the checksum, which says that all of the
/// header is as it was sent.
fn check_fields(header: &[u8], start: usize) -> Result<(), ProxyError> {
    const CHECKSUM: u8 = 0x03;
    let mut at = start;
    while let Some(&[kind, high, low]) = header.get(at..at + 3) {
        let value = at + 3..at + 3 + usize::from(u16::from_be_bytes([high, low]));
        let Some(bytes) = header.get(value.clone()) else { return Err(ProxyError::TooShort) };
        if kind == CHECKSUM {
            let sent = <[u8; 4]>::try_from(bytes).map_err(|_| ProxyError::BadChecksum)?;
            // It is computed with zeros in its place.
            let crc = crc32c(crc32c(crc32c(!0, &header[..value.start]), &[0; 4]), &header[value.end..]);
            if u32::from_be_bytes(sent) != !crc {
                return Err(ProxyError::BadChecksum);
            }
        }
        at = value.end;
    }
    if at == header.len() { Ok(()) } else { Err(ProxyError::TooShort) }
}

/// Castagnoli's CRC, bit by bit: it is used once per connection, if at all, and tables are longer than headers.
fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82F6_3B78;
    bytes.iter().fold(crc, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    /// A header of these bytes behind the signature, with the length that they have.
    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    /// 192.0.2.1:258 to 192.0.2.2:443.
    const V4: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 1, 2, 1, 0xBB];

    fn v6() -> Vec<u8> {
        let ip = |last: u8| [0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        [&ip(1)[..], &ip(2), &[1, 2, 1, 0xBB]].concat()
    }

    fn told(bytes: &[u8]) -> Option<Ends> {
        let Ok(Parsed::Header(header)) = parse(bytes) else { panic!("{:?} of {bytes:?}", parse(bytes)) };
        assert_eq!(header.length, bytes.len());
        let followed = [bytes, b"anything"].concat();
        assert_eq!(parse(&followed), Ok(Parsed::Header(header)));
        header.ends
    }

    fn with_checksum(mut header: Vec<u8>) -> Vec<u8> {
        let crc = !crc32c(!0, &header);
        let at = header.len() - 4;
        header[at..].copy_from_slice(&crc.to_be_bytes());
        header
    }

    #[test]
    fn a_header_tells_both_ends() {
        let ends = |source: &str, destination: &str| {
            Some(Ends { source: source.parse().unwrap(), destination: destination.parse().unwrap() })
        };
        let v4 = ends("192.0.2.1:258", "192.0.2.2:443");
        let mapped =
            [&[0; 10][..], &[0xFF, 0xFF, 192, 0, 2, 1], &[0; 10], &[0xFF, 0xFF, 192, 0, 2, 2], &V4[8..]];
        assert_eq!(told(&header(0x21, 0x11, &V4)), v4);
        assert_eq!(told(&header(0x21, 0x21, &v6())), ends("[2001:db8::1]:258", "[2001:db8::2]:443"));
        assert_eq!(told(&header(0x21, 0x21, &mapped.concat())), v4);
        assert_eq!(told(&header(0x21, 0x11, &[&V4[..], &[0xEE, 0, 2, 7, 8, 4, 0, 0]].concat())), v4);
    }

    #[test]
    fn a_header_may_tell_nothing() {
        let cases: &[(&str, u8, u8, &[u8])] = &[
            ("a health check", 0x20, 0, &[]),
            ("one that nevertheless has addresses", 0x20, 0x11, &V4),
            ("one of a family that is not defined", 0x20, 0xFF, &[1, 2, 3]),
            ("unspecified", 0x21, 0, &[]),
            ("unspecified with something behind it", 0x21, 0, &[1, 2, 3]),
            ("UDP", 0x21, 0x12, &V4),
            ("a Unix socket", 0x21, 0x31, &[b'/'; 216]),
            ("a Unix socket of datagrams", 0x21, 0x32, &[b'/'; 216]),
        ];
        for (name, command, family, rest) in cases {
            assert_eq!(told(&header(*command, *family, rest)), None, "{name}");
        }
    }

    #[test]
    fn an_unfinished_header_is_waited_for() {
        let longest = header(0x21, 0x11, &[&V4[..], &[4, 0x0F, 0xE1], &[0; 4065]].concat());
        assert_eq!(longest.len(), HEADER_MAX);
        for whole in [header(0x20, 0, &[]), header(0x21, 0x11, &V4), longest] {
            for end in 0..whole.len() {
                assert_eq!(parse(&whole[..end]), Ok(Parsed::NeedMore), "{end}");
            }
            told(&whole);
        }
    }

    #[test]
    fn what_is_not_such_a_header_is_refused_with_its_first_wrong_byte() {
        let mut spoilt = SIGNATURE.to_vec();
        spoilt[11] = b'\r';
        let fixed = |bytes: &[u8]| [&SIGNATURE[..], bytes].concat();
        let checksum = with_checksum(header(0x21, 0x11, &[&V4[..], &[3, 0, 4, 0, 0, 0, 0]].concat()));
        let mut changed = checksum.clone();
        changed[FIXED] ^= 1;
        let short_checksum = header(0x21, 0x11, &[&V4[..], &[3, 0, 3, 0, 0, 0]].concat());
        let cases = [
            ("TLS", vec![22], ProxyError::NotAHeader),
            ("STUN", vec![0], ProxyError::NotAHeader),
            ("empty lines", b"\r\n\r\n\r".to_vec(), ProxyError::NotAHeader),
            ("another signature", spoilt, ProxyError::NotAHeader),
            ("version 1", fixed(&[0x11]), ProxyError::Undefined),
            ("version 3", fixed(&[0x31]), ProxyError::Undefined),
            ("another command", fixed(&[0x22]), ProxyError::Undefined),
            ("another family", fixed(&[0x21, 0x41]), ProxyError::Undefined),
            ("another transport", fixed(&[0x21, 0x13]), ProxyError::Undefined),
            ("a family without transport", fixed(&[0x21, 0x10]), ProxyError::Undefined),
            ("IPv4 in 11 bytes", fixed(&[0x21, 0x11, 0, 11]), ProxyError::TooShort),
            ("IPv6 in 35 bytes", fixed(&[0x21, 0x21, 0, 35]), ProxyError::TooShort),
            ("a Unix socket in 215 bytes", fixed(&[0x21, 0x31, 0, 215]), ProxyError::TooShort),
            ("4097 bytes", fixed(&[0x21, 0x11, 0x0F, 0xF1]), ProxyError::TooLong),
            ("4097 bytes of a health check", fixed(&[0x20, 0, 0x0F, 0xF1]), ProxyError::TooLong),
            ("half a field", header(0x21, 0x11, &[&V4[..], &[4, 0]].concat()), ProxyError::TooShort),
            (
                "a field that goes on",
                header(0x21, 0x11, &[&V4[..], &[4, 0, 2, 0]].concat()),
                ProxyError::TooShort,
            ),
            ("a changed address", changed, ProxyError::BadChecksum),
            ("three bytes of checksum", short_checksum, ProxyError::BadChecksum),
        ];
        for (name, bytes, expected) in cases {
            assert_eq!(parse(&bytes), Err(expected), "{name}");
            let before = parse(&bytes[..bytes.len() - 1]);
            assert_eq!(before, Ok(Parsed::NeedMore), "{name}, too early");
        }
        assert!(parse(&checksum).is_ok());
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // The check value of this CRC, and an example of RFC 7143 §A.4.
        assert_eq!(!crc32c(!0, b"123456789"), 0xE306_9283);
        assert_eq!(!crc32c(!0, &[0; 32]), 0x8A91_36AA);
    }
}
