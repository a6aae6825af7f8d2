//! The rows of the threat table that are about peers' addresses; the same rows run through every request in
//! `tests/turn/peers.rs`.

use super::*;

fn policy(change: impl FnOnce(&mut PeerRules)) -> PeerPolicy {
    let mut rules = PeerRules::default();
    change(&mut rules);
    PeerPolicy::new(rules)
}

fn judge(policy: &PeerPolicy, ip: &str) -> Result<PortRule, RuleName> {
    policy.judge_address(ip.parse().unwrap(), None)
}

#[test]
fn p01_to_p09_special_addresses_are_denied_by_name() {
    let cases = [
        ("loopback", "127.0.0.1 127.0.0.8 127.255.255.254 ::1 64:ff9b::7f00:1"),
        ("this-network", "0.1.2.3 0.255.255.255"),
        ("unspecified", "::"),
        (
            "ipv4-mapped",
            "::ffff:127.0.0.1 ::ffff:0.0.0.0 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:8.8.8.8",
        ),
        ("ipv4-compatible", "::127.0.0.1 ::2"),
        ("ipv4-translated", "::ffff:0:127.0.0.1"),
        ("link-local", "64:ff9b::a9fe:a9fe 169.254.0.0 169.254.255.255 fe80:: febf::1"),
        ("nat64-local", "64:ff9b:1::a9fe:a9fe 64:ff9b:1::"),
        ("6to4", "2002:7f00:1::1 2002:a00:1::1 192.88.99.0 192.88.99.255"),
        ("teredo", "2001:0:1::1 2001::"),
        ("protocol-assignments", "192.0.0.0 192.0.0.255 2001:2::1 2001:1ff::1"),
        ("private", "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255"),
        ("shared", "100.64.0.0 100.127.255.255"),
        ("documentation", "192.0.2.0 192.0.2.255 198.51.100.0 203.0.113.255 2001:db8::1 3fff::1"),
        ("benchmarking", "198.18.0.0 198.19.255.255"),
        ("multicast", "224.0.0.0 239.255.255.255 ff02::1"),
        ("reserved", "240.0.0.0 255.255.255.254"),
        ("broadcast", "255.255.255.255"),
        ("unique-local", "fc00:: fdff:ffff::1"),
        ("site-local", "fec0:: feff::1"),
        ("discard", "100::1"),
    ];
    let policy = policy(|_| {});
    for (rule, addresses) in cases {
        for ip in addresses.split(' ') {
            assert_eq!(judge(&policy, ip), Err(rule), "{ip}");
        }
    }
    assert!(judge(&policy, "0.0.0.0").is_err());
}

#[test]
fn the_neighbours_of_special_ranges_are_public() {
    let policy = policy(|_| {});
    for ip in
        "1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 \
        169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 \
        198.20.0.0 223.255.255.255 8.8.8.8 2001:200::1 2003::1 2a00::1 64:ff9b::808:808"
            .split_whitespace()
    {
        assert_eq!(judge(&policy, ip), Ok(PortRule::Any), "{ip}");
    }
}

#[test]
fn p10_and_p12_our_own_services_are_refused_even_where_all_is_allowed() {
    let policy = policy(|rules| {
        rules.allow = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
        rules.services = vec!["8.8.4.4:3478".parse().unwrap(), "127.0.0.1:9641".parse().unwrap()];
    });
    for service in ["8.8.4.4:3478", "127.0.0.1:9641"] {
        assert_eq!(policy.judge(service.parse().unwrap(), None), Err("own-service"), "{service}");
    }
    for other in ["8.8.4.4:3479", "127.0.0.1:9642", "10.0.0.1:1"] {
        assert!(policy.judge(other.parse().unwrap(), None).is_ok(), "{other}");
    }
}

#[test]
fn p11_our_own_relay_addresses_are_reached_on_relay_ports_only() {
    let policy = policy(|rules| {
        rules.relay_addresses = vec!["192.168.1.5".parse().unwrap()];
        rules.host_addresses = vec!["192.168.1.5".parse().unwrap(), "8.8.4.4".parse().unwrap()];
        rules.relay_ports = vec![50000..=50999];
    });
    let judge = |peer: &str| policy.judge(peer.parse().unwrap(), None);
    assert_eq!(judge("192.168.1.5:50000"), Ok(PortRule::RelayPorts));
    assert_eq!(judge("192.168.1.5:22"), Err("own-host"));
    assert_eq!(judge("192.168.1.5:51000"), Err("own-host"));
    assert_eq!(judge("192.168.1.6:50000"), Err("private"));
    assert_eq!(judge("8.8.4.4:50000"), Err("own-host"), "a public address of ours that relays nothing");
}

