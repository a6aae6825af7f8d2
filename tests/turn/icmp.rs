//! The ICMP attribute: what the network says about a datagram to a peer (RFC 8656 §11.5, §18.13).

use std::time::Duration;

use turnbridge::turn::Icmp;
use turnbridge::wire::{AttributeType, Class, Method};

use crate::rig::*;

const V4: &str = "9.9.9.9:9";
const V6: &str = "[2a00:9::9]:9";

fn permitted(number: u8, peer: &str) -> (Rig, Client, std::net::SocketAddr) {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let relay = rig.allocate(&mut alice, &[family(number)]);
    rig.permit(&mut alice, addr(peer));
    (rig, alice, relay)
}

/// Types 3 and 11 of ICMPv4 and 1, 2 and 3 of ICMPv6 are told in a Data indication; the error data is the MTU where
/// there is one, otherwise 0. All others are dropped.
#[test]
fn unreachable_peers_are_told_by_type_and_code() {
    let cases: [(u8, &str, u8, u8, Option<u32>); 16] = [
        (1, V4, 3, 1, Some(0)),
        (1, V4, 3, 3, Some(0)),
        (1, V4, 3, 4, Some(1400)),
        (1, V4, 3, 13, Some(0)),
        (1, V4, 11, 0, Some(0)),
        (1, V4, 0, 0, None),
        (1, V4, 1, 0, None),
        (1, V4, 4, 0, None),
        (1, V4, 5, 0, None),
        (1, V4, 12, 0, None),
        (2, V6, 1, 4, Some(0)),
        (2, V6, 2, 0, Some(1400)),
        (2, V6, 3, 0, Some(0)),
        (2, V6, 4, 0, None),
        (2, V6, 11, 0, None),
        (2, V6, 128, 0, None),
    ];
    for (number, peer, kind, code, told) in cases {
        let (mut rig, alice, relay) = permitted(number, peer);
        let outs = rig.icmp(relay, addr(peer), Icmp { kind, code, data: 1400 });
        let Some(error_data) = told else {
            assert!(outs.0.is_empty(), "{kind} {code}");
            continue;
        };
        assert_eq!(outs.to_client()[0].0, alice.tuple());
        let indication = outs.indication();
        assert_eq!(
            (indication.header().class, indication.header().method),
            (Class::Indication, Method::DATA)
        );
        assert_eq!(indication.kinds(), [AttributeType::XOR_PEER_ADDRESS, AttributeType::ICMP], "no DATA");
        assert_eq!(indication.peer(), addr(peer));
        let value = [&[0, 0, kind, code][..], &error_data.to_be_bytes()].concat();
        assert_eq!(indication.get(AttributeType::ICMP).unwrap(), value);
    }
}

/// The peer's address must be permitted; its port is not compared.
#[test]
fn only_permitted_peers_are_told_of() {
    let (mut rig, mut alice, relay) = permitted(1, V4);
    let unreachable = Icmp { kind: 3, code: 3, data: 0 };
    assert!(rig.icmp(relay, addr("8.8.8.8:8"), unreachable).0.is_empty());
    assert_eq!(rig.icmp(relay, addr("9.9.9.9:77"), unreachable).indication().peer(), addr("9.9.9.9:77"));
    rig.oversleep(Duration::from_secs(300));
    assert!(rig.icmp(relay, addr(V4), unreachable).0.is_empty(), "no longer permitted");
    let stale = rig.sockets.id(relay);
    rig.call(&mut alice, Method::REFRESH, &[lifetime(0)]);
    let late = turnbridge::turn::Input::PeerUnreachable { relay: stale, peer: addr(V4), icmp: unreachable };
    assert!(rig.feed(late).0.is_empty());
}

/// RFC 8656 §12.5: a Data indication, even where a channel is bound to the peer.
#[test]
fn a_channel_does_not_carry_icmp() {
    let (mut rig, mut alice, relay) = permitted(1, V4);
    rig.bind(&mut alice, 0x4000, addr(V4));
    let outs = rig.icmp(relay, addr(V4), Icmp { kind: 3, code: 3, data: 0 });
    assert!(outs.indication().has(AttributeType::ICMP));
}

/// One unreachable peer harms nobody: what the others send and get goes on.
#[test]
fn an_unreachable_peer_harms_no_other() {
    let (mut rig, mut alice, relay) = permitted(1, V4);
    rig.bind(&mut alice, 0x4000, addr("9.9.9.8:8"));
    rig.icmp(relay, addr(V4), Icmp { kind: 3, code: 1, data: 0 });
    assert!(!rig.send(&alice, &channel_data(0x4000, b"x")).is_silent());
    assert!(!rig.receive(relay, addr(V4), b"x").is_silent(), "not even itself");
}
