//! Who sent a datagram and where it arrived.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// A listening address of the server: the server's half of a 5-tuple, transport included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u16);

/// The 5-tuple that identifies an allocation (RFC 8656 §3), packed into 24 bytes to be a fast map key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FiveTuple {
    /// The client's address; IPv4 as `::ffff:a.b.c.d`, which no IPv6 socket of ours ever reports.
    ip: [u64; 2],
    /// Scope id (32 bits), listener (16), port (16).
    rest: u64,
}

impl FiveTuple {
    /// Packs a client's address and the listener it was seen on.
    #[inline]
    pub fn new(client: SocketAddr, listener: ListenerId) -> Self {
        let (ip, scope) = match client {
            SocketAddr::V4(client) => (client.ip().to_ipv6_mapped(), 0),
            SocketAddr::V6(client) => (*client.ip(), client.scope_id()),
        };
        let bits = ip.to_bits().to_be_bytes();
        let (high, low) = bits.split_at(8);
        let word = |half: &[u8]| half.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        Self {
            ip: [word(high), word(low)],
            rest: u64::from(scope) << 32 | u64::from(listener.0) << 16 | u64::from(client.port()),
        }
    }

    /// The client's address.
    #[inline]
    pub fn client(self) -> SocketAddr {
        let [.., s0, s1, s2, s3, _, _, p0, p1] = widen(self.rest);
        let port = u16::from_be_bytes([p0, p1]);
        let ip = Ipv6Addr::from_bits(u128::from(self.ip[0]) << 64 | u128::from(self.ip[1]));
        match ip.to_ipv4_mapped() {
            Some(ip) => SocketAddr::from((ip, port)),
            None => SocketAddrV6::new(ip, port, 0, u32::from_be_bytes([s0, s1, s2, s3])).into(),
        }
    }

    /// The listener the client talks to.
    #[inline]
    pub fn listener(self) -> ListenerId {
        let [.., l0, l1, _, _] = widen(self.rest);
        ListenerId(u16::from_be_bytes([l0, l1]))
    }
}

fn widen(word: u64) -> [u8; 8] {
    word.to_be_bytes()
}

impl std::fmt::Debug for FiveTuple {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.client(), self.listener().0)
    }
}

/// Whether a source address can be answered at all: port 0 and addresses of many are forged (THREATS L05).
pub(super) fn is_answerable(client: SocketAddr) -> bool {
    let unusable = |ip: Ipv4Addr| ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast();
    client.port() != 0
        && !match client.ip() {
            IpAddr::V4(ip) => unusable(ip),
            IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast(),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_loses_nothing() {
        let scoped = SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 3, 0, 7));
        let plain = ["1.2.3.4:5", "255.255.255.255:65535", "[2001:db8::1]:3478", "[::1]:0"]
            .map(|text| text.parse().unwrap());
        for client in plain.into_iter().chain([scoped]) {
            for listener in [0, 1, u16::MAX] {
                let tuple = FiveTuple::new(client, ListenerId(listener));
                assert_eq!((tuple.client(), tuple.listener()), (client, ListenerId(listener)));
            }
        }
        assert_eq!(size_of::<FiveTuple>(), 24);
    }
}
