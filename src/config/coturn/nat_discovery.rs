//! NAT behaviour discovery: `[nat_discovery]`.

use super::{
    conversion::{Conversion, origin},
    draft::SectionKind,
    line::Line,
    listeners::Listening,
    option::{Kind, KnownOption, mapped},
};
use crate::config::address::ExternalAddress;
use std::net::IpAddr;

pub(super) const OPTIONS: &[KnownOption] = &[
    mapped("rfc5780", Kind::Switch),
    mapped("no-rfc5780", Kind::Switch),
    mapped("alt-listening-port", Kind::Value),
    mapped("rfc3489-compatibility", Kind::Switch),
];

/// What is asked for, before it is known what the addresses are called outside.
pub(super) struct Discovery<'a> {
    line: Option<Line<'a>>,
    /// A pair of each family that has two.
    pub(super) addresses: Vec<IpAddr>,
}

/// Finds the addresses that answers can come from.
pub(super) fn begin<'a>(it: &mut Conversion<'a>, listening: &Listening<'a>) -> Discovery<'a> {
    let asked = it.switch("rfc5780");
    let off = it.switch("no-rfc5780");
    if let Some(line) = off {
        it.default(&line, "off unless nat_discovery.addresses are named");
    }
    let mut addresses = Vec::new();
    let usable = |ip: &IpAddr| !ip.is_unspecified() && listening.udp_port.is_some();
    for family in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
        let named = listening.addresses.iter().map(|(ip, _)| *ip).filter(|ip| family(ip) && usable(ip));
        let pair: Vec<IpAddr> = named.take(2).collect();
        if pair.len() == 2 {
            addresses.extend(pair);
        }
    }
    if asked.is_none() && off.is_none() && !addresses.is_empty() {
        it.note(
            "rfc5780",
            "with two listening-ip of a family, coturn before 4.7 also answers NAT discovery (RFC 5780), and later \
             versions only when asked; here it is off: see nat_discovery",
        );
    }
    match asked {
        Some(line) if addresses.is_empty() => {
            it.dropped(
                &line,
                "it needs two listening-ip of one family, listened on with UDP; see nat_discovery",
            );
            Discovery { line: None, addresses }
        }
        Some(line) => Discovery { line: Some(line), addresses },
        None => Discovery { line: None, addresses: Vec::new() },
    }
}

/// Writes the section, if clients would see two addresses.
pub(super) fn end<'a>(
    it: &mut Conversion<'a>,
    discovery: &Discovery<'a>,
    listening: &Listening<'_>,
    external: &[ExternalAddress],
) {
    let alternate = it.number("alt-listening-port");
    let classic = it.switch("rfc3489-compatibility");
    let port = listening.udp_port.unwrap_or(3478);
    let Some(line) = written_by(it, discovery, external) else {
        if let Some((line, _)) = alternate {
            it.default(&line, "not used: there is no NAT discovery");
        }
        if let Some(line) = classic {
            it.dropped(
                &line,
                "clients of RFC 3489 are served together with NAT discovery: see nat_discovery.classic",
            );
        }
        return;
    };
    let texts: Vec<String> = discovery.addresses.iter().map(ToString::to_string).collect();
    let comment = format!("From {}, for the first two listening-ip of a family.", origin(&[line]));
    it.draft.section(SectionKind::NatDiscovery).set("addresses", texts, comment);
    it.mapped(&line, "nat_discovery.addresses");
    alternate_port(it, alternate, port);
    if let Some(line) = classic {
        it.draft.section(SectionKind::NatDiscovery).set(
            "classic",
            true,
            format!("From {}.", origin(&[line])),
        );
        it.mapped(&line, "nat_discovery.classic");
    }
}

fn written_by<'a>(
    it: &mut Conversion<'a>,
    discovery: &Discovery<'a>,
    external: &[ExternalAddress],
) -> Option<Line<'a>> {
    let line = discovery.line?;
    let outside = |ip: IpAddr| {
        let exact = external.iter().find(|pair| pair.private == Some(ip));
        let family =
            external.iter().find(|pair| pair.private.is_none() && pair.public.is_ipv4() == ip.is_ipv4());
        exact.or(family).map_or(ip, |pair| pair.public)
    };
    if discovery.addresses.chunks(2).any(|pair| outside(pair[0]) == outside(pair[1])) {
        it.dropped(
            &line,
            "both addresses are called the same outside: it needs an external-ip \"public/private\" for each",
        );
        return None;
    }
    Some(line)
}

/// coturn takes the port behind the listening one, unless another is named.
fn alternate_port(it: &mut Conversion<'_>, named: Option<(Line<'_>, u64)>, port: u16) {
    let next = port.checked_add(1).unwrap_or(port - 1);
    let asked = named.and_then(|(_, number)| u16::try_from(number).ok()).filter(|number| *number != 0);
    let chosen = asked.filter(|asked| *asked != port).unwrap_or(next);
    let comment = match named {
        Some((line, _)) => format!("From {}.", origin(&[line])),
        None => "The port behind the listening one, as with coturn.".to_owned(),
    };
    it.draft.section(SectionKind::NatDiscovery).set("alternate_port", i64::from(chosen), comment);
    match named {
        Some((line, number)) if number == u64::from(chosen) || number == 0 => {
            it.mapped(&line, "nat_discovery.alternate_port");
        }
        Some((line, _)) => {
            it.invalid_line(&line, format!("expected another port than {port}; {chosen} is taken"));
        }
        None => {}
    }
}
