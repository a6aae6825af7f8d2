//! `[nat_discovery]`: the addresses and ports between which clients see what their NAT does.

use super::{External, Findings};
use crate::config::{address::ListenAddress, choice::Transport, raw};
use std::net::{IpAddr, SocketAddr};

/// `[nat_discovery]`, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NatDiscovery {
    /// At most one of each family; without any the feature is off.
    pub pairs: Vec<AddressPair>,
    /// Whether clients of RFC 3489 are served too.
    pub classic: bool,
}

/// Two addresses of this host, and the two ports that are opened on both (RFC 5780 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressPair {
    /// Two, of one family.
    pub addresses: [IpAddr; 2],
    /// That of a listener, and the alternate one.
    pub ports: [u16; 2],
    /// The number of the configured listener that the first port comes from.
    pub listener: usize,
}

impl AddressPair {
    /// Both addresses with the first port, then both with the second.
    pub fn sockets(&self) -> [SocketAddr; 4] {
        let Self { addresses: [a1, a2], ports: [p1, p2], .. } = *self;
        [(a1, p1), (a2, p1), (a1, p2), (a2, p2)].map(SocketAddr::from)
    }
}

const ADDRESSES: &str = "nat_discovery.addresses";

pub(super) fn check(raw: &raw::Config, findings: &mut Findings<'_>) -> NatDiscovery {
    let section = &raw.nat_discovery;
    let addresses: Vec<IpAddr> = section.addresses.iter().map(|address| address.0).collect();
    for (at, address) in addresses.iter().enumerate() {
        if addresses[..at].contains(address) {
            findings.problem(&format!("{ADDRESSES}[{at}]"), format!("{address} is listed twice"));
            return NatDiscovery::default();
        }
    }
    if addresses.is_empty() && section.classic {
        findings
            .problem("nat_discovery.classic", "nothing is discovered without two nat_discovery.addresses");
    }
    let pairs = [IpAddr::is_ipv4, IpAddr::is_ipv6].into_iter().filter_map(|family| {
        let of_family: Vec<IpAddr> = addresses.iter().copied().filter(family).collect();
        match of_family[..] {
            [] => None,
            [one, other] => check_pair([one, other], raw, findings),
            [first, ..] => {
                let family = if first.is_ipv4() { "IPv4" } else { "IPv6" };
                let count = of_family.len();
                let message =
                    format!("expected two addresses of a family, or none: there are {count} of {family}");
                findings.problem(ADDRESSES, message);
                None
            }
        }
    });
    NatDiscovery { pairs: pairs.collect(), classic: section.classic }
}

fn check_pair(addresses: [IpAddr; 2], raw: &raw::Config, findings: &mut Findings<'_>) -> Option<AddressPair> {
    let [one, other] = addresses;
    let Some((listener, port)) = common_listener(addresses, &raw.listener) else {
        let message = format!(
            "no UDP port is listened on at both {one} and {other}: a listener like \":3478\" covers both"
        );
        findings.problem(ADDRESSES, message);
        return None;
    };
    let alternate = raw.nat_discovery.alternate_port.0;
    if alternate == port {
        let message = format!(
            "the alternate port must be another one than {port}, which listener {} has already",
            listener + 1
        );
        findings.problem("nat_discovery.alternate_port", message);
    }
    if raw.relay.ports.ports().contains(&alternate) {
        findings.warning(format!(
            "nat_discovery.alternate_port = {alternate} lies within relay.ports = \"{}\", so one relay port fewer can be used",
            raw.relay.ports
        ));
    }
    check_outside(addresses, raw, findings);
    Some(AddressPair { addresses, ports: [port, alternate], listener })
}

/// The first UDP port that is listened on at both addresses, and the listener it belongs to.
fn common_listener([one, other]: [IpAddr; 2], listeners: &[raw::Listener]) -> Option<(usize, u16)> {
    let is_heard = |ip: IpAddr, port: u16| {
        let wanted = ListenAddress::One(SocketAddr::new(ip, port));
        listeners.iter().any(|it| it.transport == Transport::Udp && it.address.covers(wanted))
    };
    listeners.iter().enumerate().find_map(|(at, listener)| {
        let port = listener.address.port();
        (listener.transport == Transport::Udp && is_heard(one, port) && is_heard(other, port))
            .then_some((at, port))
    })
}

/// Clients must see two addresses, and be able to reach both.
fn check_outside([one, other]: [IpAddr; 2], raw: &raw::Config, findings: &mut Findings<'_>) {
    let external = External(raw.relay.external.clone());
    let outside = [one, other].map(|ip| external.advertised(ip));
    if outside[0] == outside[1] {
        let message = format!(
            "{one} and {other} are both called {} outside: NAT discovery needs a public address for each, written \
             \"public/{one}\" and \"public/{other}\"",
            outside[0]
        );
        findings.problem("relay.external", message);
    }
    for (inside, known, unknown) in [(outside, one, other), ([outside[1], outside[0]], other, one)] {
        if inside[0] != known && inside[1] == unknown {
            findings.warning(format!(
                "relay.external has a public address for {known} and none for {unknown}, which clients are told of by \
                 nat_discovery"
            ));
        }
    }
}
