//! Send and Data indications (RFC 8656 §11), and how much fits into them.

use turnbridge::turn::DropReason;
use turnbridge::wire::{AttributeType, Class, Method};

use crate::rig::*;

const PEER: &str = "9.9.9.9:9";

/// Alice with an allocation and a permission, and her relay address.
fn permitted() -> (Rig, Client, std::net::SocketAddr) {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let relay = rig.allocate(&mut alice, &[]);
    rig.permit(&mut alice, addr(PEER));
    (rig, alice, relay)
}

/// RFC 8656 §11.2: from the relay address to the peer, the value of DATA and nothing else; DATA may be empty.
#[test]
fn a_send_indication_becomes_a_datagram_to_the_peer() {
    let (mut rig, mut alice, relay) = permitted();
    for length in [0, 1, 3, 4, 500, 1200] {
        let payload: Vec<u8> = (0..length).map(|byte| (byte % 251) as u8).collect();
        let send = alice.indication(Method::SEND, &[xor_peer(addr(PEER)), data(&payload)]);
        assert_eq!(rig.send(&alice, &send).only_to_peer(), (relay, addr(PEER), payload));
    }
}

/// RFC 8656 §11.2: without a peer, without data, or with one that cannot be read, it is discarded.
#[test]
fn an_incomplete_send_indication_is_dropped() {
    let peer = || xor_peer(addr(PEER));
    let cases = [
        vec![],
        vec![peer()],
        vec![data(b"x")],
        vec![raw(AttributeType::XOR_PEER_ADDRESS, &[0, 1, 0, 9]), data(b"x")],
        vec![raw(AttributeType::XOR_PEER_ADDRESS, &[0, 7, 0, 9, 9, 9, 9, 9]), data(b"x")],
        vec![peer(), data(b"x"), raw(AttributeType(0x7ABC), b"")],
    ];
    let count = cases.len() as u64;
    let (mut rig, mut alice, _) = permitted();
    for attributes in cases {
        let send = alice.indication(Method::SEND, &attributes);
        assert!(rig.send(&alice, &send).0.is_empty(), "{attributes:?}");
    }
    assert_eq!(rig.dropped(DropReason::Malformed), count);
}

/// RFC 8656 §11.2: without a permission for the address it is discarded, and none is made.
#[test]
fn a_send_indication_needs_a_permission() {
    let (mut rig, mut alice, relay) = permitted();
    let send = alice.indication(Method::SEND, &[xor_peer(addr("8.8.8.8:8")), data(b"x")]);
    assert!(rig.send(&alice, &send).0.is_empty());
    assert!(rig.receive(relay, addr("8.8.8.8:8"), b"x").is_silent());
    assert_eq!(rig.dropped(DropReason::NoPermission), 2);
    let send = alice.indication(Method::SEND, &[xor_peer(addr("9.9.9.9:1")), data(b"x")]);
    assert_eq!(rig.send(&alice, &send).only_to_peer().1, addr("9.9.9.9:1"), "any port of the address");
}

/// A06, RFC 8489 §14: of two peers and two payloads the first counts.
#[test]
fn a06_the_first_peer_of_a_send_indication_counts() {
    let (mut rig, mut alice, _) = permitted();
    let attributes = [xor_peer(addr(PEER)), xor_peer(addr("8.8.8.8:8")), data(b"first"), data(b"second")];
    let send = alice.indication(Method::SEND, &attributes);
    let (_, peer, payload) = rig.send(&alice, &send).only_to_peer();
    assert_eq!((peer, payload), (addr(PEER), b"first".to_vec()));
    let attributes = [xor_peer(addr("8.8.8.8:8")), xor_peer(addr(PEER)), data(b"x")];
    let send = alice.indication(Method::SEND, &attributes);
    assert!(rig.send(&alice, &send).0.is_empty());
}

/// RFC 8656 §14: DONT-FRAGMENT asks for the DF bit; where it cannot be set the indication is discarded (§11.2).
#[test]
fn dont_fragment_asks_for_the_df_bit() {
    for can in [true, false] {
        let mut rig = Rig::with(|setup| setup.settings.dont_fragment = can);
        let mut alice = Client::alice("192.0.2.1:1000");
        rig.allocate(&mut alice, &[]);
        rig.permit(&mut alice, addr(PEER));
        let send = alice.indication(Method::SEND, &[xor_peer(addr(PEER)), data(b"x")]);
        assert!(!rig.send(&alice, &send).dont_fragment());
        let send = alice.indication(Method::SEND, &[xor_peer(addr(PEER)), dont_fragment(), data(b"x")]);
        let outs = rig.send(&alice, &send);
        match can {
            true => assert!(outs.dont_fragment()),
            false => assert!(outs.0.is_empty()),
        }
    }
}

/// RFC 8656 §13.1 to §13.3: where either side is IPv6, DONT-FRAGMENT MUST be ignored, and the data goes out.
#[test]
fn dont_fragment_is_ignored_where_either_side_is_ipv6() {
    let cases = [
        ("192.0.2.1:1000", 1, PEER, true),
        ("192.0.2.1:1000", 2, "[2a00:9::9]:9", false),
        ("[2001:db8::1]:1000", 1, PEER, false),
        ("[2001:db8::1]:1000", 2, "[2a00:9::9]:9", false),
    ];
    for (client, number, peer, expected) in cases {
        let (mut rig, mut alice) = (Rig::new(), Client::alice(client));
        rig.allocate(&mut alice, &[family(number)]);
        rig.permit(&mut alice, addr(peer));
        let send = alice.indication(Method::SEND, &[xor_peer(addr(peer)), data(b"x"), dont_fragment()]);
        assert_eq!(rig.send(&alice, &send).dont_fragment(), expected, "{client} to {peer}");
    }
}

