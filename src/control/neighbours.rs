//! Who shares a listener's connections with us: the load balancers in front of it, the web server behind it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::address_book::AddressBook;
use crate::config::address::HostPort;
use crate::config::{Config, checked::Listener, choice::ProxyProtocol};
use crate::net::stream::{Announce, Fallback, Neighbours};

/// Finds the neighbours of all configured listeners, in their order. A name is looked up once: the workers cannot wait
/// for an answer.
pub(super) fn find(config: &Config, book: &AddressBook) -> io::Result<Vec<Neighbours>> {
    let mut found = book.find(&services(config))?.into_iter();
    // They come in the order of the listeners that have one.
    let mut neighbours = |listener: &Listener| Neighbours {
        proxies: listener.proxy_protocol_from.clone().into(),
        fallback: listener
            .fallback
            .as_ref()
            .and_then(|_| found.next())
            .map(|backends| fallback(listener, backends)),
    };
    Ok(config.listeners.iter().map(&mut neighbours).collect())
}

/// The web servers behind listeners.
pub(super) fn services(config: &Config) -> Vec<&HostPort> {
    config.listeners.iter().filter_map(|listener| listener.fallback.as_ref()).collect()
}

fn fallback(listener: &Listener, backends: Arc<[SocketAddr]>) -> Fallback {
    let announce = match listener.fallback_proxy_protocol {
        ProxyProtocol::Off => Announce::Off,
        ProxyProtocol::V1 => Announce::V1,
        ProxyProtocol::V2 => Announce::V2,
    };
    Fallback { backends, announce }
}
