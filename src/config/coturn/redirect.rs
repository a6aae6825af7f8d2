//! Other servers that clients are sent to: `[drain]`.

use super::{
    conversion::{Conversion, origin},
    draft::SectionKind,
    line::Line,
    option::{Kind, KnownOption, mapped},
};
use std::net::{IpAddr, SocketAddr};

pub(super) const OPTIONS: &[KnownOption] = &[
    mapped("alternate-server", Kind::Value),
    mapped("tls-alternate-server", Kind::Value),
    mapped("udp-alternate-server", Kind::Value),
    mapped("tcp-alternate-server", Kind::Value),
];

/// The transports that each option is for, and the port it means when it names none.
const SERVICES: [(&str, &[&str], u16); 4] = [
    ("alternate-server", &["udp", "tcp"], 3478),
    ("udp-alternate-server", &["udp"], 3478),
    ("tcp-alternate-server", &["tcp"], 3478),
    ("tls-alternate-server", &["tls"], 5349),
];

pub(super) fn convert(it: &mut Conversion<'_>) {
    let mut alternates: Vec<String> = Vec::new();
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (name, transports, port) in SERVICES {
        for line in it.every(name) {
            let Some(address) = address(line.value, port) else {
                it.invalid_line(&line, "expected an IP address, or \"address:port\"");
                continue;
            };
            it.changed(
                &line,
                "drain.alternates",
                "coturn sends all clients there, always; this server serves them itself, and sends new ones there while \
                 it is drained",
            );
            lines.push(line);
            for transport in transports {
                let alternate = format!("{transport}:{address}");
                if !alternates.contains(&alternate) {
                    alternates.push(alternate);
                }
            }
        }
    }
    if !alternates.is_empty() {
        let comment = format!("From {}.", origin(&lines));
        it.draft.section(SectionKind::Drain).set("alternates", alternates, comment);
    }
}

fn address(text: &str, default_port: u16) -> Option<SocketAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let address = bare.map(|ip| SocketAddr::new(ip, default_port)).or_else(|_| text.parse()).ok()?;
    (address.port() != 0 && !address.ip().is_unspecified()).then_some(address)
}
