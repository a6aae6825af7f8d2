//! From the configuration to what the core works with.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::advert::{Advert, Listening};
use crate::config::{
    Config,
    checked::{AddressPair, Budget, Limits},
    choice::{ChannelNumbers, ExpiryRule},
};
use crate::net::sys::DONT_FRAGMENT;
use crate::turn::{
    AllocationLimits, ChannelRange, Corner, CredentialExpiry, ListenerId, NatDiscovery, PeerPolicy,
    PeerRules, Quartet, Rate, Settings, Transport,
};

/// A rate that is never reached.
const UNLIMITED: Rate = Rate { per_second: u32::MAX as u64, burst: u32::MAX as u64 };
/// Room for a few of the largest datagrams, however slow the rate.
const SMALLEST_BURST: u64 = 256 << 10;

/// Where allocations were given relay addresses before the configuration changed. Some of them may live yet, and be the
/// peers of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Former {
    addresses: Vec<IpAddr>,
    ports: Vec<RangeInclusive<u16>>,
}

/// More than these are forgotten, the oldest first: nobody changes them that often within the life of an allocation.
const FORMER: usize = 16;

impl Former {
    /// Takes in what is about to be replaced.
    pub(super) fn note(&mut self, config: &Config, advert: &Advert) {
        for address in advert.relays.iter().flat_map(|relay| [relay.bind, relay.external]) {
            remember(&mut self.addresses, address);
        }
        remember(&mut self.ports, config.relay.ports.ports());
    }
}

fn remember<T: PartialEq>(known: &mut Vec<T>, item: T) {
    if !known.contains(&item) {
        known.push(item);
        if known.len() > FORMER {
            known.remove(0);
        }
    }
}

/// The settings of one worker out of `workers`, on a host with the addresses `host`.
pub fn settings(
    config: &Config,
    advert: &Advert,
    host: &[IpAddr],
    workers: usize,
    former: &Former,
) -> Settings {
    let limits = &config.limits;
    let share = u64::try_from(workers.max(1)).unwrap_or(1);
    Settings {
        max_lifetime: Duration::from_secs(limits.max_lifetime_s.into()),
        channels: match config.channel_numbers {
            ChannelNumbers::Rfc8656 => ChannelRange::Rfc8656,
            ChannelNumbers::Rfc5766 => ChannelRange::Rfc5766,
        },
        expiry: match config.auth.expiry {
            ExpiryRule::Strict => CredentialExpiry::Strict,
            ExpiryRule::AtAllocation => CredentialExpiry::AtAllocation,
        },
        asks: config.auth.webhook.is_some(),
        dont_fragment: DONT_FRAGMENT,
        allocations: allocation_limits(limits),
        permissions_per_allocation: usize::try_from(limits.permissions_per_allocation).unwrap_or(usize::MAX),
        channels_per_allocation: usize::try_from(limits.channels_per_allocation).unwrap_or(usize::MAX),
        connections_per_allocation: usize::try_from(limits.connections_per_allocation).unwrap_or(usize::MAX),
        bandwidth_per_allocation: limits.bandwidth_per_allocation.map(bandwidth),
        // The kernel spreads clients evenly, so each worker gets an even share of what all may relay.
        bandwidth: limits.bandwidth.map(|bits| bandwidth(bits / share)),
        challenge_budget: budget(limits.challenges),
        binding_budget: budget(limits.bindings),
        peers: PeerPolicy::new(peer_rules(config, advert, host, former)),
        nat_discovery: nat_discovery(config, advert),
        ..Settings::default()
    }
}

fn allocation_limits(limits: &Limits) -> AllocationLimits {
    AllocationLimits {
        per_user: limits.allocations_per_user.unwrap_or(u32::MAX),
        per_address: limits.allocations_per_ip.unwrap_or(u32::MAX),
        total: limits.allocations.unwrap_or(u32::MAX),
    }
}

/// Bits per second as bytes per second, with a quarter of a second saved up: a video frame is not cut.
pub(super) fn bandwidth(bits: u64) -> Rate {
    let per_second = bits / 8;
    Rate { per_second, burst: (per_second / 4).max(SMALLEST_BURST) }
}

fn budget(budget: Option<Budget>) -> Rate {
    budget
        .map_or(UNLIMITED, |budget| Rate { per_second: budget.per_second.into(), burst: budget.burst.into() })
}

/// Our own relay addresses may be reached, as bound and as seen from outside; what this host listens on may not.
fn peer_rules(config: &Config, advert: &Advert, host: &[IpAddr], former: &Former) -> PeerRules {
    let outside =
        |address: SocketAddr| SocketAddr::new(config.relay.external.advertised(address.ip()), address.port());
    let places = |address: SocketAddr| [address, outside(address)];
    let (streams, datagrams): (Vec<&Listening>, Vec<&Listening>) =
        advert.listeners.iter().partition(|listener| listener.transport.is_stream());
    let datagram_services: Vec<_> = datagrams.iter().flat_map(|it| places(it.address)).collect();
    let stream_services =
        streams.iter().map(|it| it.address).chain(advert.services.iter().copied()).flat_map(places);
    PeerRules {
        allow: config.peers.allow.clone(),
        deny: config.peers.deny.clone(),
        ports: config.peers.ports.ports(),
        relay_addresses: advert
            .relays
            .iter()
            .flat_map(|relay| [relay.bind, relay.external])
            .chain(former.addresses.iter().copied())
            .collect(),
        relay_ports: std::iter::once(config.relay.ports.ports())
            .chain(former.ports.iter().cloned())
            .collect(),
        host_addresses: host.to_vec(),
        services: datagram_services.iter().copied().chain(stream_services).collect(),
        datagram_services,
    }
}

