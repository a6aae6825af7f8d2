//! EVEN-PORT and RESERVATION-TOKEN (RFC 8656 §7.2 steps 5 and 8, §18.7, §18.10), with the ports of `net::ports`.

use std::time::Duration;

use turnbridge::turn::{Denial, Family, ReservationToken};
use turnbridge::wire::{AttributeType, Method};

use crate::rig::*;

fn reserve(rig: &mut Rig, client: &mut Client, attributes: &[Attr]) -> (std::net::SocketAddr, Vec<u8>) {
    let attributes = [&[udp(), even_and_next()], attributes].concat();
    let answer = rig.call(client, Method::ALLOCATE, &attributes);
    assert_eq!(answer.code(), 0);
    (answer.relayed()[0], answer.get(AttributeType::RESERVATION_TOKEN).unwrap())
}

/// R=0: an even port, no token. The other bits are ignored (RFC 8656 §18.7).
#[test]
fn even_port_gives_even_ports() {
    let mut rig = Rig::with(|setup| setup.relay_ports = 50_001..=50_999);
    for host in 1..20 {
        let mut client = Client::alice(&format!("192.0.2.{host}:1000"));
        let even_port = raw(AttributeType::EVEN_PORT, &[if host % 2 == 0 { 0 } else { 0x7F }]);
        let answer = rig.call(&mut client, Method::ALLOCATE, &[udp(), even_port]);
        assert_eq!(answer.relayed()[0].port() % 2, 0);
        assert!(!answer.has(AttributeType::RESERVATION_TOKEN));
    }
}

/// R=1: the next port is kept, and who brings the token gets it: any user on any 5-tuple.
#[test]
fn the_next_port_is_kept_for_who_brings_the_token() {
    for (number, family_attributes) in [(1, vec![]), (2, vec![family(2)])] {
        let mut rig = Rig::new();
        let mut alice = Client::alice("192.0.2.1:1000");
        let (relay, kept) = reserve(&mut rig, &mut alice, &family_attributes);
        assert_eq!(relay.port() % 2, 0);
        let others: Vec<_> = (10..20)
            .map(|host| rig.allocate(&mut Client::alice(&format!("192.0.2.{host}:1")), &family_attributes))
            .collect();
        assert!(!others.iter().any(|other| other.port() == relay.port() + 1), "kept");
        let mut bob = Client::bob("[2001:db8::9]:9");
        let answer = rig.call(&mut bob, Method::ALLOCATE, &[udp(), token(&kept)]);
        assert_eq!(answer.code(), 0);
        assert_eq!(answer.relayed()[0].ip(), relay.ip(), "family {number}: the token tells it");
        assert_eq!(answer.relayed()[0].port(), relay.port() + 1);
        assert!(!answer.has(AttributeType::RESERVATION_TOKEN));
        let mut late = Client::bob("192.0.2.8:8");
        assert_eq!(rig.call(&mut late, Method::ALLOCATE, &[udp(), token(&kept)]).code(), 508, "used");
    }
}

/// A token nobody has been given, or whose time is over (R02), is 508.
#[test]
fn r02_an_unknown_or_expired_token_is_508() {
    let mut rig = Rig::new();
    let (mut alice, mut bob) = (Client::alice("192.0.2.1:1000"), Client::bob("192.0.2.2:1000"));
    let (_, kept) = reserve(&mut rig, &mut alice, &[]);
    for unknown in [[0; 8], [0xFF; 8], [0x55; 8]] {
        assert_eq!(rig.call(&mut bob, Method::ALLOCATE, &[udp(), token(&unknown)]).code(), 508);
        assert_eq!(rig.last.denial(), Some(Denial::TokenUnknown));
    }
    rig.advance(Duration::from_secs(30));
    assert_eq!(rig.call(&mut bob, Method::ALLOCATE, &[udp(), token(&kept)]).code(), 508);
    assert_eq!((rig.relay.allocations(), rig.quota.total()), (1, 1));
}

