//! Connect (RFC 6062 §5.2).

use std::time::Duration;

use turnbridge::turn::{ConnectError, ConnectionId, Denial, Refusal, Transport};
use turnbridge::wire::{AttributeType, Class, Method};

use crate::rig::*;

const PEER: &str = "9.9.9.9:9";

fn allocated() -> (Rig, Client, std::net::SocketAddr) {
    allocated_with(|_| {})
}

fn allocated_with(change: impl FnOnce(&mut Setup)) -> (Rig, Client, std::net::SocketAddr) {
    let mut rig = Rig::with(change);
    let mut alice = Client::alice("192.0.2.1:1000").over(Transport::Tcp);
    let relay = rig.allocate_tcp(&mut alice);
    (rig, alice, relay)
}

/// RFC 6062 §5.2: from the relay address to the peer; the answer comes with the connection, and has its CONNECTION-ID.
/// No permission is needed, and none is made.
#[test]
fn a_connection_comes_from_the_relay_address() {
    let (mut rig, mut alice, relay) = allocated();
    let request = alice.signed(Method::CONNECT, &[xor_peer(addr(PEER))]);
    let outs = rig.send(&alice, &request).clone();
    let [Out::ConnectPeer { connection, from, peer }] = outs.0[..] else { panic!("{outs:?}") };
    assert_eq!((from, peer), (relay, addr(PEER)));
    let answer = Answer::parse(&rig.connected(connection).only_to_client());
    answer.assert_answers(&request);
    assert_eq!((answer.header().class, answer.connection()), (Class::Success, connection));
    assert_eq!(answer.kinds(), [AttributeType::CONNECTION_ID]);
    assert_eq!(answer.proof(&alice.key()), Some(alice.scheme.answered_with()));
    assert!(rig.accept(relay, addr("9.9.9.9:10")).0.is_empty(), "there is no permission");
}

/// A17 (pion/turn 7a0272f): nobody connects to anything without credentials, or with somebody else's.
#[test]
fn a17_connect_needs_the_allocation_s_own_credentials() {
    let (mut rig, mut alice, _) = allocated();
    let request = alice.unsigned(Method::CONNECT, &[xor_peer(addr(PEER))]);
    let answer = rig.ask(&alice, &request);
    assert_eq!(answer.code(), 401);
    assert!(answer.has(AttributeType::NONCE) && answer.has(AttributeType::REALM));
    let mut thief = Client { password: "guess".into(), ..alice.clone() };
    assert_eq!(rig.call(&mut thief, Method::CONNECT, &[xor_peer(addr(PEER))]).code(), 401);
    let mut bob = Client { address: alice.address, ..Client::bob("192.0.2.1:1000").over(Transport::Tcp) };
    assert_eq!(rig.call(&mut bob, Method::CONNECT, &[xor_peer(addr(PEER))]).code(), 441);
    assert_eq!(rig.last.denial(), Some(Denial::OtherUser));
    let mut elsewhere = Client::alice("192.0.2.1:1001").over(Transport::Tcp);
    assert_eq!(rig.call(&mut elsewhere, Method::CONNECT, &[xor_peer(addr(PEER))]).code(), 437);
    assert_eq!(rig.relay.connections(), 0);
    rig.connect(&mut alice, addr(PEER));
}

/// A17 (pion/turn 0dafcab), P01 to P18: Connect asks the policy that CreatePermission asks, and says which rule it was.
#[test]
fn a17_connect_asks_the_peer_policy() {
    let (mut rig, mut alice, _) = allocated_with(|setup| {
        setup.rules.deny = vec!["8.8.4.0/24".parse().unwrap()];
        setup.rules.ports = 1024..=u16::MAX;
    });
    let cases = [
        ("127.0.0.1:5000", 403),
        ("0.0.0.0:5000", 403),
        ("10.0.0.1:5000", 403),
        ("169.254.169.254:8080", 403),
        ("224.0.0.1:5000", 403),
        ("255.255.255.255:5000", 403),
        ("8.8.4.4:5000", 403),
        ("9.9.9.9:80", 403),
        ("9.9.9.9:0", 403),
        (LISTENER, 403),
        ("44.0.0.1:22", 403),
        ("[::1]:5000", 443),
        ("[::ffff:127.0.0.1]:5000", 443),
    ];
    for (peer, code) in cases {
        assert_eq!(rig.call(&mut alice, Method::CONNECT, &[xor_peer(addr(peer))]).code(), code, "{peer}");
        assert!(!rig.last.0.iter().any(|out| matches!(out, Out::ConnectPeer { .. })));
        assert_eq!(code == 403, matches!(rig.last.denial(), Some(Denial::Peer(_))), "{peer}");
    }
    let mut six = Client::bob("192.0.2.2:1000").over(Transport::Tls);
    assert_eq!(rig.call(&mut six, Method::ALLOCATE, &[tcp(), family(2)]).code(), 0);
    for peer in ["[::1]:5000", "[::ffff:8.8.8.8]:5000", "[64:ff9b::7f00:1]:5000", "[2002:7f00:1::1]:5000"] {
        let answer = rig.call(&mut six, Method::CONNECT, &[xor_peer(addr(peer))]);
        assert_eq!(answer.code(), 403, "{peer}");
    }
    rig.connect(&mut six, addr("[2a00:9::9]:5000"));
}

