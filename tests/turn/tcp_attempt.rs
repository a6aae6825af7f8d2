//! Connections that peers make to a relay address (RFC 6062 §5.3).

use std::time::Duration;

use turnbridge::turn::{DropReason, Transport};
use turnbridge::wire::{AttributeType, Class, Method};

use crate::rig::*;

const PEER: &str = "9.9.9.9:40000";

fn allocated() -> (Rig, Client, std::net::SocketAddr) {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000").over(Transport::Tcp));
    let relay = rig.allocate_tcp(&mut alice);
    (rig, alice, relay)
}

/// RFC 6062 §5.3: the client is told who it is and by which name, over its control connection.
#[test]
fn a_permitted_peer_is_announced() {
    for (number, peer) in [(1, PEER), (2, "[2a00:9::9]:40000")] {
        let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000").over(Transport::Tls));
        let relay = rig.call(&mut alice, Method::ALLOCATE, &[tcp(), family(number)]).relayed()[0];
        rig.permit(&mut alice, addr(peer));
        let outs = rig.accept(relay, addr(peer)).clone();
        let [Out::KeepPeer(connection), Out::ToClient { client, bytes }] = &outs.0[..] else {
            panic!("{outs:?}")
        };
        let indication = Answer::parse(bytes);
        let header = indication.header();
        assert_eq!(*client, alice.tuple());
        assert_eq!((header.class, header.method), (Class::Indication, Method::CONNECTION_ATTEMPT));
        assert_eq!(indication.kinds(), [AttributeType::CONNECTION_ID, AttributeType::XOR_PEER_ADDRESS]);
        assert_eq!((indication.connection(), indication.peer()), (*connection, addr(peer)));
        let mut data = Client::alice("192.0.2.1:2000").over(Transport::Tls);
        rig.bind_connection(&mut data, *connection);
    }
}

/// RFC 6062 §5.3: without a permission the connection is closed, and the client hears nothing.
#[test]
fn a_peer_without_a_permission_is_turned_away() {
    let (mut rig, mut alice, relay) = allocated();
    assert!(rig.accept(relay, addr(PEER)).0.is_empty());
    rig.permit(&mut alice, addr("9.9.9.8:1"));
    assert!(rig.accept(relay, addr(PEER)).0.is_empty());
    rig.permit(&mut alice, addr("9.9.9.9:1"));
    assert_eq!(rig.accept(relay, addr(PEER)).0.len(), 2, "any port of a permitted address");
    rig.oversleep(Duration::from_secs(300));
    assert!(rig.accept(relay, addr("9.9.9.9:40001")).is_silent(), "a permission is over after 300 seconds");
    assert_eq!(rig.dropped(DropReason::NoPermission), 3);
}

/// A17, P12, P16: the policy counts for peers that come as for those that are gone to.
#[test]
fn a17_a_peer_that_the_policy_forbids_is_turned_away() {
    let (mut rig, mut alice, relay) = allocated();
    rig.permit(&mut alice, addr("44.0.0.1:1"));
    assert!(rig.accept(relay, addr(LISTENER)).0.is_empty(), "our own address, and no relay port");
    assert_eq!(rig.dropped(DropReason::Forbidden), 1);
    rig.permit(&mut alice, addr(PEER));
    rig.reload(|_, rules| rules.deny = vec!["9.0.0.0/8".parse().unwrap()]);
    assert!(rig.accept(relay, addr(PEER)).0.is_empty());
}

/// RFC 6062 §5.3: without a ConnectionBind request the connection is closed after 30 seconds.
#[test]
fn a_peer_that_nobody_wants_is_closed_after_30_seconds() {
    let (mut rig, mut alice, relay) = allocated();
    rig.permit(&mut alice, addr(PEER));
    let Out::KeepPeer(connection) = rig.accept(relay, addr(PEER)).0[0] else { panic!() };
    assert!(rig.advance(Duration::from_millis(29_999)).0.is_empty());
    assert_eq!(rig.advance(Duration::from_millis(1)).0, [Out::ClosePeer(connection)]);
    let mut data = Client::alice("192.0.2.1:2000").over(Transport::Tcp);
    assert_eq!(rig.call(&mut data, Method::CONNECTION_BIND, &[connection_id(connection)]).code(), 400);
}

/// A peer comes once from each of its ports; a second is a mistake of the driver and closed.
#[test]
fn a_peer_is_not_kept_twice() {
    let (mut rig, mut alice, relay) = allocated();
    rig.permit(&mut alice, addr(PEER));
    rig.accept(relay, addr(PEER));
    assert!(rig.accept(relay, addr(PEER)).0.is_empty());
    assert_eq!(rig.relay.connections(), 1);
    let code = rig.call(&mut alice, Method::CONNECT, &[xor_peer(addr(PEER))]).code();
    assert_eq!(code, 446, "the same connection the other way round");
}

/// A connection for an allocation that is gone is nobody's.
#[test]
fn a_connection_to_an_ended_allocation_is_turned_away() {
    let (mut rig, mut alice, relay) = allocated();
    let stale = rig.sockets.id(relay);
    rig.call(&mut alice, Method::REFRESH, &[lifetime(0)]);
    let late = turnbridge::turn::Input::PeerAccepted { relay: stale, peer: addr(PEER) };
    assert!(rig.feed(late).0.is_empty());
    rig.assert_nothing_is_left();
}

/// RFC 6062 §4.4 is about clients: from one, a ConnectionAttempt means nothing.
#[test]
fn clients_announce_no_connections() {
    let (mut rig, mut alice, _) = allocated();
    let attributes = [connection_id(turnbridge::turn::ConnectionId(1)), xor_peer(addr(PEER))];
    let indication = alice.indication(Method::CONNECTION_ATTEMPT, &attributes);
    assert!(rig.send(&alice, &indication).0.is_empty());
    let request = alice.signed(Method::CONNECTION_ATTEMPT, &attributes);
    assert!(rig.send(&alice, &request).0.is_empty());
}