/// RFC 8656 §7.2: a reservation MUST hold for 30 seconds, also when the allocation that made it is gone; R02: an unused
/// one is free afterwards.
#[test]
fn r02_a_reservation_is_held_for_thirty_seconds() {
    for (wait, with_token, without) in [(29_999, 0, 508), (30_000, 508, 0)] {
        let mut rig = Rig::with(|setup| setup.relay_ports = 50_000..=50_001);
        let mut alice = Client::alice("192.0.2.1:1000");
        let (_, kept) = reserve(&mut rig, &mut alice, &[]);
        rig.call(&mut alice, Method::REFRESH, &[lifetime(0)]);
        rig.allocate(&mut Client::alice("192.0.2.3:1"), &[]);
        rig.advance(Duration::from_millis(wait));
        let mut bob = Client::bob("192.0.2.2:1000");
        assert_eq!(rig.call(&mut bob, Method::ALLOCATE, &[udp(), lifetime(700)]).code(), without);
        let mut carol = Client::bob("192.0.2.4:1000");
        assert_eq!(rig.call(&mut carol, Method::ALLOCATE, &[udp(), token(&kept)]).code(), with_token);
    }
}

/// A token is 508 also where its family is one the server has not: nobody can have been given it.
#[test]
fn a_token_of_a_family_the_server_has_not_is_508() {
    let mut rig = Rig::with(|setup| setup.relay_v6 = None);
    let mut alice = Client::alice("192.0.2.1:1000");
    assert_eq!(rig.call(&mut alice, Method::ALLOCATE, &[udp(), token(&[0xFF; 8])]).code(), 508);
}

/// No pair of ports left is 508 (step 8).
#[test]
fn no_pair_of_ports_left_is_508() {
    let mut rig = Rig::with(|setup| setup.relay_ports = 50_000..=50_001);
    let (mut alice, mut bob) = (Client::alice("192.0.2.1:1000"), Client::bob("192.0.2.2:1000"));
    reserve(&mut rig, &mut alice, &[]);
    for attributes in [[udp(), even()], [udp(), even_and_next()], [udp(), lifetime(1)]] {
        assert_eq!(rig.call(&mut bob, Method::ALLOCATE, &attributes).code(), 508);
    }
}

/// RFC 8656 §7.2 steps 5 and 8: what contradicts itself, and what has no sense, is 400.
#[test]
fn contradictions_are_bad_requests() {
    let kept = || token(&[1; 8]);
    let cases: Vec<Vec<Attr>> = vec![
        vec![kept(), even()],
        vec![kept(), even_and_next()],
        vec![kept(), family(1)],
        vec![kept(), family(2)],
        vec![kept(), additional(2)],
        vec![even_and_next(), additional(2)],
        vec![token(&[1; 7])],
        vec![token(&[1; 9])],
        vec![token(&[])],
        vec![raw(AttributeType::EVEN_PORT, &[])],
        vec![raw(AttributeType::EVEN_PORT, &[0, 0])],
    ];
    for attributes in cases {
        let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
        let attributes = [&[udp()], &attributes[..]].concat();
        assert_eq!(rig.call(&mut alice, Method::ALLOCATE, &attributes).code(), 400, "{attributes:?}");
        rig.assert_nothing_is_left();
    }
}

/// R01: EVEN-PORT keeps no port back once its allocation is gone.
#[test]
fn r01_even_ports_all_come_back() {
    let mut rig = Rig::with(|setup| setup.relay_ports = 50_000..=50_003);
    for _ in 0..500 {
        let mut clients: Vec<_> =
            (1..=2).map(|host| Client::alice(&format!("192.0.2.{host}:1000"))).collect();
        for client in &mut clients {
            rig.allocate(client, &[even()]);
        }
        for client in &mut clients {
            rig.call(client, Method::REFRESH, &[lifetime(0)]);
        }
        rig.assert_nothing_is_left();
    }
}

/// A token says its family, whatever the randomness it is made from.
#[test]
fn a_token_tells_its_family() {
    for random in [[0; 8], [0xFF; 8], [0x7F; 8]] {
        for family in [Family::V4, Family::V6] {
            assert_eq!(ReservationToken::new(family, random).family(), family);
        }
    }
}
