//! CreatePermission, and what a permission is good for (RFC 8656 §9, §10).

use std::time::Duration;

use turnbridge::turn::{Denial, DropReason};
use turnbridge::wire::{AttributeType, Method};

use crate::rig::*;

fn create(rig: &mut Rig, client: &mut Client, peers: &[&str]) -> u16 {
    let attributes: Vec<_> = peers.iter().map(|peer| xor_peer(addr(peer))).collect();
    rig.call(client, Method::CREATE_PERMISSION, &attributes).code()
}

/// RFC 8656 §9: addresses are compared, ports are not.
#[test]
fn a_permission_is_for_an_address_with_all_its_ports() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let relay = rig.allocate(&mut alice, &[]);
    for port in [0, 9] {
        rig.permit(&mut alice, addr(&format!("9.9.9.9:{port}")));
    }
    for port in [1, 9, 65_535] {
        let peer = addr(&format!("9.9.9.9:{port}"));
        assert_eq!(rig.receive(relay, peer, b"x").indication().peer(), peer);
    }
    assert!(rig.receive(relay, addr("9.9.9.8:9"), b"x").is_silent());
    assert_eq!(rig.dropped(DropReason::NoPermission), 1);
}

/// RFC 8656 §10.2: there are no required attributes in the success answer.
#[test]
fn the_answer_is_empty_but_for_its_integrity() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    rig.allocate(&mut alice, &[]);
    let answer = rig.call(&mut alice, Method::CREATE_PERMISSION, &[xor_peer(addr("9.9.9.9:9"))]);
    assert_eq!((answer.code(), answer.kinds()), (0, vec![]));
}

/// RFC 8656 §9: 300 seconds, from when it was last installed; a retransmission refreshes it too.
#[test]
fn a_permission_lasts_five_minutes() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let (relay, peer) = (rig.allocate(&mut alice, &[lifetime(3600)]), addr("9.9.9.9:9"));
    let open = |rig: &mut Rig| !rig.receive(relay, peer, b"x").is_silent();
    rig.permit(&mut alice, peer);
    rig.advance(Duration::from_millis(299_999));
    assert!(open(&mut rig));
    rig.permit(&mut alice, peer);
    rig.advance(Duration::from_millis(299_999));
    assert!(open(&mut rig), "refreshed");
    rig.advance(Duration::from_millis(1));
    assert!(!open(&mut rig));
    rig.permit(&mut alice, peer);
    rig.oversleep(Duration::from_secs(300));
    assert!(!open(&mut rig), "over, although nobody has swept");
}

/// RFC 8656 §9, §11.2, §12.6: neither what the peer sends nor what the client sends refreshes a permission.
#[test]
fn traffic_refreshes_no_permission() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let (relay, peer) = (rig.allocate(&mut alice, &[]), addr("9.9.9.9:9"));
    rig.bind(&mut alice, 0x4000, peer);
    for _ in 0..300 {
        let send = alice.indication(Method::SEND, &[xor_peer(peer), data(b"x")]);
        assert!(!rig.send(&alice, &send).is_silent());
        assert!(!rig.send(&alice, &channel_data(0x4000, b"x")).is_silent());
        assert!(!rig.receive(relay, peer, b"x").is_silent());
        rig.advance(Duration::from_secs(1));
    }
    let send = alice.indication(Method::SEND, &[xor_peer(peer), data(b"x")]);
    assert!(rig.send(&alice, &send).is_silent());
    assert!(rig.receive(relay, peer, b"x").is_silent());
}

/// RFC 8656 §10.2: no peer, or one that cannot be read, is 400.
#[test]
fn a_request_without_a_readable_peer_is_bad() {
    let value = |bytes: &[u8]| raw(AttributeType::XOR_PEER_ADDRESS, bytes);
    let good = xor_peer(addr("9.9.9.9:9"));
    let cases = [
        vec![],
        vec![value(&[])],
        vec![value(&[0, 1, 0, 9, 9, 9, 9])],
        vec![value(&[0, 1, 0, 9, 9, 9, 9, 9, 9])],
        vec![value(&[0, 3, 0, 9, 9, 9, 9, 9])],
        vec![value(&[0, 2, 0, 9, 9, 9, 9, 9])],
        vec![good.clone(), value(&[0, 1])],
        vec![value(&[0, 1]), good],
    ];
    for attributes in cases {
        let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
        let relay = rig.allocate(&mut alice, &[]);
        assert_eq!(rig.call(&mut alice, Method::CREATE_PERMISSION, &attributes).code(), 400);
        assert!(rig.receive(relay, addr("9.9.9.9:9"), b"x").is_silent(), "none is installed (A06)");
    }
}

