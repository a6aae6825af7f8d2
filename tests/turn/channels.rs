//! ChannelBind and ChannelData (RFC 8656 §12).

use std::time::Duration;

use turnbridge::turn::{ChannelRange, Denial, DropReason};
use turnbridge::wire::{AttributeType, Method};

use crate::rig::*;

const PEER: &str = "9.9.9.9:9";

fn bind(rig: &mut Rig, client: &mut Client, number: u16, peer: &str) -> u16 {
    rig.call(client, Method::CHANNEL_BIND, &[channel(number), xor_peer(addr(peer))]).code()
}

/// A rig, alice with an allocation of an hour, and her relay address.
fn allocated() -> (Rig, Client, std::net::SocketAddr) {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let relay = rig.allocate(&mut alice, &[lifetime(3600)]);
    (rig, alice, relay)
}

/// RFC 8656 §12.2: binds the channel and installs a permission for the address; an empty success answer.
#[test]
fn binding_opens_both_directions_and_permits_the_address() {
    let (mut rig, mut alice, relay) = allocated();
    let answer = rig.call(&mut alice, Method::CHANNEL_BIND, &[channel(0x4ABC), xor_peer(addr(PEER))]);
    assert_eq!((answer.code(), answer.kinds()), (0, vec![]));
    assert!(rig.last.contains(&Out::ChannelUp { from: relay, channel: 0x4ABC, peer: addr(PEER) }));
    let sent = rig.send(&alice, &channel_data(0x4ABC, b"up")).only_to_peer();
    assert_eq!(sent, (relay, addr(PEER), b"up".to_vec()));
    assert!(!rig.last.dont_fragment());
    let received = rig.receive(relay, addr(PEER), b"down").only_to_client();
    assert_eq!(received, channel_data(0x4ABC, b"down"), "RFC 8656 §12.5: MUST use ChannelData");
    let other_port = rig.receive(relay, addr("9.9.9.9:10"), b"down").indication();
    assert_eq!(other_port.peer(), addr("9.9.9.9:10"), "permitted, but not this channel's");
}

/// RFC 8656 §12.5: over UDP nothing is padded, in either direction.
#[test]
fn channel_data_to_the_client_is_not_padded() {
    let (mut rig, mut alice, relay) = allocated();
    bind(&mut rig, &mut alice, 0x4000, PEER);
    for length in [0, 1, 2, 3, 4, 5, 1199, 1200] {
        let payload = vec![7; length];
        let received = rig.receive(relay, addr(PEER), &payload).only_to_client();
        assert_eq!(received, channel_data(0x4000, &payload));
    }
}

/// RFC 8656 §12.5, §12.6: padding may be there and is cut off; a length beyond the datagram is dropped; a length of 0
/// is an empty datagram.
#[test]
fn channel_data_from_the_client_is_what_its_length_says() {
    let (mut rig, mut alice, relay) = allocated();
    bind(&mut rig, &mut alice, 0x4000, PEER);
    type Case<'a> = (&'a str, &'a [u8], Option<&'a [u8]>);
    let cases: [Case<'_>; 7] = [
        ("exact", &[0x40, 0, 0, 3, 1, 2, 3], Some(&[1, 2, 3])),
        ("padded to four", &[0x40, 0, 0, 3, 1, 2, 3, 0], Some(&[1, 2, 3])),
        ("padded with anything", &[0x40, 0, 0, 1, 1, 9, 9, 9], Some(&[1])),
        ("empty", &[0x40, 0, 0, 0], Some(&[])),
        ("too short for its length", &[0x40, 0, 0, 4, 1, 2, 3], None),
        ("half a head", &[0x40, 0, 0], None),
        ("another channel", &[0x40, 1, 0, 1, 1], None),
    ];
    for (name, bytes, payload) in cases {
        let outs = rig.send(&alice, bytes);
        match payload {
            Some(payload) => assert_eq!(outs.only_to_peer(), (relay, addr(PEER), payload.to_vec()), "{name}"),
            None => assert!(outs.0.is_empty(), "{name}"),
        }
    }
    assert_eq!((rig.dropped(DropReason::Malformed), rig.dropped(DropReason::NoChannel)), (2, 1));
}

