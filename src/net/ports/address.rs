//! The addresses relay sockets are bound to, and what the outside calls them.

use std::net::IpAddr;

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
