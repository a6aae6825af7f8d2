//! Which addresses come of a configuration on a given host, and which of them clients and peers are told.

use super::ice_servers::{turn_url, turns_url};
use crate::config::{
    Config,
    address::ListenAddress,
    checked::{External, Relay},
    choice::Transport,
};
use crate::net::ports::RelayAddress;
use crate::turn::ListenerId;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// The addresses of a server: where it listens, where it relays from, and what that is called outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advert {
    /// One for each local address a listener stands for, each once.
    pub listeners: Vec<Listening>,
    /// The addresses to relay from.
    pub relays: Vec<RelayAddress>,
    /// What the configuration tells clients instead of these; empty if it leaves that to us.
    pub urls: Vec<String>,
    /// What else this process serves over TCP, and clients must not reach through it.
    pub services: Vec<SocketAddr>,
}

/// A socket address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Where.
    pub address: SocketAddr,
    /// Over what.
    pub transport: Transport,
    /// The number of the configured listener that it comes from.
    pub listener: usize,
    /// One of the addresses that a wildcard stands for, so the server can do without it.
    pub of_wildcard: bool,
}

/// As `--listen` takes it.
impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.address)
    }
}

impl Advert {
    /// What `config` means on a host that has the addresses `host`.
    pub fn of(config: &Config, host: &[IpAddr]) -> Self {
        let mut listeners: Vec<Listening> = Vec::new();
        for (at, listener) in config.listeners.iter().enumerate() {
            let transport = listener.transport;
            let of_wildcard = !matches!(listener.address, ListenAddress::One(_));
            for address in expand(listener.address, host) {
                let is_known = |other: &Listening| {
                    other.address == address && other.transport.is_stream() == transport.is_stream()
                };
                if address.port() == 0 || !listeners.iter().any(is_known) {
                    listeners.push(Listening { address, transport, listener: at, of_wildcard });
                }
            }
        }
        for pair in &config.nat_discovery.pairs {
            for address in pair.sockets() {
                let transport = Transport::Udp;
                let new = Listening { address, transport, listener: pair.listener, of_wildcard: false };
                let is_known =
                    |other: &Listening| (other.address, other.transport) == (address, Transport::Udp);
                if !listeners.iter().any(is_known) {
                    listeners.push(new);
                }
            }
        }
        let advertised =
            |local: IpAddr| RelayAddress { bind: local, external: config.relay.external.advertised(local) };
        Self {
            listeners,
            relays: relay_addresses(&config.relay, host).into_iter().map(advertised).collect(),
            urls: config.server.urls.clone(),
            services: Vec::new(),
        }
    }

    /// The address of a listener that workers know by its number.
    pub(crate) fn address_of(&self, listener: ListenerId) -> Option<SocketAddr> {
        let mut of_its_kind =
            self.listeners.iter().filter(|other| other.transport.is_stream() == listener.is_stream());
        of_its_kind.nth(usize::from(listener.number())).map(|found| found.address)
    }

