//! What counts as one source of requests.

use std::net::IpAddr;

/// An IPv4 address, or the /64 of an IPv6 address: whoever has one IPv6 address has all of those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source(u64);

impl Source {
    pub(crate) fn of(ip: IpAddr) -> Self {
        Self(match ip {
            // No client has an IPv6 address that begins like this: it would be multicast.
            IpAddr::V4(ip) => 0xFFFF_FFFF_0000_0000 | u64::from(ip.to_bits()),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                [a, b, c, d].into_iter().fold(0, |word, segment| word << 16 | u64::from(segment))
            }
        })
    }
}
