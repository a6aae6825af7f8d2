//! Opens all that clients are heard on.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::advert::{Advert, Listening};
use super::systemd::{InheritedSockets, Kind};
use crate::config::{Config, choice::Transport};
use crate::net::listener::{ListenError, Listener, WorkerListeners, open_listeners};
use crate::net::stream::{Fallback, Security, StreamListen, StreamListener, open_stream_listeners};
use crate::net::sys::udp::BufferSizes;

/// The listening sockets of one worker.
pub(super) struct WorkerSockets {
    pub(super) datagrams: WorkerListeners,
    pub(super) streams: Vec<StreamListener>,
}

/// Opens the sockets of all workers, but for those that are inherited. Where port 0 was asked for, `advert` learns which one it became.
pub(super) fn open(
    config: &Config,
    fallbacks: &[Option<Fallback>],
    mut inherited: InheritedSockets,
    advert: &mut Advert,
    workers: usize,
) -> Result<Vec<WorkerSockets>, ListenError> {
    let buffers = BufferSizes {
        receive: usize::try_from(config.server.receive_buffer).ok(),
        send: usize::try_from(config.server.send_buffer).ok(),
    };
    advert.listeners.retain(|listening| !listening.of_wildcard || is_usable(listening.address));
    let (streams, datagrams): (Vec<Listening>, Vec<Listening>) =
        advert.listeners.iter().partition(|listening| listening.transport.is_stream());
    let (together, streams) = join_wildcards(streams, &inherited);
    let addresses: Vec<_> = datagrams.iter().map(|listening| listening.address).collect();
    let wanted: Vec<_> =
        streams.iter().map(|listening| stream_listen(config, fallbacks, listening)).collect();
    let datagram_groups =
        open_listeners(&addresses, workers, buffers, |address| inherited.take(Kind::Datagrams, address))?;
    let stream_groups =
        open_stream_listeners(&wanted, workers, |address| inherited.take(Kind::Connections, address))?;
    inherited.give_up();
    let groups: Vec<_> = datagram_groups
        .into_iter()
        .zip(stream_groups)
        .map(|(datagrams, streams)| WorkerSockets { datagrams, streams })
        .collect();
    if let Some(group) = groups.first() {
        let bound = group
            .datagrams
            .iter()
            .map(Listener::address)
            .chain(group.streams.iter().map(StreamListener::address));
        let listening = datagrams.iter().chain(&streams).zip(bound);
        let opened = listening.map(|(wanted, address)| Listening { address, ..*wanted });
        // One socket for all addresses is not where clients come to; the addresses are.
        advert.listeners =
            opened.filter(|opened| !opened.address.ip().is_unspecified()).chain(together).collect();
    }
    Ok(groups)
}

/// A listener on all addresses has one socket for each, unless one is inherited that hears them all. Returns the addresses
/// which such a socket serves, and what is to be listened on, with that socket's address in their place.
fn join_wildcards(streams: Vec<Listening>, inherited: &InheritedSockets) -> (Vec<Listening>, Vec<Listening>) {
    let wildcard = |listening: &Listening| {
        let any = match listening.address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        SocketAddr::new(any, listening.address.port())
    };
    let (together, mut apart): (Vec<Listening>, Vec<Listening>) =
        streams.into_iter().partition(|listening| {
            listening.of_wildcard && inherited.has(Kind::Connections, wildcard(listening))
        });
    for listening in &together {
        let joined = Listening { address: wildcard(listening), ..*listening };
        if !apart.contains(&joined) {
            apart.push(joined);
        }
    }
    (together, apart)
}

/// Whether an address that was found on an interface can be listened on: it may have gone since, and one that IPv6 has
/// not yet found to be unique cannot be used.
fn is_usable(address: SocketAddr) -> bool {
    match UdpSocket::bind(SocketAddr::new(address.ip(), 0)) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            tracing::warn!(%address, "address of this host cannot be listened on");
            false
        }
        _ => true,
    }
}

fn stream_listen(config: &Config, fallbacks: &[Option<Fallback>], listening: &Listening) -> StreamListen {
    let security = match listening.transport {
        Transport::Udp | Transport::Tcp => Security::Plain,
        Transport::Tls => Security::Tls,
        Transport::Auto => Security::Either,
    };
    let fallback = fallbacks.get(listening.listener).cloned().flatten();
    let configured = config.listeners.get(listening.listener);
    let proxies = configured.map_or_else(Vec::new, |listener| listener.proxy_protocol_from.clone());
    StreamListen { address: listening.address, security, proxies: proxies.into(), fallback }
}