/// RFC 8656 §12.2: both attributes, readable.
#[test]
fn a_request_without_channel_or_peer_is_bad() {
    let peer = || xor_peer(addr(PEER));
    let number = |bytes: &[u8]| raw(AttributeType::CHANNEL_NUMBER, bytes);
    let cases = [
        vec![],
        vec![channel(0x4000)],
        vec![peer()],
        vec![number(&[0x40, 0]), peer()],
        vec![number(&[0x40, 0, 0, 0, 0]), peer()],
        vec![channel(0x4000), raw(AttributeType::XOR_PEER_ADDRESS, &[0, 1, 0, 9])],
    ];
    for attributes in cases {
        let (mut rig, mut alice, _) = allocated();
        assert_eq!(rig.call(&mut alice, Method::CHANNEL_BIND, &attributes).code(), 400, "{attributes:?}");
    }
    let (mut rig, mut alice, _) = allocated();
    let attributes = [number(&[0x40, 0, 0xFF, 0xFF]), peer()];
    let answer = rig.call(&mut alice, Method::CHANNEL_BIND, &attributes);
    assert_eq!(answer.code(), 0, "RFC 8656 §18.1: reserved bits MUST be ignored");
}

/// R05, RFC 8656 §12.2: every number from 0x4000 to 0x4FFF and no other.
#[test]
fn r05_all_4096_channels_can_be_bound_and_no_other() {
    let mut rig = Rig::with(|setup| {
        setup.settings.channels_per_allocation = usize::MAX;
        setup.settings.permissions_per_allocation = usize::MAX;
    });
    let mut alice = Client::alice("192.0.2.1:1000");
    rig.allocate(&mut alice, &[]);
    for number in 0x4000..=0x4FFF_u16 {
        let peer = format!("9.9.{}.{}:9", number >> 8, number & 0xFF);
        assert_eq!(bind(&mut rig, &mut alice, number, &peer), 0, "{number:#x}");
    }
    for number in [0, 0x0001, 0x3FFF, 0x5000, 0x7FFF, 0x8000, 0xFFFF] {
        assert_eq!(bind(&mut rig, &mut alice, number, "9.10.0.1:9"), 400, "{number:#x}");
    }
    let sent = rig.send(&alice, &channel_data(0x4FFF, b"x")).only_to_peer();
    assert_eq!(sent.1, addr("9.9.79.255:9"));
}

/// An option admits the range of RFC 5766; without it, ChannelData of that range is not even looked at
/// (RFC 8656 §12.6).
#[test]
fn the_old_range_is_an_option() {
    for (range, code) in [(ChannelRange::Rfc8656, 400), (ChannelRange::Rfc5766, 0)] {
        let mut rig = Rig::with(|setup| setup.settings.channels = range);
        let mut alice = Client::alice("192.0.2.1:1000");
        let relay = rig.allocate(&mut alice, &[]);
        for number in [0x5000, 0x7FFF] {
            let peer = format!("9.9.9.9:{number}");
            assert_eq!(bind(&mut rig, &mut alice, number, &peer), code);
            assert_eq!(rig.send(&alice, &channel_data(number, b"x")).is_silent(), code != 0);
            if code == 0 {
                let received = rig.receive(relay, addr(&peer), b"x").only_to_client();
                assert_eq!(received, channel_data(number, b"x"));
            }
        }
        assert_eq!(bind(&mut rig, &mut alice, 0x8000, PEER), 400);
        assert_eq!(rig.dropped(DropReason::NotStun), if code == 0 { 0 } else { 2 });
    }
}

