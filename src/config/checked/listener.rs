//! `[[listener]]`: where clients are heard, and over what.

use super::Findings;
use crate::config::{
    address::{HostPort, ListenAddress},
    choice::{ProxyProtocol, Transport},
    raw,
};
use ipnet::IpNet;

/// A `[[listener]]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub address: ListenAddress,
    /// Over what.
    pub transport: Transport,
    /// Load balancers that say by the PROXY protocol whom they connect for.
    pub proxy_protocol_from: Vec<IpNet>,
    /// Who gets the connections that are HTTP.
    pub fallback: Option<HostPort>,
    /// How those are told who the client is.
    pub fallback_proxy_protocol: ProxyProtocol,
}

pub(super) fn check(raw: &[raw::Listener], findings: &mut Findings<'_>) -> Vec<Listener> {
    if raw.is_empty() {
        findings.problem("listener", "at least one listener is needed; without any the default is \":3478\"");
    }
    for (at, listener) in raw.iter().enumerate() {
        if let Some(message) = opened_twice(&raw[..at], listener) {
            findings.problem(&format!("listener[{at}].address"), message);
        }
        check_stream_keys(at, listener, findings);
    }
    let checked = raw.iter().map(|listener| Listener {
        address: listener.address,
        transport: listener.transport,
        proxy_protocol_from: listener.proxy_protocol_from.iter().map(|cidr| cidr.0).collect(),
        fallback: listener.fallback.clone(),
        fallback_proxy_protocol: listener.fallback_proxy_protocol.unwrap_or(ProxyProtocol::Off),
    });
    checked.collect()
}

/// A UDP port and a TCP port of one number are two ports; TLS is on a TCP port.
pub(in crate::config) fn opened_twice(earlier: &[raw::Listener], listener: &raw::Listener) -> Option<String> {
    let overlaps = |other: &&raw::Listener| {
        other.transport.is_stream() == listener.transport.is_stream()
            && (other.address.covers(listener.address) || listener.address.covers(other.address))
    };
    let other = earlier.iter().find(overlaps)?;
    let number = earlier.iter().position(|it| it == other).map_or(0, |at| at + 1);
    let address = listener.address;
    if other.transport == listener.transport {
        return Some(format!(
            "\"{address}\" would be opened twice: listener {number} is \"{}\"",
            other.address
        ));
    }
    Some(format!(
        "\"{address}\" is a {} listener, and listener {number} has the same TCP port for {}; one listener with \
         transport = \"auto\" serves plain TCP and TLS on one port",
        listener.transport, other.transport
    ))
}

fn check_stream_keys(at: usize, listener: &raw::Listener, findings: &mut Findings<'_>) {
    let transport = listener.transport;
    if !listener.proxy_protocol_from.is_empty() && !transport.is_stream() {
        let message =
            format!("the PROXY protocol precedes a TCP connection, and this is a {transport} listener");
        findings.problem(&format!("listener[{at}].proxy_protocol_from"), message);
    }
    if listener.fallback.is_some() && !transport.is_tls() {
        let message = format!(
            "only TLS connections can be passed on: expected transport = \"tls\" or \"auto\", and this is a {transport} \
             listener"
        );
        findings.problem(&format!("listener[{at}].fallback"), message);
    }
    if listener.fallback_proxy_protocol.is_some() && listener.fallback.is_none() {
        let message = "there is no fallback that could be told who the client is";
        findings.problem(&format!("listener[{at}].fallback_proxy_protocol"), message);
    }
}