/// P11: two of our clients may talk, on relay ports alone.
#[test]
fn p11_a_client_connects_to_another_s_relay_address() {
    let (mut rig, mut alice, relay) = allocated();
    let mut bob = Client::bob("192.0.2.2:1000").over(Transport::Tcp);
    let other = rig.allocate_tcp(&mut bob);
    rig.permit(&mut bob, relay);
    let connection = rig.ask_to_connect(&mut alice, other);
    let outs = rig.accept(other, relay).clone();
    let [Out::KeepPeer(accepted), Out::ToClient { client, .. }] = outs.0[..] else { panic!("{outs:?}") };
    assert_ne!(accepted, connection, "each has its own end");
    assert_eq!(client, bob.tuple());
    rig.connected(connection);
    assert_eq!(rig.relay.connections(), 2);
}

/// RFC 6062 §5.2: no XOR-PEER-ADDRESS, or one that cannot be read, is 400.
#[test]
fn a_connect_request_without_a_peer_is_a_bad_one() {
    let (mut rig, mut alice, _) = allocated();
    let cases = [
        vec![],
        vec![raw(AttributeType::XOR_PEER_ADDRESS, &[0, 1, 0, 9])],
        vec![raw(AttributeType::XOR_PEER_ADDRESS, &[0, 7, 0, 9, 9, 9, 9, 9])],
    ];
    for attributes in cases {
        assert_eq!(rig.call(&mut alice, Method::CONNECT, &attributes).code(), 400, "{attributes:?}");
    }
    let unknown = [xor_peer(addr(PEER)), raw(AttributeType(0x7ABC), b"")];
    assert_eq!(rig.call(&mut alice, Method::CONNECT, &unknown).code(), 420);
    assert_eq!(rig.relay.connections(), 0);
}

/// RFC 6062 §5.2: while there is a connection to a peer's transport address, or one in the making, there is no second:
/// 446. Other ports and other allocations are other connections.
#[test]
fn there_is_one_connection_to_each_peer() {
    let (mut rig, mut alice, _) = allocated();
    let exists = |rig: &mut Rig, alice: &mut Client| {
        rig.call(alice, Method::CONNECT, &[xor_peer(addr(PEER))]).code() == 446
    };
    let first = rig.ask_to_connect(&mut alice, addr(PEER));
    assert!(exists(&mut rig, &mut alice), "being processed");
    rig.connected(first);
    assert!(exists(&mut rig, &mut alice), "pending");
    let mut data = Client::alice("192.0.2.1:2000").over(Transport::Tcp);
    rig.bind_connection(&mut data, first);
    assert!(exists(&mut rig, &mut alice), "active");
    rig.connect(&mut alice, addr("9.9.9.9:10"));
    let mut bob = Client::bob("192.0.2.2:1000").over(Transport::Tcp);
    rig.allocate_tcp(&mut bob);
    rig.connect(&mut bob, addr(PEER));
    rig.hang_up(first);
    rig.connect(&mut alice, addr(PEER));
}

/// RFC 6062 §5.2: an attempt that fails is 447, and may be made again.
#[test]
fn a_peer_that_cannot_be_reached_is_447() {
    let (mut rig, mut alice, _) = allocated();
    for (error, code) in [(ConnectError::Failed, 447), (ConnectError::NoCapacity, 508)] {
        let connection = rig.ask_to_connect(&mut alice, addr(PEER));
        let outs = rig.not_connected(connection, error).clone();
        let answer = Answer::parse(&outs.to_client()[0].1);
        assert_eq!(answer.code(), code);
        assert_eq!(answer.proof(&alice.key()), Some(alice.scheme.answered_with()));
        assert_eq!(outs.denial(), (code == 508).then_some(Denial::NoSocket));
        assert_eq!(rig.relay.connections(), 0);
    }
    rig.connect(&mut alice, addr(PEER));
}

/// RFC 6062 §5.2: the timeout is at least 30 seconds, and 447 as well. What comes later is closed.
#[test]
fn a_peer_that_does_not_answer_in_30_seconds_is_447() {
    let (mut rig, mut alice, _) = allocated();
    let connection = rig.ask_to_connect(&mut alice, addr(PEER));
    assert!(rig.advance(Duration::from_millis(29_999)).0.is_empty());
    let outs = rig.advance(Duration::from_millis(1)).clone();
    let [Out::ClosePeer(closed), Out::Noted(denial), Out::ToClient { client, bytes }] = &outs.0[..] else {
        panic!("{outs:?}")
    };
    assert_eq!(*denial, Denial::Request(Refusal::ConnectionFailed));
    assert_eq!((*closed, *client, Answer::parse(bytes).code()), (connection, alice.tuple(), 447));
    assert_eq!(rig.connected(connection).0, [Out::ClosePeer(connection)]);
    assert!(rig.not_connected(connection, ConnectError::Failed).0.is_empty());
    assert_eq!(rig.relay.connections(), 0);
}