/// R05, RFC 8656 §12: one number, one peer, both ways; the same again is a refresh.
#[test]
fn r05_a_channel_and_its_peer_are_bound_to_each_other() {
    let (mut rig, mut alice, _) = allocated();
    for _ in 0..2 {
        assert_eq!(bind(&mut rig, &mut alice, 0x4000, PEER), 0);
        assert_eq!(bind(&mut rig, &mut alice, 0x4001, "9.9.9.9:10"), 0, "another port is another peer");
    }
    assert_eq!(bind(&mut rig, &mut alice, 0x4000, "9.9.9.8:9"), 400, "another peer");
    assert_eq!(bind(&mut rig, &mut alice, 0x4000, "9.9.9.9:10"), 400, "another channel's peer");
    assert_eq!(bind(&mut rig, &mut alice, 0x4002, PEER), 400, "another number");
    assert_eq!(rig.send(&alice, &channel_data(0x4000, b"x")).only_to_peer().1, addr(PEER));
    assert_eq!(rig.send(&alice, &channel_data(0x4001, b"x")).only_to_peer().1, addr("9.9.9.9:10"));
}

/// RFC 8656 §12.2: a peer of another family is 443, a forbidden one 403; neither leaves a channel or a permission.
#[test]
fn a_refused_peer_gets_neither_channel_nor_permission() {
    let (mut rig, mut alice, relay) = allocated();
    assert_eq!(bind(&mut rig, &mut alice, 0x4000, "[2a00:9::9]:9"), 443);
    assert_eq!(bind(&mut rig, &mut alice, 0x4000, "10.0.0.1:9"), 403);
    assert_eq!(rig.last.denial(), Some(Denial::Peer("private")));
    assert!(rig.send(&alice, &channel_data(0x4000, b"x")).is_silent());
    assert!(rig.receive(relay, addr("10.0.0.1:9"), b"x").is_silent());
    assert_eq!(bind(&mut rig, &mut alice, 0x4000, PEER), 0, "the number is free");
}

/// RFC 8656 §12: a binding lasts 10 minutes; a permission 5, also under a living channel.
#[test]
fn a_permission_expires_under_a_living_channel() {
    let (mut rig, mut alice, relay) = allocated();
    bind(&mut rig, &mut alice, 0x4000, PEER);
    rig.advance(Duration::from_secs(299));
    assert!(!rig.send(&alice, &channel_data(0x4000, b"x")).is_silent());
    rig.advance(Duration::from_secs(1));
    assert!(rig.send(&alice, &channel_data(0x4000, b"x")).is_silent());
    assert!(rig.receive(relay, addr(PEER), b"x").is_silent());
    assert_eq!(rig.dropped(DropReason::NoPermission), 2);
    rig.permit(&mut alice, addr(PEER));
    assert!(!rig.send(&alice, &channel_data(0x4000, b"x")).is_silent(), "the channel is still bound");
    let received = rig.receive(relay, addr(PEER), b"x").only_to_client();
    assert_eq!(received, channel_data(0x4000, b"x"));
}

/// RFC 8656 §12: a ChannelBind refreshes channel and permission; ChannelData refreshes neither (§12.6).
#[test]
fn only_channel_bind_keeps_a_channel() {
    let (mut rig, mut alice, relay) = allocated();
    bind(&mut rig, &mut alice, 0x4000, PEER);
    rig.advance(Duration::from_secs(400));
    bind(&mut rig, &mut alice, 0x4000, PEER);
    for _ in 0..599 {
        rig.advance(Duration::from_secs(1));
        rig.permit(&mut alice, addr(PEER));
        assert!(!rig.send(&alice, &channel_data(0x4000, b"x")).is_silent());
    }
    rig.advance(Duration::from_secs(1));
    assert!(rig.last.contains(&Out::ChannelDown { channel: 0x4000, peer: addr(PEER) }));
    assert!(rig.send(&alice, &channel_data(0x4000, b"x")).is_silent());
    assert!(rig.receive(relay, addr(PEER), b"x").indication().has(AttributeType::DATA), "still permitted");
}

