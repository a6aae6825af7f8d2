//! Where clients are heard: `[[listener]]`.

use super::{
    conversion::{Conversion, origin},
    draft::SectionKind,
    line::Line,
    option::{Kind, KnownOption, mapped},
};
use crate::config::{
    address::{Cidr, ListenAddress},
    checked,
    choice::Transport,
    raw,
};
use std::net::{IpAddr, SocketAddr};

pub(super) const OPTIONS: &[KnownOption] = &[
    mapped("listening-port", Kind::Value),
    mapped("tls-listening-port", Kind::Value),
    mapped("listening-ip", Kind::Value),
    mapped("aux-server", Kind::Value),
    mapped("tcp-proxy-port", Kind::Value),
    mapped("no-udp", Kind::Switch),
    mapped("no-tcp", Kind::Switch),
];

/// What other sections have to know of the listeners.
pub(super) struct Listening<'a> {
    /// The addresses that are named, with their lines; none means all that the host has.
    pub(super) addresses: Vec<(IpAddr, Line<'a>)>,
    /// The port for UDP on each of them, unless UDP is off.
    pub(super) udp_port: Option<u16>,
    /// Those that hold TCP ports.
    streams: Vec<ListenAddress>,
}

impl Listening<'_> {
    /// Whether clients are heard at a TCP port of this address already.
    pub(super) fn takes_port_of(&self, address: ListenAddress) -> bool {
        self.streams.iter().any(|taken| taken.covers(address) || address.covers(*taken))
    }
}

/// Which transports are served, and the lines that say so.
struct Transports<'a> {
    udp: bool,
    tcp: bool,
    tls: bool,
    lines: Vec<Line<'a>>,
}

/// A listener that is wanted, and where it comes from.
struct Wanted<'a> {
    listener: raw::Listener,
    lines: Vec<Line<'a>>,
    comment: &'static str,
}

pub(super) fn convert<'a>(it: &mut Conversion<'a>, tls: bool) -> Listening<'a> {
    let port = port(it, "listening-port", 3478, "listener.address");
    let tls_port = port_for_tls(it, tls);
    let addresses = addresses(it);
    let transports = transports(it, tls);
    let mut wanted = main_listeners(&addresses, &port, &tls_port, &transports);
    wanted.extend(auxiliary(it, &transports));
    wanted.extend(behind_proxy(it, &addresses));
    let streams = wanted.iter().map(|wanted| &wanted.listener).filter(|it| it.transport.is_stream());
    let streams = streams.map(|listener| listener.address).collect();
    // The defaults need not be written.
    if tls || !transports.lines.is_empty() || wanted.iter().any(|wanted| !wanted.lines.is_empty()) {
        write(it, wanted, &transports.lines);
    }
    let udp_port = transports.udp.then_some(port.0);
    Listening { addresses, udp_port, streams }
}

/// A port, with the line that names it.
pub(super) type Port<'a> = (u16, Option<Line<'a>>);

pub(super) fn port<'a>(
    it: &mut Conversion<'a>,
    name: &'static str,
    default: u16,
    key: &'static str,
) -> Port<'a> {
    let Some((line, number)) = it.number(name) else { return (default, None) };
    match u16::try_from(number).ok().filter(|port| *port != 0) {
        Some(port) => {
            it.mapped(&line, key);
            (port, Some(line))
        }
        None => {
            it.invalid_line(&line, format!("expected a port from 1 to 65535; {default} is taken"));
            (default, None)
        }
    }
}

fn port_for_tls<'a>(it: &mut Conversion<'a>, tls: bool) -> Port<'a> {
    if tls {
        return port(it, "tls-listening-port", 5349, "listener.address");
    }
    if let Some(line) = it.last("tls-listening-port") {
        it.default(&line, "not used: there is no TLS without cert and pkey, or with no-tls");
    }
    (5349, None)
}

