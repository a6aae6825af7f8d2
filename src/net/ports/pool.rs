//! One relay address and its ports, while what clients are given of it changes.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use super::bitmap::{PortMap, Shape};
use super::mapping::Former;
use super::{PortUsage, RelayAddress};
use crate::net::random::Random;

/// A relay address with its ports.
pub(super) struct Pool {
    address: RelayAddress,
    map: PortMap,
    is_offered: bool,
    /// What the address was called for ports that are still in use.
    former: Vec<Former>,
}

impl Pool {
    pub(super) fn new(address: RelayAddress, range: &RangeInclusive<u16>) -> Self {
        Self { address, map: PortMap::new(range), is_offered: true, former: Vec::new() }
    }

    /// What the address is, and what it is called now.
    pub(super) const fn address(&self) -> RelayAddress {
        self.address
    }

    /// Whether clients are given its ports. Those they were given before come back all the same.
    pub(super) const fn is_offered(&self) -> bool {
        self.is_offered
    }

    /// Whether nothing is to come back.
    pub(super) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// How full it is.
    pub(super) const fn usage(&self) -> PortUsage {
        PortUsage { address: self.address, taken: self.map.taken(), capacity: self.map.capacity() }
    }

    /// Takes a port of that shape.
    pub(super) fn take(&mut self, shape: Shape, random: &mut Random) -> Option<u16> {
        self.map.take(shape, random)
    }

    /// The port is free again.
    pub(super) fn free(&mut self, port: u16) {
        // The name first: who gets the port next gets it under the one of today.
        self.former.iter().for_each(|former| former.ports.remove(port));
        self.map.free(port);
    }

    /// A taken port as it is bound, and as its client is told.
    pub(super) fn ends(&self, port: u16) -> (SocketAddr, SocketAddr) {
        let at = |ip: IpAddr| SocketAddr::new(ip, port);
        let former = self.former.iter().find(|former| former.ports.contains(port));
        let external = former.map_or(self.address.external, |former| former.address.external);
        (at(self.address.bind), at(external))
    }

    /// From now on gives ports of this range, under the name that `address` has. It is bound to the same as before.
    pub(super) fn offer(&mut self, address: RelayAddress, range: &RangeInclusive<u16>) {
        if self.address != address || address.is_mapped() && self.map.range() != range {
            self.keep_name();
        }
        self.address = address;
        self.map.set_range(range);
        self.is_offered = true;
    }

    /// From now on gives no ports.
    pub(super) fn withdraw(&mut self) {
        if self.address.is_mapped() {
            self.keep_name();
        }
        self.is_offered = false;
    }

    /// What the address was called for ports that are still in use, where the present name would be wrong for them.
    pub(super) fn former(&self) -> impl Iterator<Item = &Former> {
        self.former.iter().filter(|former| !former.ports.is_empty())
    }

    /// Remembers what the address is called for all ports that are in use.
    fn keep_name(&mut self) {
        self.former.retain(|former| !former.ports.is_empty());
        let is_kept = |port: &u16| self.former.iter().any(|former| former.ports.contains(*port));
        let ports: Vec<_> = self.map.held().filter(|port| !is_kept(port)).collect();
        if ports.is_empty() {
            return;
        }
        let known = self.former.iter().find(|former| former.address == self.address).cloned();
        let former = known.unwrap_or_else(|| {
            let former = Former::new(self.address);
            self.former.push(former.clone());
            former
        });
        ports.into_iter().for_each(|port| former.ports.insert(port));
    }
}
