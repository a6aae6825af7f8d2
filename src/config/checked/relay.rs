//! `[relay]`: the addresses to relay from, and what they are called outside.

use super::Findings;
use crate::config::{
    address::{ExternalAddress, HostAddress, PortRange},
    raw,
};
use std::net::IpAddr;

/// `[relay]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// Addresses of this host; empty means those it has (`net` finds them).
    pub addresses: Vec<IpAddr>,
    /// What they are called outside.
    pub external: External,
    /// Ports of each address to relay from.
    pub ports: PortRange,
}

/// The 1:1 NAT in front of this host, if there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct External(pub(super) Vec<ExternalAddress>);

impl External {
    /// What a client is told instead of `local`.
    pub fn advertised(&self, local: IpAddr) -> IpAddr {
        let exact = self.0.iter().find(|pair| pair.private == Some(local));
        let family =
            || self.0.iter().find(|pair| pair.private.is_none() && pair.public.is_ipv4() == local.is_ipv4());
        exact.or_else(family).map_or(local, |pair| pair.public)
    }

    /// The pairs as configured.
    pub fn pairs(&self) -> &[ExternalAddress] {
        &self.0
    }
}

pub(super) fn check(config: &raw::Config, findings: &mut Findings<'_>) -> Relay {
    let raw = &config.relay;
    let discovery = &config.nat_discovery.addresses;
    let addresses: Vec<IpAddr> = raw.addresses.iter().map(|address| address.0).collect();
    for (at, address) in addresses.iter().enumerate() {
        if addresses[..at].contains(address) {
            findings.problem(&format!("relay.addresses[{at}]"), format!("{address} is listed twice"));
        }
    }
    for (at, pair) in raw.external.iter().enumerate() {
        if let Some(message) = wrong_pair(pair, &raw.external[..at], &addresses, discovery) {
            findings.problem(&format!("relay.external[{at}]"), message);
        }
    }
    for (at, listener) in config.listener.iter().enumerate() {
        // Relay ports are UDP ports; a TCP port of the same number is another one.
        let port = listener.address.port();
        if !listener.transport.is_stream() && raw.ports.ports().contains(&port) {
            findings.warning(format!(
                "port {port} of listener {} lies within relay.ports = \"{}\", so one relay port fewer can be used",
                at + 1,
                raw.ports
            ));
        }
    }
    Relay { addresses, external: External(raw.external.clone()), ports: raw.ports }
}

/// Why a pair cannot stand behind those before it.
pub(in crate::config) fn wrong_pair(
    pair: &ExternalAddress,
    earlier: &[ExternalAddress],
    addresses: &[IpAddr],
    discovery: &[HostAddress],
) -> Option<String> {
    let same_family = |ip: &IpAddr| ip.is_ipv4() == pair.public.is_ipv4();
    if earlier.iter().any(|other| other.public == pair.public) {
        return Some(format!(
            "{} is listed twice; two local addresses behind it would share its ports",
            pair.public
        ));
    }
    match pair.private {
        Some(private) if earlier.iter().any(|other| other.private == Some(private)) => {
            Some(format!("{private} has an external address already"))
        }
        // The second address of NAT discovery need not be one to relay from.
        Some(private) if discovery.contains(&HostAddress(private)) => None,
        Some(private) if !addresses.is_empty() && !addresses.contains(&private) => {
            Some(format!("{private} is not one of relay.addresses"))
        }
        Some(_) => None,
        None if earlier.iter().any(|other| other.private.is_none() && same_family(&other.public)) => {
            Some("a second external address of this family: write \"public/private\" to say which local address each belongs to".to_owned())
        }
        None if addresses.iter().filter(|ip| same_family(ip)).count() > 1 => {
            Some("relay.addresses has several addresses of this family: write \"public/private\" to say which one it belongs to".to_owned())
        }
        None => None,
    }
}
