//! The addresses relay sockets are bound to, and what the outside calls them.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use crate::turn::Family;

/// An address of this host that relay sockets are bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayAddress {
    /// The address as this host knows it.
    pub bind: IpAddr,
    /// The address as peers know it: another one behind a 1:1 NAT.
    pub external: IpAddr,
}

impl RelayAddress {
    /// An address that is the same inside and outside.
    pub const fn direct(ip: IpAddr) -> Self {
        Self { bind: ip, external: ip }
    }

    /// Its family.
    pub const fn family(&self) -> Family {
        Family::of(self.bind)
    }

    pub(super) fn is_mapped(&self) -> bool {
        self.bind != self.external
    }

    /// Reachable from this host alone.
    pub(super) fn is_loopback(&self) -> bool {
        self.bind.is_loopback() && !self.is_mapped()
    }
}

/// The mapping between inside and outside for relay addresses behind a 1:1 NAT. Copied by each worker.
#[derive(Debug, Clone)]
pub struct Mapping {
    addresses: Box<[RelayAddress]>,
    ports: RangeInclusive<u16>,
}

impl Mapping {
    pub(super) fn new(addresses: &[RelayAddress], ports: RangeInclusive<u16>) -> Self {
        Self { addresses: addresses.iter().copied().filter(RelayAddress::is_mapped).collect(), ports }
    }

    /// Where to send what is meant for `peer`. Most NATs do not send back what is meant for themselves, so one of our
    /// own relay addresses is reached by its inner address.
    #[inline]
    pub fn inward(&self, peer: SocketAddr) -> SocketAddr {
        self.map(peer, |address| address.external, |address| address.bind)
    }

    /// Who `from` is for the outside: one of our own relay addresses is shown as its permissions know it.
    #[inline]
    pub fn outward(&self, from: SocketAddr) -> SocketAddr {
        self.map(from, |address| address.bind, |address| address.external)
    }

    #[inline]
    fn map(
        &self,
        address: SocketAddr,
        known_as: impl Fn(&RelayAddress) -> IpAddr,
        becomes: impl Fn(&RelayAddress) -> IpAddr,
    ) -> SocketAddr {
        if self.addresses.is_empty() || !self.ports.contains(&address.port()) {
            return address;
        }
        match self.addresses.iter().find(|relay| known_as(relay) == address.ip()) {
            Some(relay) => SocketAddr::new(becomes(relay), address.port()),
            None => address,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_relay_addresses_behind_a_nat_are_reached_inside_and_shown_outside() {
        let addresses = [
            RelayAddress { bind: "10.0.0.1".parse().unwrap(), external: "203.0.113.1".parse().unwrap() },
            RelayAddress { bind: "fd00::1".parse().unwrap(), external: "2001:db8::1".parse().unwrap() },
            RelayAddress::direct("10.0.0.2".parse().unwrap()),
        ];
        let mapping = Mapping::new(&addresses, 50_000..=50_999);
        let cases = [
            ("203.0.113.1:50000", "10.0.0.1:50000"),
            ("203.0.113.1:50999", "10.0.0.1:50999"),
            ("[2001:db8::1]:50500", "[fd00::1]:50500"),
        ];
        for (outside, inside) in
            cases.map(|(outside, inside)| (outside.parse().unwrap(), inside.parse().unwrap()))
        {
            assert_eq!(mapping.inward(outside), inside);
            assert_eq!(mapping.outward(inside), outside);
        }
        for other in ["203.0.113.1:3478", "203.0.113.2:50000", "10.0.0.2:50000"] {
            let other = other.parse().unwrap();
            assert_eq!((mapping.inward(other), mapping.outward(other)), (other, other));
        }
    }
}
