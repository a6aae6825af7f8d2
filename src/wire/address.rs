//! Addresses on the wire, in clear and XORed (RFC 8489 §14.1, §14.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::header::{Header, MAGIC_COOKIE};

/// An address family as STUN numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AddressFamily {
    /// 0x01.
    V4,
    /// 0x02.
    V6,
}

impl AddressFamily {
    /// The family with this number in an attribute.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0x01 => Some(Self::V4),
            0x02 => Some(Self::V6),
            _ => None,
        }
    }

    /// The family's number in an attribute.
    pub const fn number(self) -> u8 {
        match self {
            Self::V4 => 0x01,
            Self::V6 => 0x02,
        }
    }

    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// An address attribute's value in a buffer of its own: 8 bytes for IPv4, 20 for IPv6.
pub(super) struct EncodedAddress {
    bytes: [u8; 20],
    length: usize,
}

impl EncodedAddress {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub(super) fn plain(address: SocketAddr) -> Self {
        let mut bytes = [0; 20];
        bytes[1] = AddressFamily::of(address.ip()).number();
        bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        let length = match address.ip() {
            IpAddr::V4(ip) => {
                bytes[4..8].copy_from_slice(&ip.octets());
                8
            }
            IpAddr::V6(ip) => {
                bytes[4..20].copy_from_slice(&ip.octets());
                20
            }
        };
        Self { bytes, length }
    }

    pub(super) fn xored(address: SocketAddr, header: &Header) -> Self {
        let mut encoded = Self::plain(address);
        xor(&mut encoded.bytes[2..encoded.length], header);
        encoded
    }
}

/// Reads the value of an address attribute that is in clear (MAPPED-ADDRESS, ALTERNATE-SERVER).
pub fn decode_address(value: &[u8]) -> Option<SocketAddr> {
    let (head, ip) = value.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([head[2], head[3]]);
    let ip = match AddressFamily::from_number(head[1])? {
        AddressFamily::V4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(ip).ok()?)),
        AddressFamily::V6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?)),
    };
    Some(SocketAddr::new(ip, port))
}

/// Reads the value of an XOR-…-ADDRESS attribute of the message with this header.
pub fn decode_xor_address(value: &[u8], header: &Header) -> Option<SocketAddr> {
    let mut copy = [0; 20];
    let plain = copy.get_mut(..value.len())?;
    plain.copy_from_slice(value);
    xor(plain.get_mut(2..)?, header);
    decode_address(plain)
}

/// XORs port and address: the port with the cookie's upper half, the address with the cookie and, as far
/// as it is long enough, with the transaction id.
fn xor(port_and_address: &mut [u8], header: &Header) {
    let cookie = MAGIC_COOKIE.to_be_bytes();
    let mask = cookie[..2].iter().chain(&cookie).chain(&header.transaction.0);
    for (byte, mask) in port_and_address.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Class, Method, TransactionId};

    #[test]
    fn values_of_the_wrong_size_or_family_are_not_addresses() {
        let cases: &[&[u8]] = &[
            &[],
            &[0, 1, 0],
            &[0, 1, 0, 0],
            &[0, 1, 0, 0, 1, 2, 3],
            &[0, 1, 0, 0, 1, 2, 3, 4, 5],
            &[0, 2, 0, 0, 1, 2, 3, 4],
            &[0, 0, 0, 0, 1, 2, 3, 4],
            &[0, 3, 0, 0, 1, 2, 3, 4],
            &[0; 21],
        ];
        let header = Header::new(Class::Request, Method::SEND, TransactionId([7; 12]));
        for value in cases {
            assert_eq!(decode_address(value), None, "{value:?}");
            assert_eq!(decode_xor_address(value, &header), None, "{value:?}");
        }
    }

    #[test]
    fn both_families_survive_the_xor() {
        let header = Header::new(Class::Request, Method::SEND, TransactionId([7; 12]));
        for address in ["192.0.2.1:32853", "[2001:db8::1]:1", "0.0.0.0:0"] {
            let address: SocketAddr = address.parse().unwrap();
            let encoded = EncodedAddress::xored(address, &header);
            assert_eq!(decode_xor_address(encoded.as_bytes(), &header), Some(address));
        }
    }
}
