//! Who may be relayed to, through every way in (THREATS P01 to P18; RFC 8656 §10.2, §11.2, §12.2, §21.4).

use std::net::{IpAddr, SocketAddr};

use turnbridge::turn::{Denial, DropReason, PeerRules};
use turnbridge::wire::Method;

use crate::rig::*;

/// Alice with an allocation of both families and permissions for two public peers.
fn rig(change: impl FnOnce(&mut PeerRules)) -> (Rig, Client, [SocketAddr; 2]) {
    let mut rig = Rig::with(|setup| change(&mut setup.rules));
    let mut alice = Client::alice("192.0.2.1:1000");
    let answer = rig.call(&mut alice, Method::ALLOCATE, &[udp(), additional(2)]);
    (rig, alice, answer.relayed().try_into().unwrap())
}

/// What became of each way to a peer: CreatePermission, ChannelBind, and a Send indication after them.
fn ways(rig: &mut Rig, alice: &mut Client, peer: SocketAddr) -> (u16, u16, bool) {
    let permission = rig.call(alice, Method::CREATE_PERMISSION, &[xor_peer(peer)]).code();
    let number = 0x4000 + u16::try_from(rig.relay.counters().successes() % 0x1000).unwrap();
    let bound = rig.call(alice, Method::CHANNEL_BIND, &[channel(number), xor_peer(peer)]).code();
    let send = alice.indication(Method::SEND, &[xor_peer(peer), data(b"x")]);
    let sent = !rig.send(alice, &send).is_silent();
    assert_eq!(!rig.send(alice, &channel_data(number, b"x")).is_silent(), bound == 0, "{peer}");
    (permission, bound, sent)
}

fn assert_denied(ips: &[&str]) {
    let (mut rig, mut alice, relays) = rig(|_| {});
    for ip in ips {
        let peer = SocketAddr::new(ip.parse().unwrap(), 9);
        assert_eq!(ways(&mut rig, &mut alice, peer), (403, 403, false), "{ip}");
        let relay = relays[usize::from(peer.is_ipv6())];
        assert!(rig.receive(relay, peer, b"x").is_silent(), "{ip} to the client");
        // The same without the detour of a dual allocation.
        let mut single = Client::alice("192.0.2.1:1001");
        rig.allocate(&mut single, &[family(if peer.is_ipv6() { 2 } else { 1 })]);
        assert_eq!(ways(&mut rig, &mut single, peer), (403, 403, false), "{ip}");
        rig.call(&mut single, Method::REFRESH, &[lifetime(0)]);
    }
}

#[test]
fn p01_loopback_is_denied() {
    assert_denied(&["127.0.0.1", "127.0.0.8", "127.255.255.254"]);
}

#[test]
fn p02_unspecified_is_denied() {
    assert_denied(&["0.0.0.0", "0.1.2.3", "::"]);
}

#[test]
fn p03_ipv6_loopback_is_denied() {
    assert_denied(&["::1"]);
}

#[test]
fn p04_mapped_ipv4_is_denied_whatever_is_inside() {
    assert_denied(&[
        "::ffff:127.0.0.1",
        "::ffff:127.0.0.2",
        "::ffff:0.0.0.0",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:9.9.9.9",
    ]);
}

/// P04, P12: an address in IPv6 clothes is not the address inside, so that one's permission does not cover it, and the
/// rule for our own services cannot be passed by dressing up.
#[test]
fn p04_a_permission_does_not_cover_its_address_in_ipv6_clothes() {
    let (mut rig, mut alice, [_, v6]) = rig(|rules| rules.allow = vec!["44.0.0.1/32".parse().unwrap()]);
    for ip in ["9.9.9.9", "44.0.0.1"] {
        rig.permit(&mut alice, SocketAddr::new(ip.parse().unwrap(), 0));
        for port in [9, 3478] {
            let dressed = addr(&format!("[::ffff:{ip}]:{port}"));
            let send = alice.indication(Method::SEND, &[xor_peer(dressed), data(b"x")]);
            assert!(rig.send(&alice, &send).is_silent(), "{dressed}");
            assert!(rig.receive(v6, dressed, b"x").is_silent(), "{dressed}");
        }
    }
}

