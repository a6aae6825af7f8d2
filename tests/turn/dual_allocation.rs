//! ADDITIONAL-ADDRESS-FAMILY: an IPv4 and an IPv6 relay address in one allocation (RFC 8656 §7.2 step 9, §8.1).

use std::time::Duration;

use turnbridge::turn::EndReason;
use turnbridge::wire::{AttributeType, Method};

use crate::rig::*;

const PEER_V4: &str = "9.9.9.9:9";
const PEER_V6: &str = "[2a00:9::9]:9";

/// Both relay addresses of a dual allocation.
fn allocate_both(rig: &mut Rig, client: &mut Client) -> [std::net::SocketAddr; 2] {
    let answer = rig.call(client, Method::ALLOCATE, &[udp(), additional(2)]);
    assert_eq!(answer.code(), 0);
    assert!(!answer.has(AttributeType::ADDRESS_ERROR_CODE));
    answer.relayed().try_into().unwrap()
}

/// Two XOR-RELAYED-ADDRESS attributes in one answer.
#[test]
fn both_relay_addresses_are_told() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let [v4, v6] = allocate_both(&mut rig, &mut alice);
    assert_eq!((v4.ip(), v6.ip()), (ip(RELAY_V4), ip(RELAY_V6)));
    assert_eq!((rig.relay.allocations(), rig.sockets.open_count(), rig.quota.total()), (1, 2, 1));
    let began = Told::Began {
        user: "alice".into(),
        relay: v4,
        additional: Some(v6),
        lifetime: Duration::from_secs(600),
    };
    assert!(rig.last.contains(&Out::Told(began)));
}

/// EVEN-PORT without a reservation holds for both.
#[test]
fn even_ports_in_both_families() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    rig.allocate(&mut Client::bob("192.0.2.2:1"), &[]);
    let answer = rig.call(&mut alice, Method::ALLOCATE, &[udp(), additional(2), even()]);
    assert_eq!(answer.relayed().iter().filter(|relay| relay.port() % 2 == 0).count(), 2);
}

/// Step 9: one of two is a success with ADDRESS-ERROR-CODE, which tells family and reason; a retransmission repeats
/// it.
#[test]
fn one_family_of_two_is_a_success_that_tells_what_is_missing() {
    type Change = fn(&mut Setup);
    let cases: [(Change, [u8; 4], &str); 2] = [
        (|setup| setup.relay_v6 = None, [2, 0, 4, 40], RELAY_V4),
        (|setup| setup.relay_v4 = None, [1, 0, 4, 40], RELAY_V6),
    ];
    for (change, error, relay) in cases {
        let (mut rig, mut alice) = (Rig::with(change), Client::alice("192.0.2.1:1000"));
        assert_eq!(rig.call(&mut alice, Method::ALLOCATE, &[]).code(), 400);
        let request = alice.signed(Method::ALLOCATE, &[udp(), additional(2)]);
        let answer = rig.ask(&alice, &request);
        assert_eq!(answer.code(), 0);
        assert_eq!(answer.get(AttributeType::ADDRESS_ERROR_CODE).unwrap()[..4], error);
        assert_eq!(answer.relayed().iter().map(|relay| relay.ip()).collect::<Vec<_>>(), [ip(relay)]);
        assert_eq!(rig.ask(&alice, &request), answer);
    }
}

/// The same with 508 where the family is there but has no port left; none of both is 508 altogether.
#[test]
fn a_family_without_ports_is_508() {
    let mut rig = Rig::with(|setup| setup.relay_ports = 50_000..=50_000);
    rig.allocate(&mut Client::bob("192.0.2.2:1"), &[family(2)]);
    let mut alice = Client::alice("192.0.2.1:1000");
    let answer = rig.call(&mut alice, Method::ALLOCATE, &[udp(), additional(2)]);
    assert_eq!(answer.get(AttributeType::ADDRESS_ERROR_CODE).unwrap()[..4], [2, 0, 5, 8]);
    let mut late = Client::alice("192.0.2.3:1000");
    assert_eq!(rig.call(&mut late, Method::ALLOCATE, &[udp(), additional(2)]).code(), 508);
    assert_eq!((rig.relay.allocations(), rig.quota.total()), (2, 2));
}

/// Steps 6 and 9: with REQUESTED-ADDRESS-FAMILY, or with anything but IPv6, it is 400.
#[test]
fn additional_address_family_is_ipv6_and_stands_alone() {
    let malformed = |value: &[u8]| raw(AttributeType::ADDITIONAL_ADDRESS_FAMILY, value);
    let cases = [
        vec![additional(1)],
        vec![additional(0)],
        vec![additional(3)],
        vec![malformed(&[2])],
        vec![malformed(&[])],
        vec![family(1), additional(2)],
        // Before it is asked whether there is such a family (RFC 8656 §7.2 steps 6 and 7).
        vec![family(3), additional(2)],
        vec![family(2), additional(2)],
    ];
    for attributes in cases {
        let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
        let attributes = [&[udp()], &attributes[..]].concat();
        assert_eq!(rig.call(&mut alice, Method::ALLOCATE, &attributes).code(), 400, "{attributes:?}");
        rig.assert_nothing_is_left();
    }
}

