//! What happens rarely: a driver that says things twice or late, a limit that shrinks, a peer on the wrong side.

use turnbridge::turn::{Family, Input, OpenedRelay, Output, PortRequest, RelayId};
use turnbridge::wire::Method;

use crate::rig::*;

const PEER: &str = "9.9.9.9:9";
const PEER_V6: &str = "[2a00:9::9]:9";

/// An OpenRelay that is answered twice has one socket, and its allocation keeps it.
#[test]
fn a_relay_socket_that_is_told_twice_stays_open() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let address = rig.allocate(&mut alice, &[]);
    let told = Input::RelayOpened {
        relay: rig.sockets.id(address),
        result: Ok(OpenedRelay { address, reservation: None }),
    };
    let outs = rig.feed(told);
    assert!(outs.0.is_empty(), "{outs:?}");
}

/// A dual allocation that waits for one of its sockets when the server stops already has the other.
#[test]
fn a_stop_closes_what_is_open_of_an_allocation_that_still_waits() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    assert_eq!(rig.call(&mut alice, Method::REFRESH, &[]).code(), 437);
    let request = alice.signed(Method::ALLOCATE, &[udp(), additional(2)]);
    let (now, mut asked) = (rig.now(), Vec::new());
    let input = Input::FromClient { client: alice.tuple(), bytes: &request };
    rig.relay.handle(now, input, &mut |output| {
        if let Output::OpenRelay { relay, .. } = output {
            asked.push(relay);
        }
    });
    let late = |rig: &mut Rig, relay: RelayId| {
        let opened =
            rig.sockets.open(now.mono, relay, alice.tuple().client().ip(), PortRequest::Any).unwrap();
        rig.feed(Input::RelayOpened { relay, result: Ok(opened) }).contains(&Out::Closed(opened.address))
    };
    assert_eq!(asked.iter().map(|relay| relay.family).collect::<Vec<_>>(), [Family::V4, Family::V6]);
    assert!(!late(&mut rig, asked[0]));
    rig.stop();
    rig.assert_nothing_is_left();
    assert!(late(&mut rig, asked[1]), "the other is closed when it comes");
    rig.assert_nothing_is_left();
}

/// A permission is for the relay address of its peer's own family.
#[test]
fn a_peer_is_not_heard_on_the_relay_socket_of_the_other_family() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let answer = rig.call(&mut alice, Method::ALLOCATE, &[udp(), additional(2)]);
    let [v4, v6] = answer.relayed()[..] else { panic!("two relay addresses: {answer:?}") };
    for peer in [addr(PEER), addr(PEER_V6)] {
        rig.permit(&mut alice, peer);
        let (own, other) = if peer.is_ipv4() { (v4, v6) } else { (v6, v4) };
        assert!(!rig.receive(own, peer, b"x").is_silent());
        assert!(rig.receive(other, peer, b"x").is_silent(), "{peer} on {other}");
    }
}

/// A reload that lowers a limit below what is held takes nothing away, and lets it be refreshed.
#[test]
fn what_is_held_beyond_a_lowered_limit_can_be_refreshed() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    rig.allocate(&mut alice, &[]);
    for (number, peer) in [(0x4000, "9.9.9.1:9"), (0x4001, "9.9.9.2:9")] {
        rig.bind(&mut alice, number, addr(peer));
    }
    rig.reload(|settings, _| {
        settings.permissions_per_allocation = 1;
        settings.channels_per_allocation = 1;
    });
    for (number, peer) in [(0x4000, "9.9.9.1:9"), (0x4001, "9.9.9.2:9")] {
        rig.permit(&mut alice, addr(peer));
        rig.bind(&mut alice, number, addr(peer));
    }
    let more = rig.call(&mut alice, Method::CREATE_PERMISSION, &[xor_peer(addr("9.9.9.3:9"))]);
    assert_eq!(more.code(), 508);
}

/// An IPv4 peer in IPv6 clothes is forbidden, not taken for the peer that has a channel.
#[test]
fn p04_a_mapped_address_is_forbidden_beside_the_channel_of_the_address_inside() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    rig.allocate(&mut alice, &[additional(2)]);
    rig.bind(&mut alice, 0x4000, addr(PEER));
    for number in [0x4000, 0x4001] {
        let mapped = xor_peer(addr("[::ffff:9.9.9.9]:9"));
        let answer = rig.call(&mut alice, Method::CHANNEL_BIND, &[channel(number), mapped]);
        assert_eq!(answer.code(), 403, "{number:#x}");
    }
}
