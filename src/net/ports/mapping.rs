//! Between inside and outside: what our own relay addresses are called on either side of a 1:1 NAT.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::RelayAddress;

/// The mapping between inside and outside for relay addresses behind a 1:1 NAT. Copied by each worker.
#[derive(Debug, Clone)]
pub struct Mapping {
    former: Box<[Former]>,
    addresses: Box<[RelayAddress]>,
    ports: RangeInclusive<u16>,
}

/// What a relay address was called when some ports were given to clients, who have told their peers.
#[derive(Debug, Clone)]
pub(super) struct Former {
    pub(super) address: RelayAddress,
    /// Those ports. One that is given back is no longer known by that name.
    pub(super) ports: Arc<PortSet>,
}

/// A set of ports that the workers look into while ports are given back.
#[derive(Debug)]
pub(super) struct PortSet([AtomicU64; 1024]);

impl Mapping {
    pub(super) fn new(former: Vec<Former>, addresses: &[RelayAddress], ports: RangeInclusive<u16>) -> Self {
        let addresses = addresses.iter().copied().filter(RelayAddress::is_mapped).collect();
        Self { former: former.into(), addresses, ports }
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
        let is_known = |relay: &RelayAddress| known_as(relay) == address.ip();
        let becomes = |relay: &RelayAddress| SocketAddr::new(becomes(relay), address.port());
        let has_kept = |former: &&Former| is_known(&former.address) && former.ports.contains(address.port());
        if let Some(former) = self.former.iter().find(has_kept) {
            return becomes(&former.address);
        }
        if self.addresses.is_empty() || !self.ports.contains(&address.port()) {
            return address;
        }
        self.addresses.iter().find(|relay| is_known(relay)).map_or(address, becomes)
    }
}

impl Former {
    pub(super) fn new(address: RelayAddress) -> Self {
        Self { address, ports: Arc::new(PortSet([const { AtomicU64::new(0) }; 1024])) }
    }
}

// A port changes hands long after its last packet, so no order with anything else is asked for.
impl PortSet {
    pub(super) fn insert(&self, port: u16) {
        let (word, mask) = place(port);
        self.0[word].fetch_or(mask, Ordering::Relaxed);
    }

    pub(super) fn remove(&self, port: u16) {
        let (word, mask) = place(port);
        self.0[word].fetch_and(!mask, Ordering::Relaxed);
    }

    pub(super) fn contains(&self, port: u16) -> bool {
        let (word, mask) = place(port);
        self.0[word].load(Ordering::Relaxed) & mask != 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| word.load(Ordering::Relaxed) == 0)
    }
}

const fn place(port: u16) -> (usize, u64) {
    (port as usize / 64, 1 << (port % 64))
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
        let mapping = Mapping::new(Vec::new(), &addresses, 50_000..=50_999);
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