/// Each peer is reached from the relay address of its family.
#[test]
fn each_family_has_its_own_relay_address() {
    for client in ["192.0.2.1:1000", "[2001:db8::1]:1000"] {
        let (mut rig, mut alice) = (Rig::new(), Client::alice(client));
        let [v4, v6] = allocate_both(&mut rig, &mut alice);
        for (number, relay, peer) in [(0x4000, v4, addr(PEER_V4)), (0x4001, v6, addr(PEER_V6))] {
            rig.bind(&mut alice, number, peer);
            let sent = rig.send(&alice, &channel_data(number, b"up")).only_to_peer();
            assert_eq!(sent, (relay, peer, b"up".to_vec()));
            let received = rig.receive(relay, peer, b"down").only_to_client();
            assert_eq!(received, channel_data(number, b"down"));
        }
        let both = [xor_peer(addr(PEER_V4)), xor_peer(addr(PEER_V6))];
        assert_eq!(rig.call(&mut alice, Method::CREATE_PERMISSION, &both).code(), 0, "RFC 8656 §10.1");
    }
}

/// RFC 8656 §8.1: deleting one family destroys its permissions and channels, and MUST NOT affect the other's.
#[test]
fn deleting_one_family_leaves_the_other_untouched() {
    for (deleted, number) in [(0, 1), (1, 2)] {
        let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
        let relays = allocate_both(&mut rig, &mut alice);
        let peers = [addr(PEER_V4), addr(PEER_V6)];
        rig.bind(&mut alice, 0x4000, peers[0]);
        rig.bind(&mut alice, 0x4001, peers[1]);
        let answer = rig.call(&mut alice, Method::REFRESH, &[lifetime(0), family(number)]);
        assert_eq!((answer.code(), answer.lifetime()), (0, 0));
        assert!(rig.last.contains(&Out::Closed(relays[deleted])));
        let (gone, kept) = ([0x4000, 0x4001][deleted], [0x4001, 0x4000][deleted]);
        assert!(rig.last.contains(&Out::ChannelDown { channel: gone, peer: peers[deleted] }));
        assert!(rig.send(&alice, &channel_data(gone, b"x")).is_silent());
        assert!(!rig.send(&alice, &channel_data(kept, b"x")).is_silent());
        assert!(!rig.receive(relays[1 - deleted], peers[1 - deleted], b"x").is_silent());
        assert_eq!(rig.call(&mut alice, Method::CREATE_PERMISSION, &[xor_peer(peers[deleted])]).code(), 443);
        assert_eq!(rig.call(&mut alice, Method::REFRESH, &[family(number)]).code(), 443);
        assert_eq!(rig.call(&mut alice, Method::REFRESH, &[lifetime(0)]).code(), 0);
        rig.assert_nothing_is_left();
    }
}

/// The permissions of a family that is gone take no place from the other's.
#[test]
fn a_deleted_family_s_permissions_make_room() {
    let mut rig = Rig::with(|setup| setup.settings.permissions_per_allocation = 1);
    let mut alice = Client::alice("192.0.2.1:1000");
    allocate_both(&mut rig, &mut alice);
    rig.permit(&mut alice, addr(PEER_V4));
    let v6 = [xor_peer(addr(PEER_V6))];
    assert_eq!(rig.call(&mut alice, Method::CREATE_PERMISSION, &v6).code(), 508);
    assert_eq!(rig.call(&mut alice, Method::REFRESH, &[lifetime(0), family(1)]).code(), 0);
    assert_eq!(rig.call(&mut alice, Method::CREATE_PERMISSION, &v6).code(), 0);
}

/// RFC 8656 §8.1: without a family a Refresh is for all there is; with one, each has a time of its own.
#[test]
fn each_family_has_a_lifetime_of_its_own() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let [v4, v6] = allocate_both(&mut rig, &mut alice);
    rig.advance(Duration::from_secs(500));
    assert_eq!(rig.call(&mut alice, Method::REFRESH, &[family(2)]).code(), 0);
    rig.advance(Duration::from_secs(100));
    assert!(rig.last.contains(&Out::Closed(v4)));
    assert_eq!(rig.last.ended(), None, "half of it is alive");
    assert_eq!(rig.call(&mut alice, Method::REFRESH, &[]).code(), 0);
    rig.advance(Duration::from_secs(600));
    assert!(rig.last.contains(&Out::Closed(v6)));
    assert_eq!(rig.last.ended().unwrap().0, EndReason::Expired);
    rig.assert_nothing_is_left();
}

/// A family whose time is over stays over, although the server has not looked yet.
#[test]
fn a_refresh_does_not_wake_a_family_that_is_over() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let [v4, _] = allocate_both(&mut rig, &mut alice);
    rig.advance(Duration::from_secs(500));
    assert_eq!(rig.call(&mut alice, Method::REFRESH, &[family(2)]).code(), 0);
    rig.oversleep(Duration::from_secs(101));
    let request = alice.signed(Method::REFRESH, &[]);
    let stale = rig.ask(&alice, &request);
    alice.accept_challenge(&stale);
    assert!(rig.last.contains(&Out::Closed(v4)));
    assert_eq!(rig.call(&mut alice, Method::REFRESH, &[]).code(), 0);
    assert_eq!(rig.call(&mut alice, Method::REFRESH, &[family(1)]).code(), 443);
    assert_eq!(rig.sockets.open_count(), 1);
}
