//! From the configuration to what the workers' sockets work with: at the start, and whenever it changes.
//!
//! A change has two steps. What can be wrong with it is found by [`Network::settings`], which touches nothing; then come
//! [`Network::change`] and, for each worker, [`WorkerLine::reconfigure`](crate::net::worker::WorkerLine::reconfigure).

use std::io;
use std::sync::Arc;

use super::address_book::AddressBook;
use super::advert::Advert;
use super::neighbours;
use crate::config::Config;
use crate::net::ports::RelayPorts;
use crate::net::stream::{CapLimits, Caps, Patience, StreamOptions};
use crate::net::tls::TlsConfigs;
use crate::net::worker::NetSettings;

/// What the workers share of the network.
#[derive(Clone)]
pub(super) struct Network {
    pub(super) ports: Arc<RelayPorts>,
    pub(super) caps: Arc<Caps>,
    /// The numbers of the configured listeners that the sockets for connections belong to.
    streams: Arc<[usize]>,
    book: AddressBook,
}

impl Network {
    /// What `config` and `advert` say, for sockets of these listeners, whose neighbours are in `book`. The seeds are for
    /// the ports and the tables of connections.
    pub(super) fn new(
        config: &Config,
        advert: &Advert,
        streams: Arc<[usize]>,
        book: AddressBook,
        (ports_seed, caps_seed): ([u8; 32], u64),
    ) -> Self {
        Self {
            ports: Arc::new(RelayPorts::new(&advert.relays, config.relay.ports.ports(), ports_seed)),
            caps: Arc::new(Caps::new(cap_limits(config), caps_seed)),
            streams,
            book,
        }
    }

    /// What each running worker is to be told. The listeners of `config` have to be those of the open sockets. The names of
    /// fallbacks that are not in use yet are looked up, which can take some seconds and fail.
    pub(super) fn settings(&self, config: &Config, tls: Option<TlsConfigs>) -> io::Result<NetSettings> {
        let found = neighbours::find(config, &self.book)?;
        let of_socket = |listener: &usize| found.get(*listener).cloned().unwrap_or_default();
        let neighbours = self.streams.iter().map(of_socket).collect();
        Ok(NetSettings { streams: stream_options(config, tls), neighbours })
    }

    /// What `config` and `advert` say of all that comes from now on. All that lives goes on, and is counted as before.
    pub(super) fn change(&self, config: &Config, advert: &Advert) {
        self.ports.reconfigure(&advert.relays, config.relay.ports.ports());
        self.caps.set_limits(cap_limits(config));
        self.book.keep(&neighbours::services(config));
    }
}

/// What the configuration says of connections.
pub(super) fn stream_options(config: &Config, tls: Option<TlsConfigs>) -> StreamOptions {
    let limits = &config.limits.streams;
    StreamOptions {
        patience: Patience {
            handshake: limits.handshake_timeout,
            first_request: limits.first_request_timeout,
            idle: limits.idle_timeout,
        },
        send_queue: limits.send_queue,
        tls,
    }
}

fn cap_limits(config: &Config) -> CapLimits {
    let limits = &config.limits.streams;
    let unlimited = |limit: Option<u32>| limit.unwrap_or(u32::MAX);
    CapLimits { total: unlimited(limits.connections), per_source: unlimited(limits.connections_per_ip) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Inputs, Override, load};
    use crate::net::stream::Announce;
    use crate::turn::Millis;
    use std::net::IpAddr;
    use std::time::Duration;

    const LISTENERS: &str = r#"[
        { address = "127.0.0.1:3478", transport = "tcp", proxy_protocol_from = ["192.0.2.0/24"] },
        { address = "127.0.0.1:3478" },
        { address = "0.0.0.0:443", transport = "auto", fallback = "127.0.0.1:8443", fallback_proxy_protocol = "v2" },
    ]"#;

    fn made(settings: &[(&str, &str)]) -> (Config, Advert) {
        let settings =
            [&[("listener", LISTENERS), ("tls.certificate", r#"[{ chain = "c", key = "k" }]"#)], settings];
        let overrides = settings.concat().into_iter().map(|(key, value)| {
            let table: toml::Table = toml::from_str(&format!("v = {value}")).unwrap();
            Override { key: key.into(), value: table["v"].clone(), origin: "test".into() }
        });
        let config = load(Inputs { file: None, overrides: overrides.collect() }).unwrap().config;
        let host = ["127.0.0.1", "192.168.1.5"].map(|ip| ip.parse::<IpAddr>().unwrap());
        let advert = Advert::of(&config, &host);
        (config, advert)
    }

    /// One whose last listener has two sockets.
    fn network() -> Network {
        let (config, advert) = made(&[]);
        Network::new(&config, &advert, [0, 2, 2].into(), AddressBook::new(), ([0; 32], 0))
    }

    #[test]
    fn each_socket_has_the_neighbours_of_its_listener() {
        let settings = network().settings(&made(&[]).0, None).unwrap();
        let [balanced, local, other] = &settings.neighbours[..] else { panic!("{:?}", settings.neighbours) };
        assert_eq!(balanced.proxies[..], ["192.0.2.0/24".parse().unwrap()]);
        assert!(balanced.fallback.is_none());
        for shared in [local, other] {
            let fallback = shared.fallback.as_ref().unwrap();
            assert_eq!(fallback.backends[..], ["127.0.0.1:8443".parse().unwrap()]);
            assert_eq!((shared.proxies.len(), fallback.announce), (0, Announce::V2));
        }
    }

    #[test]
    fn deadlines_and_limits_are_those_of_the_configuration() {
        let (config, _) = made(&[
            ("limits.handshake_timeout", r#""3s""#),
            ("limits.first_request_timeout", r#""4s""#),
            ("limits.idle_timeout", r#""5m""#),
            ("limits.send_queue", r#""300 KiB""#),
        ]);
        let streams = network().settings(&config, None).unwrap().streams;
        let Patience { handshake, first_request, idle } = streams.patience;
        assert_eq!([handshake, first_request, idle], [3, 4, 300].map(Duration::from_secs));
        assert_eq!(streams.send_queue, 300 << 10);
    }

    #[test]
    fn a_change_is_for_the_ports_and_the_caps_that_the_workers_have() {
        let network = network();
        let (ports, caps) = (network.ports.clone(), network.caps.clone());
        let (config, advert) = made(&[
            ("relay.ports", r#""50000-50009""#),
            ("relay.external", r#"["203.0.113.7"]"#),
            ("limits.connections", "7"),
            ("limits.connections_per_ip", "3"),
        ]);
        network.change(&config, &advert);
        let [usage] = ports.usage(Millis(0))[..] else { panic!("one relay address") };
        assert_eq!((usage.capacity, usage.address.external), (10, "203.0.113.7".parse().unwrap()));
        assert_eq!(caps.limits(), CapLimits { total: 7, per_source: 3 });
    }
}