/// A06: all peers of a request are checked before any is permitted, whatever is wrong with one and wherever it
/// stands.
#[test]
fn a06_one_bad_peer_spoils_the_whole_request() {
    let good = ["9.9.9.9:9", "9.9.9.8:9"];
    for (bad, code) in [("10.0.0.1:9", 403), ("[2a00:9::9]:9", 443)] {
        for place in 0..=good.len() {
            let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
            let relay = rig.allocate(&mut alice, &[]);
            let mut peers = good.to_vec();
            peers.insert(place, bad);
            assert_eq!(create(&mut rig, &mut alice, &peers), code);
            for peer in good {
                assert!(rig.receive(relay, addr(peer), b"x").is_silent());
            }
            assert_eq!(create(&mut rig, &mut alice, &good), 0);
        }
    }
}

/// RFC 8656 §10.2: the peers' family must be the relay address's.
#[test]
fn a_peer_of_another_family_is_443() {
    for (number, own, other) in [(1, "9.9.9.9:9", "[2a00:9::9]:9"), (2, "[2a00:9::9]:9", "9.9.9.9:9")] {
        let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
        rig.allocate(&mut alice, &[family(number)]);
        assert_eq!(create(&mut rig, &mut alice, &[own]), 0);
        assert_eq!(create(&mut rig, &mut alice, &[other]), 443);
    }
}

/// RFC 8656 §10.2: many peers in one request. R04: no more than the limit, and all or none.
#[test]
fn r04_permissions_are_limited_and_expired_ones_make_room() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    rig.allocate(&mut alice, &[lifetime(3600)]);
    let peers: Vec<_> = (0..100_u8).map(|host| format!("9.9.9.{host}:9")).collect();
    let peers: Vec<_> = peers.iter().map(String::as_str).collect();
    assert_eq!(create(&mut rig, &mut alice, &peers[..99]), 0);
    assert_eq!(create(&mut rig, &mut alice, &[peers[99], "9.9.8.1:9"]), 508);
    assert_eq!(rig.last.denial(), Some(Denial::Permissions));
    assert_eq!(create(&mut rig, &mut alice, &[peers[99]]), 0, "the refused request has taken no place");
    assert_eq!(create(&mut rig, &mut alice, &peers), 0, "refreshing takes no place");
    for host in 0..200 {
        assert_eq!(create(&mut rig, &mut alice, &[&format!("9.9.8.{host}:9")]), 508);
    }
    rig.oversleep(Duration::from_secs(300));
    assert_eq!(create(&mut rig, &mut alice, &["9.9.8.1:9"]), 0);
}

/// Two candidates of one peer are one permission, also where only one place is left.
#[test]
fn an_address_named_twice_counts_once() {
    let mut rig = Rig::with(|setup| setup.settings.permissions_per_allocation = 1);
    let mut alice = Client::alice("192.0.2.1:1000");
    let relay = rig.allocate(&mut alice, &[]);
    assert_eq!(create(&mut rig, &mut alice, &["9.9.9.9:9", "9.9.9.9:10"]), 0);
    assert!(!rig.receive(relay, addr("9.9.9.9:10"), b"x").is_silent());
}

/// RFC 8656 §9: one allocation's permissions are nothing to another's.
#[test]
fn permissions_belong_to_one_allocation() {
    let mut rig = Rig::new();
    let (mut alice, mut bob) = (Client::alice("192.0.2.1:1000"), Client::bob("192.0.2.2:1000"));
    let (of_alice, of_bob) = (rig.allocate(&mut alice, &[]), rig.allocate(&mut bob, &[]));
    rig.permit(&mut alice, addr("9.9.9.9:9"));
    assert!(rig.receive(of_bob, addr("9.9.9.9:9"), b"x").is_silent());
    assert!(!rig.receive(of_alice, addr("9.9.9.9:9"), b"x").is_silent());
    rig.call(&mut alice, Method::REFRESH, &[lifetime(0)]);
    let again = rig.allocate(&mut alice, &[]);
    assert!(rig.receive(again, addr("9.9.9.9:9"), b"x").is_silent(), "they end with their allocation");
}

/// RFC 8656 §5: no allocation, no permission.
#[test]
fn without_an_allocation_it_is_a_mismatch() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    assert_eq!(create(&mut rig, &mut alice, &["9.9.9.9:9"]), 437);
    rig.assert_nothing_is_left();
}
