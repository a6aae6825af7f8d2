//! Clients over TCP and TLS: their connections end, cannot be forged, and carry frames instead of datagrams.

use turnbridge::turn::{
    DropReason, EndReason, Input, OpenError, PortRequest, Rate, Transport, WRONG_PASSWORD_COST,
};
use turnbridge::wire::{AttributeType, Method};

use crate::rig::*;

const PEER: &str = "9.9.9.9:9";
const STREAMS: [Transport; 2] = [Transport::Tcp, Transport::Tls];

fn alice(transport: Transport) -> Client {
    Client::alice("192.0.2.1:1000").over(transport)
}

/// RFC 8656 §3.2: an allocation is its 5-tuple's, and that is gone with the connection. The next client may have the
/// same port.
#[test]
fn an_allocation_ends_with_its_connection() {
    for transport in STREAMS {
        let (mut rig, mut alice) = (Rig::new(), alice(transport));
        let relay = rig.allocate(&mut alice, &[additional(2)]);
        rig.permit(&mut alice, addr(PEER));
        rig.bind(&mut alice, 0x4000, addr(PEER));
        rig.send(&alice, &channel_data(0x4000, b"abc"));
        let outs = rig.disconnect(&alice).clone();
        assert!(outs.is_silent());
        assert!(outs.contains(&Out::ChannelDown { channel: 0x4000, peer: addr(PEER) }));
        assert!(outs.contains(&Out::Closed(relay)));
        let (reason, _, traffic) = outs.ended().unwrap();
        assert_eq!((reason, traffic.up.bytes), (EndReason::Disconnected, 3));
        rig.assert_nothing_is_left();
        assert!(rig.disconnect(&alice).0.is_empty(), "once");
        rig.allocate(&mut Client { challenge: None, ..alice }, &[]);
    }
}

/// Only the one whose connection it was: neighbours have the same address and another listener or transport.
#[test]
fn a_closed_connection_takes_nobody_else_s_allocation() {
    let mut rig = Rig::new();
    let mut all = [Transport::Udp, Transport::Tcp, Transport::Tls].map(alice);
    for client in &mut all {
        rig.allocate(client, &[]);
    }
    rig.disconnect(&all[1]);
    let codes = all.map(|mut client| rig.call(&mut client, Method::REFRESH, &[]).code());
    assert_eq!(codes, [0, 437, 0]);
}

/// R03: the Allocate request of a connection that is closed before its relay socket is there leaves nothing.
#[test]
fn r03_a_connection_that_is_closed_while_it_allocates_leaves_nothing() {
    let (mut rig, mut alice) = (Rig::new(), alice(Transport::Tcp));
    rig.call(&mut alice, Method::REFRESH, &[]);
    let request = alice.signed(Method::ALLOCATE, &[udp(), additional(2)]);
    let mut asked = Vec::new();
    let now = rig.now();
    let input = Input::FromClient { client: alice.tuple(), bytes: &request };
    rig.relay.handle(now, input, &mut |output| {
        if let turnbridge::turn::Output::OpenRelay { relay, .. } = output {
            asked.push(relay);
        }
    });
    let [first, second] = asked[..] else { panic!("{asked:?}") };
    let open = |rig: &mut Rig, relay| rig.sockets.open(now.mono, relay, ip("192.0.2.1"), PortRequest::Any);
    let opened = open(&mut rig, first);
    assert!(rig.feed(Input::RelayOpened { relay: first, result: opened }).0.is_empty());
    assert_eq!(rig.disconnect(&alice).0, [Out::Closed(opened.unwrap().address)]);
    let late = open(&mut rig, second);
    let outs = rig.feed(Input::RelayOpened { relay: second, result: late });
    assert_eq!(outs.0, [Out::Closed(late.unwrap().address)]);
    assert!(rig.feed(Input::RelayOpened { relay: second, result: Err(OpenError::NoCapacity) }).0.is_empty());
    rig.assert_nothing_is_left();
}