    /// The URLs for a client's configuration: those that are configured, or else what we know: over UDP, then TCP, then TLS, which needs a name that the certificate
    /// has, since browsers check it.
    pub fn client_urls(&self, external: &External, tls_name: Option<&str>) -> Vec<String> {
        if !self.urls.is_empty() {
            return self.urls.clone();
        }
        let plain = |protocol, fits: fn(Transport) -> bool| {
            let addresses = self.client_addresses(external, fits);
            addresses.into_iter().map(move |address| turn_url(address, protocol))
        };
        let mut urls: Vec<String> = plain("udp", |transport| transport == Transport::Udp)
            .chain(plain("tcp", |transport| matches!(transport, Transport::Tcp | Transport::Auto)))
            .collect();
        for address in self.client_addresses(external, Transport::is_tls) {
            let url = match tls_name {
                Some(name) => turns_url(&format!("{name}:{}", address.port())),
                None => turns_url(&address.to_string()),
            };
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
        urls
    }

    /// The addresses of listeners that `fits` is true of, as seen from outside: one for each family, since each one
    /// more only makes ICE slower. Loopback counts only when there is nothing else.
    fn client_addresses(&self, external: &External, fits: fn(Transport) -> bool) -> Vec<SocketAddr> {
        let outside =
            |address: &SocketAddr| SocketAddr::new(external.advertised(address.ip()), address.port());
        let listeners = || self.listeners.iter().filter(|listener| fits(listener.transport));
        let pick = |v4: bool, loopback: bool| {
            let fits =
                |address: &&SocketAddr| address.is_ipv4() == v4 && address.ip().is_loopback() == loopback;
            listeners().map(|listener| &listener.address).find(fits).map(outside)
        };
        let real: Vec<_> = [pick(true, false), pick(false, false)].into_iter().flatten().collect();
        if real.is_empty() {
            [pick(true, true), pick(false, true)].into_iter().flatten().collect()
        } else {
            real
        }
    }
}

/// What is likely to be wrong with the relay addresses: all are private, and nothing says what they are called outside.
pub fn advice_on_relays(advert: &Advert) -> Option<String> {
    let is_private = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => {
            ip.is_private() || ip.is_link_local() || ip.octets()[0] == 100 && ip.octets()[1] & 0xC0 == 64
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    let outside: Vec<IpAddr> = advert.relays.iter().map(|relay| relay.external).collect();
    // A server that has nothing but loopback is being tried out.
    let (private, loopback): (Vec<IpAddr>, Vec<IpAddr>) = (
        outside.iter().copied().filter(|ip| is_private(*ip)).collect(),
        outside.iter().copied().filter(IpAddr::is_loopback).collect(),
    );
    (!private.is_empty() && private.len() + loopback.len() == outside.len()).then(|| {
        let shown: Vec<String> = private.iter().map(ToString::to_string).collect();
        format!(
            "no relay address is public ({}), so peers outside this network cannot be reached; behind a 1:1 NAT, as in \
             most clouds, put the public address into relay.external",
            shown.join(", ")
        )
    })
}

/// The local addresses that one listener of the configuration stands for.
fn expand(listener: ListenAddress, host: &[IpAddr]) -> Vec<SocketAddr> {
    let port = listener.port();
    let of_host = |wanted: fn(&IpAddr) -> bool| {
        host.iter().filter(|ip| wanted(ip)).map(|ip| SocketAddr::new(*ip, port)).collect()
    };
    match listener {
        ListenAddress::All { .. } => of_host(|_| true),
        ListenAddress::AllV4 { .. } => of_host(IpAddr::is_ipv4),
        ListenAddress::AllV6 { .. } => of_host(IpAddr::is_ipv6),
        ListenAddress::One(address) => vec![address],
    }
}

/// The configured addresses, or all of the host's except loopback; loopback for a family that has no other.
fn relay_addresses(relay: &Relay, host: &[IpAddr]) -> Vec<IpAddr> {
    if !relay.addresses.is_empty() {
        return relay.addresses.clone();
    }
    [IpAddr::is_ipv4, IpAddr::is_ipv6]
        .into_iter()
        .flat_map(|family| relay_addresses_of(family, relay, host))
        .collect()
}

fn relay_addresses_of(family: fn(&IpAddr) -> bool, relay: &Relay, host: &[IpAddr]) -> Vec<IpAddr> {
    let of_family = || host.iter().copied().filter(family);
    let usable: Vec<IpAddr> = of_family().filter(|ip| !ip.is_loopback()).collect();
    if usable.is_empty() {
        return of_family().collect();
    }
    let pairs = || relay.external.pairs().iter().filter(|pair| family(&pair.public));
    if pairs().all(|pair| pair.private.is_some()) {
        return usable;
    }
    // One external address that names no local one: two local addresses behind it would hand out the same ports
    // twice. The first is that of the first interface, which bridges of containers come after.
    let named = |ip: &IpAddr| pairs().any(|pair| pair.private == Some(*ip));
    let unnamed = usable.iter().copied().find(|ip| !named(ip));
    usable.iter().copied().filter(|ip| named(ip) || Some(*ip) == unnamed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Inputs, Override, load};

    fn advert(settings: &[(&str, &str)], host: &[&str]) -> (Advert, Config) {
        let overrides = settings.iter().map(|(key, value)| {
            let table: toml::Table = toml::from_str(&format!("v = {value}")).unwrap();
            Override { key: (*key).into(), value: table["v"].clone(), origin: "test".into() }
        });
        let config = load(Inputs { file: None, overrides: overrides.collect() }).unwrap().config;
        let host: Vec<IpAddr> = host.iter().map(|ip| ip.parse().unwrap()).collect();
        (Advert::of(&config, &host), config)
    }

    const HOST: [&str; 5] = ["127.0.0.1", "::1", "10.0.0.5", "172.17.0.1", "2001:db8::5"];

    #[test]
    fn a_wildcard_listens_on_every_address_of_its_family() {
        let cases = [
            (
                r#"[{ address = ":3478" }]"#,
                "udp:127.0.0.1:3478 udp:[::1]:3478 udp:10.0.0.5:3478 udp:172.17.0.1:3478 udp:[2001:db8::5]:3478",
            ),
            (r#"[{ address = "0.0.0.0:53" }]"#, "udp:127.0.0.1:53 udp:10.0.0.5:53 udp:172.17.0.1:53"),
            (r#"[{ address = "[::]:53", transport = "tcp" }]"#, "tcp:[::1]:53 tcp:[2001:db8::5]:53"),
            (r#"[{ address = "10.0.0.5:1" }, { address = "10.0.0.5:2" }]"#, "udp:10.0.0.5:1 udp:10.0.0.5:2"),
            (
                r#"[{ address = "10.0.0.5:1" }, { address = "10.0.0.5:1", transport = "tcp" }]"#,
                "udp:10.0.0.5:1 tcp:10.0.0.5:1",
            ),
        ];
        for (listener, expected) in cases {
            let (advert, _) = advert(&[("listener", listener)], &HOST);
            let shown: Vec<_> = advert.listeners.iter().map(Listening::to_string).collect();
            assert_eq!(shown.join(" "), expected, "{listener}");
        }
    }

    #[test]
    fn private_relay_addresses_without_a_public_name_are_told() {
        let cases: &[(&str, &[&str], bool)] = &[
            ("[]", &["127.0.0.1", "10.0.0.5"], true),
            ("[]", &["127.0.0.1", "::1", "100.64.0.5", "fd00::5"], true),
            (r#"["198.51.100.7"]"#, &["127.0.0.1", "10.0.0.5"], false),
            ("[]", &["10.0.0.5", "2001:db8::5"], false),
            ("[]", &["127.0.0.1", "::1"], false),
        ];
        for (external, host, expected) in cases {
            let (advert, _) = advert(&[("relay.external", external)], host);
            assert_eq!(advice_on_relays(&advert).is_some(), *expected, "{external} {host:?}");
        }
    }

    #[test]
    fn nat_discovery_adds_the_sockets_that_no_listener_stands_for() {
        let settings = [
            ("listener", r#"[{ address = "0.0.0.0:3478" }, { address = "10.0.0.5:9", transport = "tcp" }]"#),
            ("nat_discovery.addresses", r#"["10.0.0.5", "10.0.0.6"]"#),
        ];
        let (advert, _) = advert(&settings, &["10.0.0.5"]);
        let shown: Vec<_> = advert.listeners.iter().map(Listening::to_string).collect();
        let expected =
            "udp:10.0.0.5:3478 tcp:10.0.0.5:9 udp:10.0.0.6:3478 udp:10.0.0.5:3479 udp:10.0.0.6:3479";
        assert_eq!(shown.join(" "), expected);
    }

    #[test]
    fn relays_use_what_the_host_has_under_its_external_name() {
        let cases: &[(&str, &[&str], &[&str], &str)] = &[
            (
                "loopback only where there is nothing else",
                &[],
                &["127.0.0.1", "::1", "10.0.0.5"],
                "10.0.0.5=10.0.0.5 ::1=::1",
            ),
            ("only one family", &[], &["127.0.0.1", "10.0.0.5"], "10.0.0.5=10.0.0.5"),
            ("nothing but loopback", &[], &["127.0.0.1"], "127.0.0.1=127.0.0.1"),
            ("all addresses", &[], &HOST, "10.0.0.5=10.0.0.5 172.17.0.1=172.17.0.1 2001:db8::5=2001:db8::5"),
            ("one external", &["203.0.113.7"], &HOST, "10.0.0.5=203.0.113.7 2001:db8::5=2001:db8::5"),
            (
                "a pair",
                &["203.0.113.7/172.17.0.1"],
                &HOST,
                "10.0.0.5=10.0.0.5 172.17.0.1=203.0.113.7 2001:db8::5=2001:db8::5",
            ),
            (
                "a pair and one for the rest",
                &["203.0.113.7/10.0.0.5", "203.0.113.8", "2001:db8::7"],
                &HOST,
                "10.0.0.5=203.0.113.7 172.17.0.1=203.0.113.8 2001:db8::5=2001:db8::7",
            ),
        ];
        for (name, external, host, expected) in cases {
            let (advert, _) = advert(&[("relay.external", &format!("{external:?}"))], host);
            let shown: Vec<_> =
                advert.relays.iter().map(|relay| format!("{}={}", relay.bind, relay.external)).collect();
            assert_eq!(shown.join(" "), *expected, "{name}");
        }
    }

    #[test]
    fn configured_relay_addresses_are_taken_as_they_are() {
        let (advert, _) = advert(&[("relay.addresses", r#"["127.0.0.1"]"#)], &HOST);
        assert_eq!(advert.relays.len(), 1);
        assert!(advert.relays[0].bind.is_loopback());
    }

    #[test]
    fn clients_are_told_one_address_of_each_family_and_loopback_only_without_another() {
        let cases: &[(&[&str], &[&str], &str)] = &[
            (&[], &HOST, "10.0.0.5:3478 [2001:db8::5]:3478"),
            (&["203.0.113.7"], &HOST, "203.0.113.7:3478 [2001:db8::5]:3478"),
            (&[], &["127.0.0.1", "::1"], "127.0.0.1:3478 [::1]:3478"),
        ];
        for (external, host, expected) in cases {
            let (advert, config) = advert(&[("relay.external", &format!("{external:?}"))], host);
            let shown = advert.client_addresses(&config.relay.external, |transport| !transport.is_stream());
            let shown: Vec<_> = shown.iter().map(SocketAddr::to_string).collect();
            assert_eq!(shown.join(" "), *expected);
        }
    }

    #[test]
    fn clients_are_told_every_transport_and_tls_by_name() {
        let certificate = ("tls.certificate", r#"[{ chain = "c", key = "k" }]"#);
        let listeners = |text| advert(&[("listener", text), certificate], &["10.0.0.5", "2001:db8::5"]);
        let (all, config) = listeners(
            r#"[{ address = "0.0.0.0:3478" }, { address = "0.0.0.0:3478", transport = "tcp" },
                { address = ":5349", transport = "tls" }]"#,
        );
        let plain = ["turn:10.0.0.5:3478?transport=udp", "turn:10.0.0.5:3478?transport=tcp"];
        let named = all.client_urls(&config.relay.external, Some("turn.example.org"));
        assert_eq!(named, [&plain[..], &["turns:turn.example.org:5349?transport=tcp"]].concat());
        let unnamed = all.client_urls(&config.relay.external, None);
        let turns = ["turns:10.0.0.5:5349?transport=tcp", "turns:[2001:db8::5]:5349?transport=tcp"];
        assert_eq!(unnamed, [&plain[..], &turns].concat());
        let (auto, config) = listeners(r#"[{ address = "10.0.0.5:443", transport = "auto" }]"#);
        assert_eq!(
            auto.client_urls(&config.relay.external, Some("x")),
            ["turn:10.0.0.5:443?transport=tcp", "turns:x:443?transport=tcp"]
        );
    }
}
