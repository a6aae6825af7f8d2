//! Where figures are told: `[metrics]`.

use super::{
    conversion::{Conversion, origin},
    draft::SectionKind,
    line::Line,
    listeners::{self, Listening},
    option::{Kind, KnownOption, mapped},
};
use crate::config::address::ListenAddress;
use std::net::{IpAddr, Ipv4Addr};

pub(super) const OPTIONS: &[KnownOption] = &[
    mapped("prometheus", Kind::Switch),
    mapped("prometheus-port", Kind::Value),
    mapped("prometheus-address", Kind::Value),
    mapped("prometheus-path", Kind::Value),
    mapped("prometheus-tls", Kind::Switch),
    mapped("prometheus-cert", Kind::Value),
    mapped("prometheus-key", Kind::Value),
];

pub(super) fn convert(it: &mut Conversion<'_>, listening: &Listening<'_>) {
    let Some(line) = it.switch("prometheus") else {
        for option in
            ["prometheus-port", "prometheus-address", "prometheus-path", "prometheus-cert", "prometheus-key"]
        {
            if let Some(line) = it.last(option) {
                it.default(&line, "not used: prometheus is off");
            }
        }
        if let Some(line) = it.switch("prometheus-tls") {
            it.default(&line, "not used: prometheus is off");
        }
        return;
    };
    let (port, port_line) = listeners::port(it, "prometheus-port", 9641, "metrics.listen");
    let (ip, ip_line) = address(it);
    let address = listeners::at(ip, port);
    let lines: Vec<Line<'_>> = [Some(line), port_line, ip_line].into_iter().flatten().collect();
    if listening.takes_port_of(address) {
        it.dropped(&line, format!("{address} is taken by a listener for clients; see metrics.listen"));
    } else {
        write(it, address, &lines);
        tell(it, &line, ip_line.is_some());
    }
    others(it);
}

fn write(it: &mut Conversion<'_>, address: ListenAddress, lines: &[Line<'_>]) {
    let section = it.draft.section(SectionKind::Metrics);
    section.set("listen", vec![address.to_string()], format!("From {}.", origin(lines)));
    section.set("coturn_names", true, "So that dashboards made for coturn keep working.");
}

fn tell(it: &mut Conversion<'_>, line: &Line<'_>, has_address: bool) {
    match has_address {
        true => it.mapped(line, "metrics.listen"),
        false => it.changed(
            line,
            "metrics.listen",
            "coturn tells its figures to everybody; here only this host gets them, until you name an address of an \
             inner network",
        ),
    }
}

/// Nobody but this host, unless an address is named.
fn address<'a>(it: &mut Conversion<'a>) -> (IpAddr, Option<Line<'a>>) {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let Some(line) = it.last("prometheus-address") else { return (loopback, None) };
    match line.value.parse::<IpAddr>().ok().filter(listeners::is_of_one_host) {
        Some(ip) => {
            it.mapped(&line, "metrics.listen");
            (ip, Some(line))
        }
        None => {
            it.invalid_line(&line, "expected an IP address; 127.0.0.1 is taken");
            (loopback, None)
        }
    }
}

fn others(it: &mut Conversion<'_>) {
    if let Some(line) = it.last("prometheus-path") {
        match line.value {
            "/metrics" => it.default(&line, "it is /metrics"),
            _ => it.dropped(&line, "it is /metrics always: tell Prometheus so (metrics_path)"),
        }
    }
    let tls = "figures are told without TLS: over loopback or an inner network, or by a proxy in front";
    if let Some(line) = it.switch("prometheus-tls") {
        it.dropped(&line, tls);
    }
    for name in ["prometheus-cert", "prometheus-key"] {
        if let Some(line) = it.last(name) {
            it.dropped(&line, tls);
        }
    }
}
