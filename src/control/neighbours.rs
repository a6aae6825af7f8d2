//! Who shares a listener's connections with us: the load balancers in front of it, the web server behind it.

use std::io;
use std::net::ToSocketAddrs;

use crate::config::{Config, checked::Listener, choice::ProxyProtocol};
use crate::net::stream::{Announce, Fallback, Neighbours};

/// Finds the neighbours of all configured listeners, in their order. A name is looked up once: the workers cannot wait
/// for an answer.
pub(super) fn find(config: &Config) -> io::Result<Vec<Neighbours>> {
    config.listeners.iter().map(neighbours).collect()
}

fn neighbours(listener: &Listener) -> io::Result<Neighbours> {
    let proxies = listener.proxy_protocol_from.clone().into();
    Ok(Neighbours { proxies, fallback: fallback(listener)? })
}

fn fallback(listener: &Listener) -> io::Result<Option<Fallback>> {
    let Some(service) = &listener.fallback else { return Ok(None) };
    let found = (service.host.as_str(), service.port).to_socket_addrs();
    let backends: Vec<_> =
        found.map_err(|error| io::Error::new(error.kind(), format!("{service}: {error}")))?.collect();
    let announce = match listener.fallback_proxy_protocol {
        ProxyProtocol::Off => Announce::Off,
        ProxyProtocol::V1 => Announce::V1,
        ProxyProtocol::V2 => Announce::V2,
    };
    Ok(Some(Fallback { backends: backends.into(), announce }))
}