/// R03: allocating and dropping the connection again and again holds nothing and leaks nothing.
#[test]
fn r03_allocating_and_disconnecting_all_day_holds_nothing() {
    let mut rig = Rig::with(|setup| setup.settings.allocations.per_user = 1);
    for number in 0..2000u16 {
        let mut client = Client::alice(&format!("192.0.2.1:{}", 1000 + number)).over(Transport::Tls);
        rig.allocate(&mut client, &[]);
        rig.disconnect(&client);
    }
    rig.assert_nothing_is_left();
}

/// RFC 8656 §12.5: over TCP and TLS ChannelData MUST be padded to a multiple of four bytes, which its length does
/// not tell; over UDP it is not.
#[test]
fn channel_data_is_padded_towards_streams() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        let (mut rig, mut alice) = (Rig::new(), alice(transport));
        let relay = rig.allocate(&mut alice, &[]);
        rig.bind(&mut alice, 0x4000, addr(PEER));
        for length in [0, 1, 2, 3, 4, 5, 1197] {
            let payload = vec![0xEE; length];
            let mut expected = channel_data(0x4000, &payload);
            if transport != Transport::Udp {
                expected.resize(expected.len().next_multiple_of(4), 0);
            }
            assert_eq!(rig.receive(relay, addr(PEER), &payload).only_to_client(), expected);
        }
    }
}

/// RFC 8656 §12.5: what a stream client pads is cut off again.
#[test]
fn the_padding_of_channel_data_does_not_reach_the_peer() {
    let (mut rig, mut alice) = (Rig::new(), alice(Transport::Tcp));
    rig.allocate(&mut alice, &[]);
    rig.bind(&mut alice, 0x4000, addr(PEER));
    let frame = [&channel_data(0x4000, b"hello")[..], &[0xFF; 3]].concat();
    assert_eq!(rig.send(&alice, &frame).only_to_peer().2, b"hello");
}

/// A stream's frames are as long as their length fields can say, and a peer's datagrams as long as UDP allows; what
/// does not fit is dropped whole, and the stream goes on.
#[test]
fn the_largest_frames_pass_and_what_fits_no_datagram_is_dropped_and_counted() {
    let (v4, v6) = (PEER, "[2a00:9::9]:9");
    let (mut rig, mut alice) = (Rig::new(), alice(Transport::Tls));
    let relay_v4 = rig.allocate(&mut alice, &[additional(2)]);
    let relay_v6 = rig.last.0.iter().find_map(|out| match out {
        Out::Told(Told::Began { additional, .. }) => *additional,
        _ => None,
    });
    let relay_v6 = relay_v6.unwrap();
    rig.permit(&mut alice, addr(v4));
    rig.permit(&mut alice, addr(v6));
    let long = |length| vec![0xAB; length];
    // Data indications: 16 bytes of address and length for IPv4, 28 for IPv6, and 65,532 bytes in all.
    let received = |rig: &mut Rig, v6: bool, length| {
        let (relay, peer) = if v6 { (relay_v6, "[2a00:9::9]:9") } else { (relay_v4, PEER) };
        rig.receive(relay, addr(peer), &vec![0xAB; length]).to_client().first().map(|(_, bytes)| bytes.len())
    };
    assert_eq!(received(&mut rig, false, 65_507), Some(20 + 16 + 65_508));
    assert_eq!(received(&mut rig, true, 65_504), Some(20 + 28 + 65_504));
    assert_eq!(received(&mut rig, true, 65_505), None);
    assert_eq!(rig.dropped(DropReason::TooLong), 1);
    // ChannelData: all that a datagram can bring.
    rig.bind(&mut alice, 0x4004, addr(v4));
    rig.bind(&mut alice, 0x4006, addr(v6));
    assert_eq!(received(&mut rig, false, 65_507), Some(4 + 65_508));
    assert_eq!(received(&mut rig, true, 65_527), Some(4 + 65_528));
    // Up: what a datagram can take.
    for (channel, longest) in [(0x4004, 65_507), (0x4006, 65_527)] {
        assert_eq!(rig.send(&alice, &channel_data(channel, &long(longest))).only_to_peer().2.len(), longest);
        for length in [longest + 1, 65_535] {
            assert!(rig.send(&alice, &channel_data(channel, &long(length))).0.is_empty());
        }
    }
    let send = alice.indication(Method::SEND, &[xor_peer(addr(v4)), data(&long(65_508))]);
    assert!(rig.send(&alice, &send).0.is_empty());
    assert_eq!(rig.dropped(DropReason::TooLong), 6);
    let traffic = rig.disconnect(&alice).ended().unwrap().2;
    assert_eq!((traffic.up.dropped, traffic.down.dropped), (5, 1));
    assert_eq!((traffic.up.packets, traffic.down.packets), (2, 4));
}

