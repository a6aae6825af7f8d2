//! Who may be relayed to: one policy for permissions, channels, Send indications and data alike.
//!
//! What is not plainly public is denied, seen through every disguise IPv6 knows. Three things change that, in
//! this order: our own services are never reachable, what the operator allows is, and what the operator denies is
//! not. Our own relay addresses are, on relay ports, because two of our clients may talk to each other.

mod ranges;
mod special;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

pub(super) use ranges::Ranges;
pub(super) use special::is_tunnel;

use super::verdict::PeerTerms;

/// What a policy is made from.
#[derive(Clone, Debug)]
pub struct PeerRules {
    /// Reachable although a built-in rule or `deny` says no.
    pub allow: Vec<IpNet>,
    /// Not reachable although public.
    pub deny: Vec<IpNet>,
    /// The ports at which peers may be reached.
    pub ports: RangeInclusive<u16>,
    /// Our relay addresses, as bound and as peers see them.
    pub relay_addresses: Vec<IpAddr>,
    /// The ports that relay sockets get, or have from earlier.
    pub relay_ports: Vec<RangeInclusive<u16>>,
    /// Every address of this host.
    pub host_addresses: Vec<IpAddr>,
    /// Where this server listens, for clients and for operators.
    pub services: Vec<SocketAddr>,
    /// Those of them that hear datagrams. A datagram from one of these is forged, or a loop.
    pub datagram_services: Vec<SocketAddr>,
}

impl Default for PeerRules {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            deny: Vec::new(),
            ports: 1..=u16::MAX,
            relay_addresses: Vec::new(),
            relay_ports: vec![49152..=u16::MAX],
            host_addresses: Vec::new(),
            services: Vec::new(),
            datagram_services: Vec::new(),
        }
    }
}

/// Decides whether a peer may be relayed to.
#[derive(Clone, Debug)]
pub struct PeerPolicy {
    allow: Ranges,
    deny: Ranges,
    rules: PeerRules,
}

/// Which ports of an allowed address may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortRule {
    /// Those the policy allows for everybody.
    Any,
    /// Those, but not where this server itself listens.
    NotServices,
    /// Only relay ports: the address is our own.
    RelayPorts,
}

/// The name of the rule that denies a peer, for logs and counters.
pub type RuleName = &'static str;

impl PeerPolicy {
    /// Prepares the rules for look-ups.
    pub fn new(rules: PeerRules) -> Self {
        Self { allow: Ranges::new(&rules.allow), deny: Ranges::new(&rules.deny), rules }
    }

    /// Judges an address, as for CreatePermission, for a user with these terms. Ports are judged packet by packet, with
    /// the rule this gives.
    pub fn judge_address(&self, ip: IpAddr, terms: Option<&PeerTerms>) -> Result<PortRule, RuleName> {
        // An IPv4 address in IPv6 clothes is no address of a peer on either family (THREATS P04).
        if let IpAddr::V6(v6) = ip
            && v6.to_ipv4_mapped().is_some()
        {
            return Err("ipv4-mapped");
        }
        // Nothing makes these a place to send to, not even an allow rule for all there is; tunnels because
        // RFC 8656 §21.4 says MUST NOT.
        if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::from([255; 4]) || is_tunnel(ip) {
            return Err(special::deny(ip).unwrap_or("unspecified"));
        }
        // Where there is a NAT64 it would bring the packet back to us, past all that is said of our own addresses.
        let embedded = special::embedded_ipv4(ip).map(IpAddr::V4);
        if embedded.is_some_and(|v4| self.is_own(v4)) {
            return Err("own-host");
        }
        let hosts_services = self.rules.services.iter().any(|service| service.ip() == ip);
        let allows = terms.is_some_and(|terms| terms.allow(ip));
        if !allows && terms.is_some_and(|terms| terms.deny(ip) || embedded.is_some_and(|v4| terms.deny(v4))) {
            return Err("user-terms");
        }
        if allows || self.allow.contains(ip) {
            return Ok(if hosts_services { PortRule::NotServices } else { PortRule::Any });
        }
        if self.rules.relay_addresses.contains(&ip) {
            return Ok(PortRule::RelayPorts);
        }
        if self.deny.contains(ip) || embedded.is_some_and(|v4| self.deny.contains(v4)) {
            return Err("peers.deny");
        }
        if hosts_services || self.rules.host_addresses.contains(&ip) {
            return Err("own-host");
        }
        special::deny(ip).map_or(Ok(PortRule::Any), Err)
    }

    /// Whether this host answers there, be it as a relay.
    fn is_own(&self, ip: IpAddr) -> bool {
        let PeerRules { services, host_addresses, relay_addresses, .. } = &self.rules;
        services.iter().any(|service| service.ip() == ip)
            || host_addresses.contains(&ip)
            || relay_addresses.contains(&ip)
    }

    /// Judges a transport address, as for ChannelBind.
    pub fn judge(&self, peer: SocketAddr, terms: Option<&PeerTerms>) -> Result<PortRule, RuleName> {
        let rule = self.judge_address(peer.ip(), terms)?;
        if self.allows_port(rule, peer) { Ok(rule) } else { Err(self.port_rule_name(rule, peer)) }
    }

    /// Whether a packet may pass between a permitted address and a client, by its port alone.
    #[inline]
    pub fn allows_port(&self, rule: PortRule, peer: SocketAddr) -> bool {
        let port = peer.port();
        match rule {
            PortRule::Any => self.rules.ports.contains(&port),
            PortRule::RelayPorts => {
                self.rules.relay_ports.iter().any(|ports| ports.contains(&port))
                    && !self.rules.services.contains(&peer)
            }
            PortRule::NotServices => self.rules.ports.contains(&port) && !self.rules.services.contains(&peer),
        }
    }

    /// Whether we hear datagrams there ourselves.
    pub(super) fn is_datagram_service(&self, address: SocketAddr) -> bool {
        self.rules.datagram_services.contains(&address)
    }

    fn port_rule_name(&self, rule: PortRule, peer: SocketAddr) -> RuleName {
        match rule {
            PortRule::NotServices | PortRule::RelayPorts if self.rules.services.contains(&peer) => {
                "own-service"
            }
            PortRule::RelayPorts => "own-host",
            PortRule::Any | PortRule::NotServices => "peers.ports",
        }
    }
}

#[cfg(test)]
mod tests;