/// RFC 8656 §12: once unbound, number and peer can be bound anew, although nobody has swept.
#[test]
fn an_expired_channel_can_be_bound_to_another_peer() {
    let (mut rig, mut alice, relay) = allocated();
    bind(&mut rig, &mut alice, 0x4000, PEER);
    rig.advance(Duration::from_secs(500));
    rig.permit(&mut alice, addr(PEER));
    rig.oversleep(Duration::from_secs(100));
    assert!(rig.send(&alice, &channel_data(0x4000, b"x")).is_silent());
    assert!(rig.receive(relay, addr(PEER), b"x").indication().has(AttributeType::DATA), "still permitted");
    assert_eq!(bind(&mut rig, &mut alice, 0x4000, "9.9.9.8:9"), 0);
    assert!(rig.last.contains(&Out::ChannelDown { channel: 0x4000, peer: addr(PEER) }));
    assert_eq!(bind(&mut rig, &mut alice, 0x4001, PEER), 0);
}

/// RFC 8656 §12.2: no room for one more channel, or for its permission, is 508.
#[test]
fn channels_are_limited() {
    let mut rig = Rig::with(|setup| {
        setup.settings.channels_per_allocation = 3;
        setup.settings.permissions_per_allocation = 2;
    });
    let mut alice = Client::alice("192.0.2.1:1000");
    rig.allocate(&mut alice, &[]);
    let codes = ["9.9.9.1:1", "9.9.9.1:2", "9.9.9.2:1", "9.9.9.2:2"].map(|peer| {
        let number = 0x4000 + u16::try_from(rig.relay.counters().successes()).unwrap();
        bind(&mut rig, &mut alice, number, peer)
    });
    assert_eq!(codes, [0, 0, 0, 508]);
    assert_eq!(rig.last.denial(), Some(Denial::Channels));
    rig.call(&mut alice, Method::REFRESH, &[lifetime(0)]);
    rig.allocate(&mut alice, &[]);
    let codes = [1, 2, 3].map(|host| bind(&mut rig, &mut alice, 0x4000 + host, &format!("9.9.9.{host}:1")));
    assert_eq!(codes, [0, 0, 508]);
    assert_eq!(rig.last.denial(), Some(Denial::Permissions));
}

/// RFC 8656 §12: a channel is one allocation's, and dies with it.
#[test]
fn channels_belong_to_one_allocation() {
    let mut rig = Rig::new();
    let (mut alice, mut bob) = (Client::alice("192.0.2.1:1000"), Client::bob("192.0.2.2:1000"));
    let (of_alice, of_bob) = (rig.allocate(&mut alice, &[]), rig.allocate(&mut bob, &[]));
    bind(&mut rig, &mut alice, 0x4000, PEER);
    assert!(rig.send(&bob, &channel_data(0x4000, b"x")).is_silent());
    bind(&mut rig, &mut bob, 0x4000, PEER);
    assert_eq!(rig.send(&alice, &channel_data(0x4000, b"a")).only_to_peer().0, of_alice);
    assert_eq!(rig.send(&bob, &channel_data(0x4000, b"b")).only_to_peer().0, of_bob);
    rig.call(&mut alice, Method::REFRESH, &[lifetime(0)]);
    rig.allocate(&mut alice, &[]);
    assert!(rig.send(&alice, &channel_data(0x4000, b"x")).is_silent());
}

/// RFC 8656 §5: ChannelData and Send without an allocation are silently ignored (L03).
#[test]
fn l03_data_without_an_allocation_is_ignored() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    assert!(rig.send(&alice, &channel_data(0x4000, b"x")).0.is_empty());
    let send = alice.indication(Method::SEND, &[xor_peer(addr(PEER)), data(b"x")]);
    assert!(rig.send(&alice, &send).0.is_empty());
    assert_eq!(rig.dropped(DropReason::NoAllocation), 2);
    assert_eq!(bind(&mut rig, &mut alice, 0x4000, PEER), 437);
}

/// RFC 8656 §12, table 3: what belongs to no protocol we speak is dropped.
#[test]
fn reserved_first_bytes_are_dropped() {
    let (mut rig, mut alice, _) = allocated();
    bind(&mut rig, &mut alice, 0x4000, PEER);
    for first in (4..=63).chain(80..=255) {
        assert!(rig.send(&alice, &[first, 0, 0, 1, 7, 0, 0, 0]).0.is_empty(), "{first}");
    }
    assert_eq!(rig.dropped(DropReason::NotStun), 60 + 176);
}