#[test]
fn p05_compatible_and_translated_ipv4_is_denied() {
    assert_denied(&["::127.0.0.1", "::9.9.9.9", "::ffff:0:127.0.0.1"]);
}

#[test]
fn p06_special_addresses_behind_a_nat64_are_denied() {
    assert_denied(&["64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "64:ff9b:1::909:909"]);
}

#[test]
fn p07_tunnels_are_denied() {
    assert_denied(&["2002:7f00:1::1", "2002:a00:1::1", "2002:909:909::1", "2001:0:909:909::1"]);
}

/// RFC 8656 §21.4: a server MUST NOT relay into Teredo or 6to4, even where an operator allows all there is.
#[test]
fn p07_tunnels_are_denied_even_where_all_is_allowed() {
    let (mut rig, mut alice, _) = rig(|rules| rules.allow = vec!["::/0".parse().unwrap()]);
    for peer in ["[2002:909:909::1]:9", "[2001:0:909:909::1]:9"] {
        assert_eq!(ways(&mut rig, &mut alice, addr(peer)), (403, 403, false), "{peer}");
    }
    assert_eq!(ways(&mut rig, &mut alice, addr("[fd00::1]:9")), (0, 0, true));
}

#[test]
fn p08_special_ipv4_ranges_are_denied_from_first_to_last() {
    assert_denied(&[
        "10.0.0.0",
        "10.255.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.168.0.0",
        "192.168.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "169.254.0.0",
        "169.254.255.255",
        "192.0.0.0",
        "192.0.0.255",
        "192.0.2.0",
        "192.0.2.255",
        "192.88.99.0",
        "192.88.99.255",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.0",
        "198.51.100.255",
        "203.0.113.0",
        "203.0.113.255",
        "224.0.0.0",
        "239.255.255.255",
        "240.0.0.0",
        "255.255.255.254",
        "255.255.255.255",
    ]);
}

#[test]
fn p09_special_ipv6_ranges_are_denied() {
    assert_denied(&[
        "fc00::",
        "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "feff::1",
        "ff00::",
        "ff02::1",
        "100::1",
        "2001:db8::",
        "2001:db8:ffff::1",
    ]);
}

/// The neighbours of all these are public, and reached through every way.
#[test]
fn public_peers_are_reached_through_every_way() {
    let (mut rig, mut alice, _) = rig(|_| {});
    for peer in
        ["9.9.9.9:9", "172.32.0.0:1", "128.0.0.0:65535", "[2a00::1]:1", "[2003::1]:9", "[64:ff9b::909:909]:9"]
    {
        assert_eq!(ways(&mut rig, &mut alice, addr(peer)), (0, 0, true), "{peer}");
    }
}

/// P10, L07: the server is not its own peer: no chain of relays through our own listener.
#[test]
fn p10_l07_our_own_listener_is_no_peer() {
    let (mut rig, mut alice, [v4, _]) = rig(|_| {});
    // The address is our relays' too, so it can be permitted; the listener's port cannot be reached.
    for service in [LISTENER, "[2a00:44::1]:3478"] {
        assert_eq!(ways(&mut rig, &mut alice, addr(service)), (0, 403, false), "{service}");
    }
    assert_eq!(rig.dropped(DropReason::Forbidden), 2);
    assert!(rig.receive(v4, addr(LISTENER), b"\0\x01").is_silent(), "nor does its answer come back");
}

/// P11: a relay address of another allocation is a peer like others; each datagram passes once.
#[test]
fn p11_two_clients_talk_through_their_relays() {
    let (mut rig, mut alice, [of_alice, _]) = rig(|_| {});
    let mut bob = Client::bob("192.0.2.2:1000");
    let of_bob = rig.allocate(&mut bob, &[]);
    rig.bind(&mut alice, 0x4000, of_bob);
    rig.bind(&mut bob, 0x4000, of_alice);
    let (from, to, payload) = rig.send(&alice, &channel_data(0x4000, b"hello")).only_to_peer();
    assert_eq!((from, to), (of_alice, of_bob));
    let outs = rig.receive(to, from, &payload);
    assert_eq!(outs.to_client(), [(bob.tuple(), channel_data(0x4000, b"hello"))]);
    // A client may even talk to itself.
    rig.bind(&mut alice, 0x4001, of_alice);
    let (from, to, payload) = rig.send(&alice, &channel_data(0x4001, b"me")).only_to_peer();
    assert_eq!(rig.receive(to, from, &payload).only_to_client(), channel_data(0x4001, b"me"));
}

/// P12: other services of ours are refused, even where a broad rule allows their address.
#[test]
fn p12_our_own_services_are_refused_even_where_allowed() {
    let (mut rig, mut alice, _) = rig(|rules| {
        rules.allow = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
        rules.services.push(addr("127.0.0.1:9641"));
    });
    for (peer, expected) in [
        ("127.0.0.1:9641", (0, 403, false)),
        (LISTENER, (0, 403, false)),
        ("[2a00:44::1]:3478", (0, 403, false)),
        ("127.0.0.1:9642", (0, 0, true)),
        ("10.0.0.1:9641", (0, 0, true)),
    ] {
        assert_eq!(ways(&mut rig, &mut alice, addr(peer)), expected, "{peer}");
    }
}

/// An address of this host that relays nothing is no peer, private or public.
#[test]
fn other_addresses_of_this_host_are_no_peers() {
    let (mut rig, mut alice, _) = rig(|rules| rules.host_addresses.push(ip("45.0.0.7")));
    assert_eq!(ways(&mut rig, &mut alice, addr("45.0.0.7:50000")), (403, 403, false));
    assert_eq!(ways(&mut rig, &mut alice, addr("44.0.0.1:22")), (0, 403, false), "no relay port");
}

#[test]
fn p13_a_denied_range_may_end_inside_a_byte() {
    let (mut rig, mut alice, _) = rig(|rules| rules.deny = vec!["2a00:1:2:3::/61".parse().unwrap()]);
    for (peer, expected) in [
        ("[2a00:1:2:7:ffff:ffff:ffff:ffff]:9", (403, 403, false)),
        ("[2a00:1:2:8::]:9", (0, 0, true)),
        ("[2a00:1:1:ffff:ffff:ffff:ffff:ffff]:9", (0, 0, true)),
    ] {
        assert_eq!(ways(&mut rig, &mut alice, addr(peer)), expected, "{peer}");
    }
}

#[test]
fn p14_an_allowed_range_inside_a_denied_one_wins() {
    let (mut rig, mut alice, _) = rig(|rules| {
        rules.deny = vec!["9.0.0.0/8".parse().unwrap()];
        rules.allow = vec!["9.9.9.0/24".parse().unwrap(), "10.1.0.0/16".parse().unwrap()];
    });
    for (peer, expected) in [
        ("9.9.9.9:9", (0, 0, true)),
        ("9.9.8.9:9", (403, 403, false)),
        ("10.1.2.3:9", (0, 0, true)),
        ("10.2.2.3:9", (403, 403, false)),
    ] {
        assert_eq!(ways(&mut rig, &mut alice, addr(peer)), expected, "{peer}");
    }
}

/// P15: behind a 1:1 NAT our own public address works although the private one is in a denied range.
#[test]
fn p15_our_own_public_address_works_beside_a_denied_private_range() {
    let (mut rig, mut alice, _) = rig(|rules| {
        rules.deny = vec!["10.0.0.0/8".parse().unwrap()];
        rules.relay_addresses.push(ip("10.0.0.5"));
        rules.host_addresses = vec![ip("10.0.0.5")];
    });
    assert_eq!(ways(&mut rig, &mut alice, addr("44.0.0.1:50001")), (0, 0, true));
    assert_eq!(ways(&mut rig, &mut alice, addr("10.0.0.6:50001")), (403, 403, false));
}

/// P16: what a reload forbids stops at once, in both directions; what it does not forbid goes on.
#[test]
fn p16_a_reload_stops_what_it_forbids() {
    let (mut rig, mut alice, [relay, _]) = rig(|_| {});
    let (denied, kept) = (addr("9.9.9.9:9"), addr("8.8.8.8:8"));
    rig.bind(&mut alice, 0x4000, denied);
    rig.bind(&mut alice, 0x4001, kept);
    rig.reload(|_, rules| rules.deny = vec!["9.9.9.0/24".parse().unwrap()]);
    assert!(rig.last.contains(&Out::ChannelDown { channel: 0x4000, peer: denied }));
    assert_eq!(rig.last.0.len(), 1);
    assert!(rig.send(&alice, &channel_data(0x4000, b"x")).is_silent());
    let send = alice.indication(Method::SEND, &[xor_peer(denied), data(b"x")]);
    assert!(rig.send(&alice, &send).is_silent());
    assert!(rig.receive(relay, denied, b"x").is_silent());
    assert!(!rig.send(&alice, &channel_data(0x4001, b"x")).is_silent());
    assert!(!rig.receive(relay, kept, b"x").is_silent());
    assert_eq!(ways(&mut rig, &mut alice, denied), (403, 403, false));
    rig.reload(|_, rules| rules.deny.clear());
    assert_eq!(ways(&mut rig, &mut alice, denied), (0, 0, true));
}

/// P16: the same for a port that a reload forbids, while its address stays permitted.
#[test]
fn p16_a_reload_stops_ports_too() {
    let (mut rig, mut alice, [relay, _]) = rig(|_| {});
    rig.bind(&mut alice, 0x4000, addr("9.9.9.9:53"));
    rig.reload(|_, rules| rules.ports = 1024..=65_535);
    assert!(rig.send(&alice, &channel_data(0x4000, b"x")).is_silent());
    assert!(rig.receive(relay, addr("9.9.9.9:53"), b"x").is_silent());
    assert!(!rig.receive(relay, addr("9.9.9.9:5353"), b"x").is_silent());
}

/// P18: port 0 is nobody's, and ports below 1024 are denied where the policy says so. A permission is for an address,
/// so its port does not matter (RFC 8656 §10.2).
#[test]
fn p18_ports_are_judged_where_they_count() {
    let (mut rig, mut alice, [relay, _]) = rig(|_| {});
    assert_eq!(ways(&mut rig, &mut alice, addr("9.9.9.9:0")), (0, 403, false));
    assert!(rig.receive(relay, addr("9.9.9.9:0"), b"x").is_silent());
    assert_eq!(ways(&mut rig, &mut alice, addr("9.9.9.9:1")), (0, 0, true));
    let (mut rig, mut alice, [relay, _]) = self::rig(|rules| rules.ports = 1024..=65_535);
    assert_eq!(ways(&mut rig, &mut alice, addr("9.9.9.9:1023")), (0, 403, false));
    assert_eq!(rig.dropped(DropReason::Forbidden), 1);
    assert!(rig.receive(relay, addr("9.9.9.9:1023"), b"x").is_silent());
    assert_eq!(ways(&mut rig, &mut alice, addr("9.9.9.9:1024")), (0, 0, true));
}

/// Operators are told which rule denied which peer, and who asked.
#[test]
fn a_denied_peer_is_told_with_the_rule_s_name() {
    let (mut rig, mut alice, _) = rig(|rules| rules.deny = vec!["9.9.9.9/32".parse().unwrap()]);
    for (peer, rule) in [
        ("127.0.0.1:1", "loopback"),
        ("9.9.9.9:9", "peers.deny"),
        ("[::ffff:1.2.3.4]:1", "ipv4-mapped"),
        ("169.254.169.254:80", "link-local"),
    ] {
        rig.call(&mut alice, Method::CREATE_PERMISSION, &[xor_peer(addr(peer))]);
        let told = Told::Refused {
            user: Some("alice".into()),
            method: Method::CREATE_PERMISSION,
            denial: Denial::Peer(rule),
            peer: Some(addr(peer)),
        };
        assert!(rig.last.contains(&Out::Told(told)), "{:?}", rig.last);
    }
    let reached: IpAddr = "9.9.9.8".parse().unwrap();
    rig.permit(&mut alice, SocketAddr::new(reached, 1));
    assert_eq!(rig.last.denial(), None);
}