fn addresses<'a>(it: &mut Conversion<'a>) -> Vec<(IpAddr, Line<'a>)> {
    let mut addresses: Vec<(IpAddr, Line<'a>)> = Vec::new();
    for line in it.every("listening-ip") {
        let text = line.value.trim_start_matches('[').trim_end_matches(']');
        match text.parse::<IpAddr>() {
            Ok(ip) if !is_of_one_host(&ip) => {
                it.invalid_line(&line, format!("{ip} is not an address of one host"));
            }
            Ok(ip) if addresses.iter().any(|(earlier, _)| *earlier == ip) => {
                it.default(&line, format!("{ip} is listed already"));
            }
            Ok(ip) => {
                it.mapped(&line, "listener.address");
                addresses.push((ip, line));
            }
            Err(_) => it.invalid_line(&line, "expected an IP address"),
        }
    }
    // Those that cover others come first, and the others then need no listener of their own.
    addresses.sort_by_key(|(ip, _)| !ip.is_unspecified());
    addresses
}

fn transports<'a>(it: &mut Conversion<'a>, tls: bool) -> Transports<'a> {
    let (no_udp, no_tcp) = (it.switch("no-udp"), it.switch("no-tcp"));
    let lines: Vec<Line<'a>> = no_udp.into_iter().chain(no_tcp).collect();
    if lines.len() == 2 && !tls {
        for line in &lines {
            it.changed(
                line,
                "listener.transport",
                "nothing would be listened on, so the default listeners are kept",
            );
        }
        return Transports { udp: true, tcp: true, tls, lines: Vec::new() };
    }
    for line in &lines {
        it.mapped(line, "listener.transport");
    }
    Transports { udp: no_udp.is_none(), tcp: no_tcp.is_none(), tls, lines }
}

const BOTH: &str = "As with coturn, TLS is understood on the plain port and plain TCP on the TLS port; \"tcp\" and \"tls\" \
                    part them.";

fn main_listeners<'a>(
    addresses: &[(IpAddr, Line<'a>)],
    port: &Port<'a>,
    tls_port: &Port<'a>,
    transports: &Transports<'a>,
) -> Vec<Wanted<'a>> {
    let hosts: Vec<Option<(IpAddr, Line<'a>)>> = match addresses.is_empty() {
        true => vec![None],
        false => addresses.iter().copied().map(Some).collect(),
    };
    let mut wanted = Vec::new();
    for host in hosts {
        let mut want = |(number, line): &Port<'a>, transport, comment| {
            let address = match host {
                Some((ip, _)) => at(ip, *number),
                None => ListenAddress::All { port: *number },
            };
            let lines = line.iter().copied().chain(host.map(|(_, line)| line)).collect();
            wanted.push(Wanted { listener: listener(address, transport), lines, comment });
        };
        if transports.udp {
            want(port, Transport::Udp, "");
        }
        match (transports.tcp, transports.tls) {
            (true, true) => {
                want(port, Transport::Auto, BOTH);
                want(tls_port, Transport::Auto, "");
            }
            (true, false) => want(port, Transport::Tcp, ""),
            (false, true) => want(tls_port, Transport::Tls, ""),
            (false, false) => {}
        }
    }
    wanted
}

/// More addresses, with ports of their own.
fn auxiliary<'a>(it: &mut Conversion<'a>, transports: &Transports<'a>) -> Vec<Wanted<'a>> {
    let stream = if transports.tls { Transport::Auto } else { Transport::Tcp };
    let mut wanted = Vec::new();
    for line in it.every("aux-server") {
        match line.value.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 && is_of_one_host(&address.ip()) => {
                it.mapped(&line, "listener");
                let served = [(transports.udp, Transport::Udp), (transports.tcp, stream)];
                for (_, transport) in served.into_iter().filter(|(is_served, _)| *is_served) {
                    let listener = listener(at(address.ip(), address.port()), transport);
                    wanted.push(Wanted { listener, lines: vec![line], comment: "" });
                }
            }
            Ok(_) | Err(_) => it.invalid_line(&line, "expected \"address:port\""),
        }
    }
    wanted
}

