//! Where peers are reached from: `[relay]`.

use super::{
    conversion::{Conversion, origin},
    draft::SectionKind,
    line::Line,
    listeners::Listening,
    option::{Kind, KnownOption, mapped},
};
use crate::config::{
    address::{ExternalAddress, HostAddress, PortRange},
    checked,
};
use std::net::IpAddr;

pub(super) const OPTIONS: &[KnownOption] = &[
    mapped("relay-ip", Kind::Value),
    mapped("external-ip", Kind::Value),
    mapped("min-port", Kind::Value),
    mapped("max-port", Kind::Value),
];

/// Writes the section, and returns what the addresses are called outside.
pub(super) fn convert<'a>(
    it: &mut Conversion<'a>,
    listening: &Listening<'a>,
    discovery: &[IpAddr],
) -> Vec<ExternalAddress> {
    ports(it);
    let (mut addresses, lines) = addresses(it, listening);
    let external = external(it, &mut addresses, discovery);
    if !addresses.is_empty() {
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let from_listeners = if lines.iter().all(|line| line.name == "listening-ip") {
            " Without relay-ip, coturn relays from where it listens."
        } else {
            ""
        };
        let comment = format!("From {}.{from_listeners}", origin(&lines));
        it.draft.section(SectionKind::Relay).set("addresses", texts, comment);
    }
    let pairs: Vec<ExternalAddress> = external.iter().map(|(pair, _)| *pair).collect();
    if !pairs.is_empty() {
        let texts: Vec<String> = pairs.iter().map(ToString::to_string).collect();
        let lines: Vec<Line<'_>> = external.iter().map(|(_, line)| *line).collect();
        let comment = format!("From {}.", origin(&lines));
        it.draft.section(SectionKind::Relay).set("external", texts, comment);
    }
    pairs
}

fn ports(it: &mut Conversion<'_>) {
    let (min, max) = (it.number("min-port"), it.number("max-port"));
    let lines: Vec<Line<'_>> = [min, max].into_iter().flatten().map(|(line, _)| line).collect();
    if lines.is_empty() {
        return;
    }
    let bound = |found: Option<(Line<'_>, u64)>, default| {
        found.map_or(Some(default), |(_, number)| u16::try_from(number).ok())
    };
    let range = bound(min, 49_152).zip(bound(max, 65_535)).and_then(|(min, max)| PortRange::new(min, max));
    match range {
        Some(range) => {
            let comment = format!("From {}.", origin(&lines));
            it.draft.section(SectionKind::Relay).set("ports", range.to_string(), comment);
            for line in &lines {
                it.mapped(line, "relay.ports");
            }
        }
        None => {
            for line in &lines {
                it.invalid_line(line, "not a range of ports within 1 to 65535; 49152-65535 is taken");
            }
        }
    }
}

/// The relay addresses and the lines they come from. None means all that the host has.
fn addresses<'a>(it: &mut Conversion<'a>, listening: &Listening<'a>) -> (Vec<IpAddr>, Vec<Line<'a>>) {
    let (mut addresses, mut lines) = (Vec::new(), Vec::new());
    for line in it.every("relay-ip") {
        let parsed = line.value.parse::<HostAddress>();
        match parsed {
            Ok(HostAddress(ip)) if addresses.contains(&ip) => it.default(&line, "listed already"),
            Ok(HostAddress(ip)) => {
                addresses.push(ip);
                lines.push(line);
                it.mapped(&line, "relay.addresses");
            }
            Err(error) => it.invalid_line(&line, error.to_string()),
        }
    }
    let listens_everywhere = listening.addresses.iter().any(|(ip, _)| ip.is_unspecified());
    if addresses.is_empty() && !listens_everywhere {
        return listening.addresses.iter().copied().unzip();
    }
    (addresses, lines)
}

/// The pairs that the configuration can hold, with their lines.
fn external<'a>(
    it: &mut Conversion<'a>,
    addresses: &mut Vec<IpAddr>,
    discovery: &[IpAddr],
) -> Vec<(ExternalAddress, Line<'a>)> {
    let discovery: Vec<HostAddress> = discovery.iter().copied().map(HostAddress).collect();
    let mut kept: Vec<(ExternalAddress, Line<'a>)> = Vec::new();
    for line in it.every("external-ip") {
        let pair = match line.value.parse::<ExternalAddress>() {
            Ok(pair) => pair,
            Err(error) => {
                it.invalid_line(&line, error.to_string());
                continue;
            }
        };
        let (pair, why) = match pair.private {
            None => for_all(pair, addresses),
            Some(_) => (pair, None),
        };
        let earlier: Vec<ExternalAddress> = kept.iter().map(|(pair, _)| *pair).collect();
        // Two addresses that get one name outside are none for NAT discovery (`nat_discovery::end`).
        let discovery = if discovery.contains(&HostAddress(pair.public)) { &[][..] } else { &discovery[..] };
        match checked::relay::wrong_pair(&pair, &earlier, addresses, discovery) {
            Some(message) => it.dropped(&line, message),
            None => {
                match why {
                    Some(why) => it.changed(&line, "relay.external", why),
                    None => it.mapped(&line, "relay.external"),
                }
                kept.push((pair, line));
            }
        }
    }
    kept
}

/// A public address that stands for all relay addresses of its family, except loopback. There can be only one, since
/// two would share its ports.
fn for_all(pair: ExternalAddress, addresses: &mut Vec<IpAddr>) -> (ExternalAddress, Option<String>) {
    let same_family = |ip: &IpAddr| ip.is_ipv4() == pair.public.is_ipv4();
    let of_family: Vec<IpAddr> = addresses.iter().copied().filter(same_family).collect();
    let first = of_family.iter().copied().find(|ip| !ip.is_loopback());
    match (of_family.len(), first) {
        (0 | 1, _) | (_, None) => (pair, None),
        (_, Some(first)) => {
            let others: Vec<String> =
                of_family.iter().filter(|ip| **ip != first).map(ToString::to_string).collect();
            addresses.retain(|ip| !same_family(ip) || *ip == first);
            let why = format!(
                "one public address cannot stand for several relay addresses, since they would share its ports; it \
                 stands for {first}, and nothing is relayed from {}",
                others.join(", ")
            );
            (ExternalAddress { private: Some(first), ..pair }, Some(why))
        }
    }
}
