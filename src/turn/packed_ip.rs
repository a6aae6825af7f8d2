//! An IP address in 16 bytes, to be compared and hashed fast.

use std::net::{IpAddr, Ipv6Addr};

/// An address of either family; IPv4 as `::ffff:a.b.c.d`, which is never the address of a real IPv6 host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PackedIp([u64; 2]);

impl PackedIp {
    #[inline]
    pub(super) fn new(ip: IpAddr) -> Self {
        let bits = match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        // The low 64 bits of a u128 are what the cast is for.
        #[expect(clippy::cast_possible_truncation)]
        Self([(bits >> 64) as u64, bits as u64])
    }

    #[inline]
    pub(super) fn get(self) -> IpAddr {
        let ip = Ipv6Addr::from_bits(u128::from(self.0[0]) << 64 | u128::from(self.0[1]));
        ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
    }
}

impl std::fmt::Debug for PackedIp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}
