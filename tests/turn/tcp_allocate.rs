//! Allocate for TCP (RFC 6062 §5.1), and what a TCP allocation has nothing to do with.

use turnbridge::turn::{DropReason, Input, Output, RelayTransport, Transport};
use turnbridge::wire::{AttributeType, Method};

use crate::rig::*;

const PEER: &str = "9.9.9.9:9";

fn alice() -> Client {
    Client::alice("192.0.2.1:1000").over(Transport::Tcp)
}

/// RFC 6062 §5.1: a TCP relayed transport address, for clients over TCP and TLS; all the rest is as for UDP, and there
/// is no RESERVATION-TOKEN.
#[test]
fn a_tcp_allocation_is_given_to_clients_over_streams() {
    for transport in [Transport::Tcp, Transport::Tls] {
        let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000").over(transport));
        let answer = rig.call(&mut alice, Method::ALLOCATE, &[tcp(), lifetime(700)]);
        assert_eq!((answer.code(), answer.lifetime()), (0, 700));
        assert_eq!((answer.relayed().len(), answer.mapped()), (1, alice.address));
        assert!(!answer.has(AttributeType::RESERVATION_TOKEN));
        assert_eq!(rig.call(&mut alice, Method::REFRESH, &[lifetime(900)]).lifetime(), 900);
        assert_eq!(rig.call(&mut alice, Method::REFRESH, &[lifetime(0)]).code(), 0);
        rig.assert_nothing_is_left();
    }
}

/// RFC 6062 §5.1 (4): the driver is told to listen and not to bind a datagram socket.
#[test]
fn the_relay_socket_has_the_transport_that_was_asked_for() {
    for (wanted, transport) in [(udp(), RelayTransport::Udp), (tcp(), RelayTransport::Tcp)] {
        let (mut rig, mut alice) = (Rig::new(), alice());
        rig.call(&mut alice, Method::REFRESH, &[]);
        let request = alice.signed(Method::ALLOCATE, &[wanted, additional(2)]);
        let (now, mut asked) = (rig.now(), Vec::new());
        let input = Input::FromClient { client: alice.tuple(), bytes: &request };
        rig.relay.handle(now, input, &mut |output| {
            if let Output::OpenRelay { transport, .. } = output {
                asked.push(transport);
            }
        });
        assert_eq!(asked, [transport; 2]);
    }
}

/// RFC 6062 §5.1 (2), (3), RFC 8656 §7.2: over UDP, or with an attribute that is for datagrams, 400; what is neither UDP
/// nor TCP is 442.
#[test]
fn what_is_not_for_tcp_is_refused() {
    let over = |transport| Client::alice("192.0.2.1:1000").over(transport);
    let cases = [
        ("over UDP", Transport::Udp, vec![tcp()], 400),
        ("DONT-FRAGMENT", Transport::Tcp, vec![tcp(), dont_fragment()], 400),
        ("EVEN-PORT", Transport::Tcp, vec![tcp(), even()], 400),
        ("EVEN-PORT with R", Transport::Tls, vec![tcp(), even_and_next()], 400),
        ("RESERVATION-TOKEN", Transport::Tcp, vec![tcp(), token(&[1; 8])], 400),
        ("SCTP", Transport::Tcp, vec![raw(AttributeType::REQUESTED_TRANSPORT, &[132, 0, 0, 0])], 442),
        ("short", Transport::Tcp, vec![raw(AttributeType::REQUESTED_TRANSPORT, &[6])], 400),
    ];
    for can_forbid_fragments in [true, false] {
        for (name, transport, attributes, code) in &cases {
            let mut rig = Rig::with(|setup| setup.settings.dont_fragment = can_forbid_fragments);
            let mut client = over(*transport);
            assert_eq!(rig.call(&mut client, Method::ALLOCATE, attributes).code(), *code, "{name}");
            rig.assert_nothing_is_left();
        }
    }
}

/// RFC 6062 §5.1 (1), turned round: where no connections are allowed there are no TCP allocations.
#[test]
fn without_connections_there_are_no_tcp_allocations() {
    let mut rig = Rig::with(|setup| setup.settings.connections_per_allocation = 0);
    let mut alice = alice();
    assert_eq!(rig.call(&mut alice, Method::ALLOCATE, &[tcp()]).code(), 442);
    rig.allocate(&mut alice, &[]);
    let mut datagrams = Client::alice("192.0.2.1:1000");
    assert_eq!(rig.call(&mut datagrams, Method::ALLOCATE, &[tcp()]).code(), 442, "RFC 8656 §7.2 (3)");
}

/// Quotas count TCP allocations as any others.
#[test]
fn tcp_allocations_count() {
    let mut rig = Rig::with(|setup| setup.settings.allocations.per_user = 2);
    rig.allocate_tcp(&mut alice());
    rig.allocate(&mut Client::alice("192.0.2.1:1001"), &[]);
    let mut third = Client::alice("192.0.2.1:1002").over(Transport::Tls);
    assert_eq!(rig.call(&mut third, Method::ALLOCATE, &[tcp()]).code(), 486);
}

/// RFC 6062 §3: the control connection carries no application data: there is no Send, no Data, and no channel. A channel
/// is of a UDP allocation, which is not there: 437.
#[test]
fn a_tcp_allocation_has_no_datagrams() {
    let (mut rig, mut alice) = (Rig::new(), alice());
    let relay = rig.allocate_tcp(&mut alice);
    rig.permit(&mut alice, addr(PEER));
    let answer = rig.call(&mut alice, Method::CHANNEL_BIND, &[channel(0x4000), xor_peer(addr(PEER))]);
    assert_eq!(answer.code(), 437);
    let send = alice.indication(Method::SEND, &[xor_peer(addr(PEER)), data(b"x")]);
    assert!(rig.send(&alice, &send).0.is_empty());
    assert!(rig.send(&alice, &channel_data(0x4000, b"x")).0.is_empty());
    assert!(rig.receive(relay, addr(PEER), b"x").0.is_empty());
    let icmp = turnbridge::turn::Icmp { kind: 3, code: 3, data: 0 };
    assert!(rig.icmp(relay, addr(PEER), icmp).0.is_empty());
    assert_eq!(rig.dropped(DropReason::NoPermission), 2);
    assert_eq!(rig.dropped(DropReason::NoChannel), 1);
    let traffic = rig.disconnect(&alice).ended().unwrap().2;
    assert_eq!((traffic.up.packets, traffic.down.packets), (0, 0));
}

/// RFC 6062 §5.2, turned round: Connect needs a TCP allocation, whatever else there is.
#[test]
fn a_udp_allocation_has_no_connections() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000").over(transport));
        assert_eq!(rig.call(&mut alice, Method::CONNECT, &[xor_peer(addr(PEER))]).code(), 437, "none");
        let relay = rig.allocate(&mut alice, &[]);
        rig.permit(&mut alice, addr(PEER));
        assert_eq!(rig.call(&mut alice, Method::CONNECT, &[xor_peer(addr(PEER))]).code(), 437, "for UDP");
        assert!(rig.accept(relay, addr(PEER)).0.is_empty());
    }
}