/// The listeners that answer for each other. UDP listeners are numbered in the order of the advert.
fn nat_discovery(config: &Config, advert: &Advert) -> NatDiscovery {
    let corner = |socket: SocketAddr| {
        let mut datagrams = advert.listeners.iter().filter(|listener| !listener.transport.is_stream());
        let number = datagrams.position(|listener| listener.address == socket)?;
        let listener = ListenerId::new(Transport::Udp, u16::try_from(number).ok()?);
        let outside = config.relay.external.advertised(socket.ip());
        Some(Corner { listener, address: SocketAddr::new(outside, socket.port()) })
    };
    let quartet = |pair: &AddressPair| {
        let [a, b, c, d] = pair.sockets().map(corner);
        Some(Quartet { corners: [a?, b?, c?, d?] })
    };
    let quartets = config.nat_discovery.pairs.iter().filter_map(quartet).collect();
    NatDiscovery { quartets, classic: config.nat_discovery.classic }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Inputs, env, load};

    fn made(text: &str, workers: usize) -> Settings {
        let overrides = text.split_whitespace().map(|pair| {
            let (key, value) = pair.split_once('=').unwrap();
            (
                format!("TURNBRIDGE_{}", key.to_uppercase().replace('.', "__")).into(),
                value.replace('_', " ").into(),
            )
        });
        let overrides = env::overrides(overrides).unwrap();
        let config = load(Inputs { file: None, overrides }).unwrap().config;
        let host = ["127.0.0.1", "192.168.1.5"].map(|ip| ip.parse().unwrap());
        settings(&config, &Advert::of(&config, &host), &host, workers, &Former::default())
    }

    #[test]
    fn bandwidth_is_bytes_and_the_total_is_shared_between_workers() {
        let settings = made("limits.bandwidth=80_Mbit/s limits.bandwidth_per_allocation=8_kbit/s", 2);
        assert_eq!(settings.bandwidth.unwrap().per_second, 5_000_000);
        assert_eq!(
            settings.bandwidth_per_allocation.unwrap(),
            Rate { per_second: 1000, burst: SMALLEST_BURST }
        );
        assert_eq!(made("", 2).bandwidth, None);
    }

    #[test]
    fn nat_discovery_knows_its_listeners_by_number_and_by_their_names_outside() {
        let listeners = "listener=[{address=\"0.0.0.0:3478\",transport=\"tcp\"},{address=\"0.0.0.0:3478\"}]";
        let addresses = "nat_discovery.addresses=127.0.0.1,192.168.1.5";
        let external = "relay.external=198.51.100.1/127.0.0.1,198.51.100.7/192.168.1.5";
        let settings = made(&format!("{listeners} {addresses} {external} nat_discovery.classic=true"), 1);
        let [quartet] = settings.nat_discovery.quartets[..] else { panic!("{:?}", settings.nat_discovery) };
        let shown = quartet.corners.map(|corner| format!("{}={}", corner.listener.0, corner.address));
        let expected =
            ["0=198.51.100.1:3478", "1=198.51.100.7:3478", "2=198.51.100.1:3479", "3=198.51.100.7:3479"];
        assert_eq!(shown, expected);
        assert!(settings.nat_discovery.classic);
        for service in ["192.168.1.5:3479", "198.51.100.7:3479"] {
            assert_eq!(settings.peers.judge(service.parse().unwrap(), None), Err("own-service"), "{service}");
        }
        assert!(made("", 1).nat_discovery.quartets.is_empty());
    }

    #[test]
    fn p12_peers_are_never_what_else_we_serve() {
        let overrides =
            env::overrides([("TURNBRIDGE_PEERS__ALLOW".into(), "0.0.0.0/0,::/0".into())]).unwrap();
        let config = load(Inputs { file: None, overrides }).unwrap().config;
        let host = ["127.0.0.1", "192.168.1.5"].map(|ip| ip.parse().unwrap());
        let services = vec!["127.0.0.1:9641".parse().unwrap(), "192.168.1.5:9641".parse().unwrap()];
        let advert = Advert { services, ..Advert::of(&config, &host) };
        let policy = settings(&config, &advert, &host, 1, &Former::default()).peers;
        for service in ["127.0.0.1:9641", "192.168.1.5:9641"] {
            assert_eq!(policy.judge(service.parse().unwrap(), None), Err("own-service"), "{service}");
        }
        let disguised = "[::ffff:127.0.0.1]:9641".parse().unwrap();
        assert_eq!(policy.judge(disguised, None), Err("ipv4-mapped"));
        assert!(policy.judge("127.0.0.1:9642".parse().unwrap(), None).is_ok());
    }

    #[test]
    fn peers_may_be_our_relays_and_never_our_listeners() {
        let settings = made("peers.allow=0.0.0.0/0 relay.external=198.51.100.7", 1);
        let judge = |peer: &str| settings.peers.judge(peer.parse().unwrap(), None);
        for service in ["127.0.0.1:3478", "192.168.1.5:3478", "198.51.100.7:3478"] {
            assert_eq!(judge(service), Err("own-service"), "{service}");
        }
        let strict = made("relay.external=198.51.100.7", 1);
        for relay in ["192.168.1.5:50000", "198.51.100.7:50000"] {
            assert!(strict.peers.judge(relay.parse().unwrap(), None).is_ok(), "{relay}");
        }
        assert_eq!(strict.peers.judge("192.168.1.6:50000".parse().unwrap(), None), Err("private"));
        assert_eq!(strict.peers.judge("192.168.1.5:22".parse().unwrap(), None), Err("own-host"));
    }
}