#[test]
fn p13_a_range_that_ends_inside_a_byte_is_exact() {
    let policy = policy(|rules| rules.deny = vec!["2a00:1:2:3::/61".parse().unwrap()]);
    assert_eq!(judge(&policy, "2a00:1:2:7:ffff:ffff:ffff:ffff"), Err("peers.deny"));
    assert_eq!(judge(&policy, "2a00:1:2:8::"), Ok(PortRule::Any));
    assert_eq!(judge(&policy, "2a00:1:1:ffff:ffff:ffff:ffff:ffff"), Ok(PortRule::Any));
    assert_eq!(judge(&policy, "2a00:1:2::"), Err("peers.deny"));
}

/// A NAT64 on the way would bring such a packet back to this host.
#[test]
fn p12_our_own_addresses_are_no_peers_in_the_clothes_of_nat64() {
    let policy = policy(|rules| {
        rules.allow = vec!["::/0".parse().unwrap()];
        rules.services = vec!["8.8.4.4:3478".parse().unwrap()];
        rules.host_addresses = vec!["9.9.9.8".parse().unwrap()];
        rules.relay_addresses = vec!["9.9.9.9".parse().unwrap()];
    });
    for own in ["64:ff9b::808:404", "64:ff9b::909:908", "64:ff9b::909:909"] {
        assert_eq!(judge(&policy, own), Err("own-host"), "{own}");
    }
    assert_eq!(judge(&policy, "64:ff9b::909:90a"), Ok(PortRule::Any));
}

#[test]
fn the_ranges_of_one_user_see_through_nat64() {
    let terms = PeerTerms::new(&[], &["8.8.8.0/24".parse().unwrap()]);
    let judged = policy(|_| {}).judge_address("64:ff9b::808:808".parse().unwrap(), Some(&terms));
    assert_eq!(judged, Err("user-terms"));
}

#[test]
fn p14_allow_wins_over_deny() {
    let policy = policy(|rules| {
        rules.deny = vec!["8.0.0.0/8".parse().unwrap()];
        rules.allow = vec!["8.8.8.0/24".parse().unwrap(), "10.1.0.0/16".parse().unwrap()];
    });
    assert_eq!(judge(&policy, "8.8.8.8"), Ok(PortRule::Any));
    assert_eq!(judge(&policy, "8.8.9.8"), Err("peers.deny"));
    assert_eq!(judge(&policy, "64:ff9b::808:908"), Err("peers.deny"), "through a NAT64");
    assert_eq!(judge(&policy, "10.1.2.3"), Ok(PortRule::Any));
    assert_eq!(judge(&policy, "10.2.2.3"), Err("private"));
}

#[test]
fn p15_our_own_public_address_works_beside_a_denied_private_range() {
    let policy = policy(|rules| {
        rules.deny = vec!["10.0.0.0/8".parse().unwrap()];
        rules.relay_addresses = vec!["10.0.0.5".parse().unwrap(), "8.8.4.4".parse().unwrap()];
    });
    assert_eq!(policy.judge("8.8.4.4:50000".parse().unwrap(), None), Ok(PortRule::RelayPorts));
    assert_eq!(judge(&policy, "10.0.0.6"), Err("peers.deny"));
}

#[test]
fn p18_ports_outside_the_policy_are_refused() {
    let any = policy(|_| {});
    assert_eq!(any.judge("8.8.8.8:0".parse().unwrap(), None), Err("peers.ports"));
    assert!(any.judge("8.8.8.8:1".parse().unwrap(), None).is_ok());
    let high = policy(|rules| rules.ports = 1024..=u16::MAX);
    assert_eq!(high.judge("8.8.8.8:1023".parse().unwrap(), None), Err("peers.ports"));
    assert!(high.judge("8.8.8.8:1024".parse().unwrap(), None).is_ok());
}

#[test]
fn unspecified_multicast_and_tunnels_stay_denied_whatever_is_allowed() {
    let policy = policy(|rules| rules.allow = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]);
    for ip in
        ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::1", "::ffff:8.8.8.8", "2002::1", "2001::1"]
    {
        assert!(judge(&policy, ip).is_err(), "{ip}");
    }
}