/// The same where the driver oversleeps: what is over does not count, although it is still there.
#[test]
fn a_late_connection_does_not_count() {
    let (mut rig, mut alice, _) = allocated();
    let connection = rig.ask_to_connect(&mut alice, addr(PEER));
    rig.oversleep(Duration::from_secs(30));
    let outs = rig.connected(connection).clone();
    assert_eq!(Answer::parse(&outs.to_client()[0].1).code(), 447);
    assert!(outs.contains(&Out::ClosePeer(connection)));
    let connection = rig.ask_to_connect(&mut alice, addr(PEER));
    rig.oversleep(Duration::from_secs(30));
    let request = alice.signed(Method::CONNECT, &[xor_peer(addr(PEER))]);
    let outs = rig.send(&alice, &request).clone();
    assert_eq!(outs.0.first(), Some(&Out::ClosePeer(connection)), "it does not stand in the way of the next");
    assert!(matches!(outs.0.last(), Some(Out::ConnectPeer { .. })));
}

/// RFC 6062 §4.3: several Connect requests may be on their way, and each gets its own answer.
#[test]
fn answers_come_in_the_order_of_the_peers() {
    let (mut rig, mut alice, _) = allocated();
    let mut asked = Vec::new();
    for port in 1..=5u16 {
        let request = alice.signed(Method::CONNECT, &[xor_peer(addr(&format!("9.9.9.9:{port}")))]);
        let outs = rig.send(&alice, &request).clone();
        let [Out::ConnectPeer { connection, .. }] = outs.0[..] else { panic!("{outs:?}") };
        asked.push((connection, request));
    }
    for (connection, request) in asked.into_iter().rev() {
        let answer = Answer::parse(&rig.connected(connection).only_to_client());
        answer.assert_answers(&request);
        assert_eq!(answer.connection(), connection);
    }
}

/// RFC 8489 §9.2.4: an answer is sealed with what its own request was made with, although a later one came with another
/// key.
#[test]
fn an_answer_has_the_key_of_its_request() {
    let (mut rig, mut alice, _) = allocated();
    let old = alice.clone();
    let connection = rig.ask_to_connect(&mut alice, addr(PEER));
    let mut newer = alice.with_scheme(Scheme::Sha256);
    assert_eq!(rig.call(&mut newer, Method::REFRESH, &[]).code(), 0);
    let answer = Answer::parse(&rig.connected(connection).only_to_client());
    assert_eq!(answer.proof(&old.key()), Some(old.scheme.answered_with()));
}

/// R04: connections of an allocation are limited, incoming and outgoing together; one that ends makes room.
#[test]
fn r04_connections_of_an_allocation_are_limited() {
    let (mut rig, mut alice, relay) = allocated_with(|setup| setup.settings.connections_per_allocation = 3);
    rig.permit(&mut alice, addr(PEER));
    let first = rig.connect(&mut alice, addr("9.9.9.9:1"));
    rig.ask_to_connect(&mut alice, addr("9.9.9.9:2"));
    assert_eq!(rig.accept(relay, addr("9.9.9.9:3")).0.len(), 2);
    let answer = rig.call(&mut alice, Method::CONNECT, &[xor_peer(addr("9.9.9.9:4"))]);
    assert_eq!((answer.code(), rig.last.denial()), (508, Some(Denial::Connections)));
    assert!(rig.accept(relay, addr("9.9.9.9:5")).0.is_empty());
    assert_eq!(rig.dropped(turnbridge::turn::DropReason::Connections), 1);
    rig.hang_up(first);
    rig.connect(&mut alice, addr("9.9.9.9:4"));
    rig.disconnect(&alice);
    rig.assert_nothing_is_left();
}

/// RFC 6062 §6.2.1: a CONNECTION-ID is one connection's alone, and does not tell the next.
#[test]
fn connection_ids_are_unique_and_not_in_a_row() {
    let (mut rig, mut alice, _) = allocated_with(|setup| setup.settings.connections_per_allocation = 1000);
    let ids: Vec<ConnectionId> =
        (1..=500u16).map(|port| rig.connect(&mut alice, addr(&format!("9.9.9.9:{port}")))).collect();
    let distinct: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
    let near = ids.windows(2).filter(|pair| pair[0].0.abs_diff(pair[1].0) < 1 << 24).count();
    assert!(near < 30, "{near}");
}

/// The driver says nothing twice that means anything: what it repeats changes nothing.
#[test]
fn a_connection_is_reported_once() {
    let (mut rig, mut alice, _) = allocated();
    let connection = rig.connect(&mut alice, addr(PEER));
    assert!(rig.connected(connection).0.is_empty());
    assert!(rig.not_connected(connection, ConnectError::Failed).0.is_empty());
    assert_eq!(rig.relay.connections(), 1);
    rig.hang_up(connection);
    assert!(rig.hang_up(connection).0.is_empty());
}
