//! Opens all that clients are heard on.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use super::advert::{Advert, Listening};
use super::systemd::{InheritedSockets, Kind};
use crate::config::{Config, checked as configured, choice::Transport};
use crate::net::listener::{ListenError, Listener, WorkerListeners, open_listeners};
use crate::net::stream::{Neighbours, Security, StreamListen, StreamListener, open_stream_listeners};
use crate::net::sys::udp::BufferSizes;

/// The listening sockets of one worker.
pub(super) struct WorkerSockets {
    pub(super) datagrams: WorkerListeners,
    pub(super) streams: Vec<StreamListener>,
}

/// All sockets that are listened on.
pub(super) struct Opened {
    /// Those of each worker.
    pub(super) groups: Vec<WorkerSockets>,
    /// The number of the configured listener of each socket for connections, in the order they have in each group.
    pub(super) streams: Arc<[usize]>,
}

/// Opens the sockets of all workers, but for those that are inherited. Where port 0 was asked for, `advert` learns which one it became.
pub(super) fn open(
    config: &Config,
    neighbours: &[Neighbours],
    mut inherited: InheritedSockets,
    advert: &mut Advert,
    workers: usize,
) -> Result<Opened, ListenError> {
    let buffers = BufferSizes {
        receive: usize::try_from(config.server.receive_buffer).ok(),
        send: usize::try_from(config.server.send_buffer).ok(),
    };
    advert.listeners.retain(|listening| !listening.of_wildcard || is_usable(listening.address));
    let (streams, datagrams): (Vec<Listening>, Vec<Listening>) =
        advert.listeners.iter().partition(|listening| listening.transport.is_stream());
    let (together, streams) = join_wildcards(streams, &inherited);
    let addresses: Vec<_> = datagrams.iter().map(|listening| listening.address).collect();
    let wanted: Vec<_> = streams.iter().map(|listening| stream_listen(neighbours, listening)).collect();
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
    Ok(Opened { groups, streams: streams.iter().map(|listening| listening.listener).collect() })
}

/// The listeners of a new configuration for the sockets of the `running` one, in the same order: what can be changed
/// while they are open is as it is `wanted` for the same address and transport. A listener that is not wanted any more
/// stays what it is, and one that is new is left out: both need another start.
pub(super) fn carry_over(
    running: &[configured::Listener],
    wanted: &[configured::Listener],
) -> Vec<configured::Listener> {
    let mut wanted: Vec<_> = wanted.iter().collect();
    let carried = running.iter().map(|old| {
        let is_same =
            |new: &&configured::Listener| (new.address, new.transport) == (old.address, old.transport);
        wanted.iter().position(is_same).map_or(old, |at| wanted.remove(at)).clone()
    });
    carried.collect()
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

fn stream_listen(neighbours: &[Neighbours], listening: &Listening) -> StreamListen {
    let security = match listening.transport {
        Transport::Udp | Transport::Tcp => Security::Plain,
        Transport::Tls => Security::Tls,
        Transport::Auto => Security::Either,
    };
    let neighbours = neighbours.get(listening.listener).cloned().unwrap_or_default();
    StreamListen { address: listening.address, security, neighbours }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Inputs, Override, load};

    fn listeners(text: &str) -> Vec<configured::Listener> {
        let table: toml::Table = toml::from_str(&format!("v = {text}")).unwrap();
        let listener = Override { key: "listener".into(), value: table["v"].clone(), origin: "test".into() };
        load(Inputs { file: None, overrides: vec![listener] }).unwrap().config.listeners
    }

    #[test]
    fn sockets_keep_their_order_and_get_what_is_wanted_for_their_address() {
        let running = listeners(
            r#"[{ address = "127.0.0.1:1", transport = "tcp" }, { address = "127.0.0.1:2" },
                { address = "127.0.0.1:0", transport = "tcp" },
                { address = "127.0.0.1:0", transport = "tcp", proxy_protocol_from = ["192.0.2.1"] }]"#,
        );
        let wanted = listeners(
            r#"[{ address = "127.0.0.1:9" },
                { address = "127.0.0.1:0", transport = "tcp", proxy_protocol_from = ["192.0.2.2"] },
                { address = "127.0.0.1:0", transport = "tcp" },
                { address = "127.0.0.1:1", transport = "tcp", proxy_protocol_from = ["192.0.2.3"] }]"#,
        );
        let expected = [&wanted[3], &running[1], &wanted[1], &wanted[2]].map(Clone::clone);
        assert_eq!(carry_over(&running, &wanted), expected);
        assert_eq!(carry_over(&running, &running), running);
    }
}