/// RFC 8656 §11.3: XOR-PEER-ADDRESS and DATA, on the allocation's 5-tuple; padding is zero (CVE-2020-4067).
#[test]
fn a_datagram_from_a_peer_becomes_a_data_indication() {
    for (number, peer) in [(1, PEER), (2, "[2a00:9::9]:9")] {
        let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
        let relay = rig.allocate(&mut alice, &[family(number)]);
        rig.permit(&mut alice, addr(peer));
        for length in [0, 1, 2, 3, 4, 5, 1200] {
            let payload = vec![0xEE; length];
            let outs = rig.receive(relay, addr(peer), &payload);
            assert_eq!(outs.to_client()[0].0, alice.tuple());
            let indication = outs.indication();
            let header = indication.header();
            assert_eq!((header.class, header.method), (Class::Indication, Method::DATA));
            assert_eq!(indication.kinds(), [AttributeType::XOR_PEER_ADDRESS, AttributeType::DATA]);
            assert_eq!(indication.peer(), addr(peer));
            assert_eq!(indication.get(AttributeType::DATA).unwrap(), payload);
            let padding = length.next_multiple_of(4) - length;
            assert!(indication.bytes.ends_with(&vec![0; padding]));
        }
    }
}

/// RFC 8489 §5: two indications are two transactions.
#[test]
fn every_data_indication_is_a_transaction_of_its_own() {
    let (mut rig, _, relay) = permitted();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..1000 {
        let indication = rig.receive(relay, addr(PEER), b"x").indication();
        assert!(seen.insert(indication.header().transaction));
    }
}

/// One datagram carries at most 65,507 bytes: what a client can send is relayed, and what would not fit with its head
/// is dropped and counted instead of sent in part.
#[test]
fn the_largest_datagrams_are_relayed_or_dropped_whole() {
    let (mut rig, mut alice, relay) = permitted();
    rig.bind(&mut alice, 0x4000, addr("9.9.9.9:4"));
    let largest = vec![0xAB; 65_503];
    let frame = channel_data(0x4000, &largest);
    assert_eq!(frame.len(), 65_507);
    assert_eq!(rig.send(&alice, &frame).only_to_peer().2, largest);
    assert_eq!(rig.receive(relay, addr("9.9.9.9:4"), &largest).only_to_client(), frame);
    let too_long = vec![0xAB; 65_504];
    assert!(rig.receive(relay, addr("9.9.9.9:4"), &too_long).is_silent());
    assert!(rig.receive(relay, addr("9.9.9.9:4"), &[0xAB; 65_507]).is_silent());

    let send = alice.indication(Method::SEND, &[xor_peer(addr(PEER)), data(&vec![1; 65_468])]);
    assert_eq!(send.len(), 65_504);
    assert_eq!(rig.send(&alice, &send).only_to_peer().2.len(), 65_468);
    let indication = rig.receive(relay, addr(PEER), &vec![1; 65_468]).indication();
    assert_eq!(indication.bytes.len(), 65_504);
    for length in [65_472, 65_507] {
        assert!(rig.receive(relay, addr(PEER), &vec![1; length]).is_silent(), "{length}");
    }
    assert_eq!(rig.dropped(DropReason::TooLong), 4);
    let ended = |rig: &mut Rig, alice: &mut Client| {
        rig.call(alice, Method::REFRESH, &[lifetime(0)]);
        rig.last.ended().unwrap().2
    };
    let traffic = ended(&mut rig, &mut alice);
    assert_eq!((traffic.up.packets, traffic.down.packets, traffic.down.dropped), (2, 2, 4));
}

/// RFC 8656 §11.4 and §12: what goes to the client as ChannelData and what as Data follows the channel, while both
/// kinds are accepted from it (§12.5).
#[test]
fn a_client_may_mix_send_and_channel_data() {
    let (mut rig, mut alice, relay) = permitted();
    rig.bind(&mut alice, 0x4000, addr(PEER));
    let send = alice.indication(Method::SEND, &[xor_peer(addr(PEER)), data(b"send")]);
    assert_eq!(rig.send(&alice, &send).only_to_peer(), (relay, addr(PEER), b"send".to_vec()));
    let sent = rig.send(&alice, &channel_data(0x4000, b"channel")).only_to_peer();
    assert_eq!(sent, (relay, addr(PEER), b"channel".to_vec()));
}

/// RFC 8656 §3.2: what arrives at a relay address that is gone, or was never one, is nobody's.
#[test]
fn a_datagram_for_an_ended_allocation_is_dropped() {
    use turnbridge::turn::Input;
    let (mut rig, mut alice, relay) = permitted();
    let stale = rig.sockets.id(relay);
    rig.call(&mut alice, Method::REFRESH, &[lifetime(0)]);
    let mut bob = Client::bob("192.0.2.2:1000");
    rig.allocate(&mut bob, &[]);
    rig.permit(&mut bob, addr(PEER));
    let late = Input::FromPeer { relay: stale, peer: addr(PEER), bytes: b"late" };
    assert!(rig.feed(late).is_silent(), "not for who has its place now");
    assert_eq!(rig.dropped(DropReason::NoAllocation), 1);
}

/// Indications are never authenticated (RFC 8656 §5): credentials in them are neither needed nor judged.
#[test]
fn credentials_in_an_indication_are_not_judged() {
    let (mut rig, mut alice, _) = permitted();
    let attributes =
        [xor_peer(addr(PEER)), data(b"x"), raw(AttributeType::USERNAME, b"?"), Attr::Sha1(b"?".to_vec())];
    let send = alice.indication(Method::SEND, &attributes);
    assert_eq!(rig.send(&alice, &send).only_to_peer().2, b"x");
}