/// RFC 8656 §13, §15: out of a stream DONT-FRAGMENT is all there is to rely on, whatever the families.
#[test]
fn dont_fragment_counts_for_all_families_out_of_a_stream() {
    for client in ["192.0.2.1:1000", "[2001:db8::1]:1000"] {
        for (number, peer) in [(1, PEER), (2, "[2a00:9::9]:9")] {
            let (mut rig, mut alice) = (Rig::new(), Client::alice(client).over(Transport::Tcp));
            rig.allocate(&mut alice, &[family(number), dont_fragment()]);
            rig.permit(&mut alice, addr(peer));
            for wants in [true, false] {
                let flag = wants.then(dont_fragment);
                let attributes: Vec<_> = [xor_peer(addr(peer)), data(b"x")].into_iter().chain(flag).collect();
                let send = alice.indication(Method::SEND, &attributes);
                assert_eq!(rig.send(&alice, &send).dont_fragment(), wants, "{client} to {peer}");
            }
        }
    }
}

/// RFC 8656 §11.2, §15: where the DF bit cannot be set, 420 and silence are the same as over UDP.
#[test]
fn dont_fragment_is_refused_to_streams_where_it_cannot_be_done() {
    let mut rig = Rig::with(|setup| setup.settings.dont_fragment = false);
    let mut alice = alice(Transport::Tcp);
    assert_eq!(rig.call(&mut alice, Method::ALLOCATE, &[udp(), dont_fragment()]).code(), 420);
    rig.allocate(&mut alice, &[]);
    rig.permit(&mut alice, addr(PEER));
    let send = alice.indication(Method::SEND, &[xor_peer(addr(PEER)), data(b"x"), dont_fragment()]);
    assert!(rig.send(&alice, &send).0.is_empty());
}

/// L02: a short challenge that is never good is for sources that may be forged. A connection gets a whole one.
#[test]
fn l02_a_bare_request_over_a_stream_draws_a_whole_challenge() {
    for transport in STREAMS {
        let (mut rig, mut alice) = (Rig::new(), alice(transport));
        let request = alice.unsigned(Method::ALLOCATE, &[]);
        let answer = rig.ask(&alice, &request);
        assert_eq!(answer.code(), 401);
        alice.accept_challenge(&answer);
        let request = alice.signed(Method::ALLOCATE, &[udp()]);
        assert_eq!(rig.ask(&alice, &request).code(), 0, "its nonce is good");
    }
}

/// A01, L06: over a connection no answer hits somebody else: challenges and Binding are never met with silence, and
/// cost nothing of what the same source may draw over UDP.
#[test]
fn a_stream_client_is_always_answered() {
    let budget = Rate { per_second: 0, burst: 3 };
    let mut rig = Rig::with(|setup| {
        setup.settings.challenge_budget = budget;
        setup.settings.binding_budget = budget;
    });
    let mut stream = alice(Transport::Tcp);
    for _ in 0..50 {
        let binding = stream.unsigned(Method::BINDING, &[]);
        assert_eq!(rig.ask(&stream, &binding).code(), 0);
        let request = stream.unsigned(Method::ALLOCATE, &[udp()]);
        assert_eq!(rig.ask(&stream, &request).code(), 401);
        let malformed = stream.unsigned(Method::ALLOCATE, &[udp(), Attr::Sha1(b"?".to_vec())]);
        assert_eq!(rig.ask(&stream, &malformed).code(), 400);
    }
    let mut forgeable = alice(Transport::Udp);
    for expected in [true, true, true, false] {
        let request = forgeable.unsigned(Method::ALLOCATE, &[udp()]);
        assert_eq!(!rig.send(&forgeable, &request).is_silent(), expected);
    }
    let request = stream.unsigned(Method::ALLOCATE, &[udp()]);
    assert_eq!(rig.ask(&stream, &request).code(), 401, "nor do strangers who forge its source silence it");
}