/// Where load balancers usually are. coturn believes anybody who comes to this port.
const BALANCERS: [&str; 6] =
    ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"];

fn behind_proxy<'a>(it: &mut Conversion<'a>, addresses: &[(IpAddr, Line<'a>)]) -> Vec<Wanted<'a>> {
    let (port, Some(line)) = proxy_port(it) else { return Vec::new() };
    let hosts: Vec<ListenAddress> = match addresses.is_empty() {
        true => vec![ListenAddress::All { port }],
        false => addresses.iter().map(|(ip, _)| at(*ip, port)).collect(),
    };
    let from: Vec<Cidr> = BALANCERS.iter().filter_map(|range| range.parse().ok()).collect();
    let wanted = hosts.into_iter().map(|address| {
        let listener = raw::Listener { proxy_protocol_from: from.clone(), ..listener(address, Transport::Tcp) };
        let comment = "Name the addresses of your load balancer here: whoever comes from these can claim to be anybody.";
        Wanted { listener, lines: vec![line], comment }
    });
    wanted.collect()
}

fn proxy_port<'a>(it: &mut Conversion<'a>) -> Port<'a> {
    let Some((line, number)) = it.number("tcp-proxy-port") else { return (0, None) };
    match u16::try_from(number).ok().filter(|port| *port != 0) {
        Some(port) => {
            it.changed(
                &line,
                "listener.proxy_protocol_from",
                "coturn believes anybody who connects to this port; here only private addresses are believed, until you \
                 name those of your load balancer",
            );
            (port, Some(line))
        }
        None => {
            it.invalid_line(&line, "expected a port from 1 to 65535");
            (0, None)
        }
    }
}

pub(super) fn is_of_one_host(ip: &IpAddr) -> bool {
    !ip.is_multicast() && *ip != IpAddr::from([255; 4])
}

pub(super) fn at(ip: IpAddr, port: u16) -> ListenAddress {
    match ip {
        IpAddr::V4(v4) if v4.is_unspecified() => ListenAddress::AllV4 { port },
        IpAddr::V6(v6) if v6.is_unspecified() => ListenAddress::AllV6 { port },
        IpAddr::V4(_) | IpAddr::V6(_) => ListenAddress::One(SocketAddr::new(ip, port)),
    }
}

fn listener(address: ListenAddress, transport: Transport) -> raw::Listener {
    raw::Listener { address, transport, ..raw::Listener::default() }
}

/// Writes those that nothing else covers already.
fn write(it: &mut Conversion<'_>, wanted: Vec<Wanted<'_>>, left_out: &[Line<'_>]) {
    let mut written: Vec<raw::Listener> = Vec::new();
    for Wanted { listener, lines, comment } in wanted {
        if checked::listener::opened_twice(&written, &listener).is_some() {
            note_covered(it, &listener, &lines);
            continue;
        }
        let section = it.draft.add(SectionKind::Listener);
        if !lines.is_empty() {
            section.comment(format!("From {}.", origin(&lines)));
        }
        if !comment.is_empty() {
            section.comment(comment);
        }
        if written.is_empty() && !left_out.is_empty() {
            section.comment(format!("What is not listened on is left out by {}.", origin(left_out)));
        }
        section.set_plain("address", listener.address.to_string());
        section.set_plain("transport", listener.transport.to_string());
        if !listener.proxy_protocol_from.is_empty() {
            let from: Vec<String> = listener.proxy_protocol_from.iter().map(ToString::to_string).collect();
            section.set_plain("proxy_protocol_from", from);
        }
        written.push(listener);
    }
}

fn note_covered(it: &mut Conversion<'_>, listener: &raw::Listener, lines: &[Line<'_>]) {
    let about = lines.last().map_or("listening-port", |line| line.name);
    let message = format!("{} {} is within another listener already", listener.transport, listener.address);
    it.note(about, message);
}