/// A16: wrong passwords over a stream are answered and cost the budget of their source; when that is spent, each
/// costs its connection.
#[test]
fn a16_wrong_passwords_over_a_stream_cost_the_connection() {
    let mut rig = Rig::with(|setup| {
        setup.settings.challenge_budget = Rate { per_second: 0, burst: 3 * WRONG_PASSWORD_COST };
    });
    let mut thief = Client::new("192.0.2.1:1000", "alice", "guess").over(Transport::Tcp);
    assert_eq!(rig.call(&mut thief, Method::ALLOCATE, &[udp()]).code(), 401);
    for number in 1..10 {
        let request = thief.signed(Method::ALLOCATE, &[udp()]);
        assert_eq!(rig.ask(&thief, &request).code(), 401);
        let closed = rig.last.0.last() == Some(&Out::CloseClient(thief.tuple()));
        assert_eq!(closed, number >= 3, "guess {number}");
    }
    let mut honest = Client::bob("192.0.2.1:2000").over(Transport::Tls);
    rig.allocate(&mut honest, &[]);
    assert!(!rig.last.contains(&Out::CloseClient(honest.tuple())), "who knows a password owes nothing");
}

/// A15, A16: an expired credential is no guess: its owner keeps the connection and may still give the allocation back.
#[test]
fn a_stream_client_with_an_expired_credential_keeps_its_connection() {
    let mut rig = Rig::with(|setup| {
        setup.credentials.secrets = vec![turnbridge::auth::Secret::new("north")];
        setup.settings.challenge_budget = Rate { per_second: 0, burst: 0 };
    });
    let name = format!("{}:carol", START + 100);
    let secret = turnbridge::auth::rest::RestSecret::new(&turnbridge::auth::Secret::new("north"));
    let password = secret.password(&name).expose().to_owned();
    let mut carol = Client::new("192.0.2.1:1000", &name, &password).over(Transport::Tcp);
    rig.allocate(&mut carol, &[]);
    rig.advance(std::time::Duration::from_secs(200));
    let request = carol.signed(Method::REFRESH, &[]);
    assert_eq!(rig.ask(&carol, &request).code(), 401);
    assert!(!rig.last.contains(&Out::CloseClient(carol.tuple())));
    assert_eq!(rig.call(&mut carol, Method::REFRESH, &[lifetime(0)]).code(), 0);
}

/// RFC 8489 §6.3.2, RFC 8656 §3.2: FINGERPRINT, ICMP and reservations are the same over a stream.
#[test]
fn the_rest_of_turn_is_the_same_over_a_stream() {
    for transport in STREAMS {
        let (mut rig, mut alice) = (Rig::new(), alice(transport));
        let answer = rig.call(&mut alice, Method::ALLOCATE, &[udp(), even_and_next()]);
        assert_eq!((answer.code(), answer.mapped()), (0, addr("192.0.2.1:1000")));
        let reserved = answer.get(AttributeType::RESERVATION_TOKEN).unwrap();
        let relay = answer.relayed()[0];
        let mut second = Client::alice("192.0.2.1:1001").over(transport);
        let next = rig.allocate(&mut second, &[token(&reserved)]);
        assert_eq!(next.port(), relay.port() + 1);
        rig.permit(&mut alice, addr(PEER));
        let icmp = turnbridge::turn::Icmp { kind: 3, code: 3, data: 0 };
        assert!(rig.icmp(relay, addr(PEER), icmp).indication().has(AttributeType::ICMP));
        let request = alice.unsigned(Method::BINDING, &[Attr::Fingerprint]);
        assert!(rig.ask(&alice, &request).has_fingerprint());
    }
}
