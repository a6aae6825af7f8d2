//! Allocate: one relay address for one 5-tuple (RFC 8656 §7.2).

use std::time::Duration;

use turnbridge::turn::{Denial, ListenerId};
use turnbridge::wire::{AttributeType, Class, Method};

use crate::rig::*;

fn refusal(attributes: &[Attr]) -> u16 {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let code = rig.call(&mut alice, Method::ALLOCATE, attributes).code();
    if code != 0 {
        rig.assert_nothing_is_left();
    }
    code
}

/// RFC 8656 §7.2: the success answer has the relay address, the lifetime and the client's address; §5: SOFTWARE.
#[test]
fn success_tells_relay_address_lifetime_and_mapped_address() {
    for address in ["192.0.2.1:1000", "[2001:db8::1]:1000"] {
        let (mut rig, mut alice) = (Rig::new(), Client::alice(address));
        let answer = rig.call(&mut alice, Method::ALLOCATE, &[udp()]);
        assert_eq!(
            answer.kinds(),
            [
                AttributeType::XOR_RELAYED_ADDRESS,
                AttributeType::LIFETIME,
                AttributeType::XOR_MAPPED_ADDRESS,
                AttributeType::SOFTWARE
            ]
        );
        assert_eq!(answer.relayed()[0].ip(), ip(RELAY_V4), "IPv4 where no family is asked for");
        assert_eq!(answer.lifetime(), 600);
        assert_eq!(answer.mapped(), alice.address);
        let software = String::from_utf8(answer.get(AttributeType::SOFTWARE).unwrap()).unwrap();
        assert!(software.chars().count() < 128, "RFC 8489 §14.14");
        let began = Told::Began {
            user: "alice".into(),
            relay: answer.relayed()[0],
            additional: None,
            lifetime: Duration::from_secs(600),
        };
        assert!(rig.last.contains(&Out::Told(began)));
    }
}

/// RFC 8656 §7.2 step 3: REQUESTED-TRANSPORT must be there and well-formed (400), and be UDP (442). TCP is for clients over
/// TCP (RFC 6062 §5.1: 400).
#[test]
fn requested_transport_must_be_udp() {
    let transport = |value: &[u8]| refusal(&[raw(AttributeType::REQUESTED_TRANSPORT, value)]);
    assert_eq!(refusal(&[]), 400);
    for malformed in [&[][..], &[17], &[17, 0, 0], &[17, 0, 0, 0, 0]] {
        assert_eq!(transport(malformed), 400, "{malformed:?}");
    }
    for other in [0, 5, 7, 16, 18, 255] {
        assert_eq!(transport(&[other, 0, 0, 0]), 442, "{other}");
    }
    assert_eq!(transport(&[6, 0, 0, 0]), 400);
    assert_eq!(transport(&[17, 0, 0, 0]), 0);
    assert_eq!(transport(&[17, 1, 2, 3]), 0, "RFC 8656 §18.8: the rest MUST be ignored");
}

/// RFC 8656 §7.2: the lifetime asked for, at most the maximum, at least the default.
#[test]
fn lifetimes_lie_between_default_and_maximum() {
    let cases =
        [(None, 600), (Some(0), 600), (Some(1), 600), (Some(600), 600), (Some(601), 601), (Some(3600), 3600)];
    for (asked, got) in cases.into_iter().chain([(Some(3601), 3600), (Some(u32::MAX), 3600)]) {
        let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
        let mut attributes = vec![udp()];
        attributes.extend(asked.map(lifetime));
        let answer = rig.call(&mut alice, Method::ALLOCATE, &attributes);
        assert_eq!(answer.lifetime(), got, "{asked:?}");
        rig.advance(Duration::from_secs(u64::from(got) - 1));
        assert_eq!(rig.relay.allocations(), 1);
        rig.advance(Duration::from_secs(1));
        rig.assert_nothing_is_left();
    }
}

#[test]
fn a_maximum_below_the_default_shortens_nothing() {
    let mut rig = Rig::with(|setup| setup.settings.max_lifetime = Duration::from_secs(60));
    let mut alice = Client::alice("192.0.2.1:1000");
    assert_eq!(rig.call(&mut alice, Method::ALLOCATE, &[udp(), lifetime(3600)]).lifetime(), 600);
}

#[test]
fn a_malformed_lifetime_is_a_bad_request() {
    for value in [&[][..], &[0, 0, 2], &[0, 0, 0, 2, 0]] {
        assert_eq!(refusal(&[udp(), raw(AttributeType::LIFETIME, value)]), 400);
    }
}

/// RFC 8656 §7.2 step 2: one allocation for one 5-tuple; the server's address is part of it.
#[test]
fn a_second_allocation_on_a_5_tuple_is_a_mismatch() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let relay = rig.allocate(&mut alice, &[]);
    assert_eq!(rig.call(&mut alice, Method::ALLOCATE, &[udp()]).code(), 437);
    assert_eq!(rig.relay.allocations(), 1);
    let mut elsewhere = Client { listener: ListenerId(1), ..alice.clone() };
    assert_ne!(rig.allocate(&mut elsewhere, &[]), relay, "RFC 8656 §6: unique across all allocations");
    rig.call(&mut alice, Method::REFRESH, &[lifetime(0)]);
    rig.allocate(&mut alice, &[]);
}

/// The same once an allocation has run out although the server has not looked yet.
#[test]
fn an_allocation_that_is_over_is_in_nobody_s_way() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    rig.allocate(&mut alice, &[]);
    rig.oversleep(Duration::from_secs(600));
    rig.allocate(&mut alice, &[]);
    assert_eq!((rig.relay.allocations(), rig.sockets.open_count()), (1, 1));
}

/// RFC 8656 §7.2, RFC 8489 §6.3.1: a retransmission gets the first answer, with the time that is left, and makes
/// nothing new; the reservation token is in it.
#[test]
fn a_retransmission_is_answered_like_the_first_request() {
    for scheme in Scheme::ALL {
        let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000").with_scheme(scheme));
        assert_eq!(rig.call(&mut alice, Method::ALLOCATE, &[]).code(), 400);
        let request = alice.signed(Method::ALLOCATE, &[udp(), even_and_next(), lifetime(1000)]);
        let first = rig.ask(&alice, &request);
        assert_eq!(rig.ask(&alice, &request), first);
        assert_eq!(first.get(AttributeType::RESERVATION_TOKEN).unwrap().len(), 8);
        rig.advance(Duration::from_secs(30));
        let later = rig.ask(&alice, &request);
        assert_eq!(later.lifetime(), 970);
        assert_eq!((later.kinds(), later.relayed()), (first.kinds(), first.relayed()));
        assert_eq!(later.proof(&alice.key()), Some(scheme.answered_with()));
        assert_eq!((rig.relay.allocations(), rig.sockets.open_count(), rig.quota.total()), (1, 1, 1));
    }
}

/// A retransmission of what was refused is judged again (RFC 8656 §7.2, the note).
#[test]
fn a_retransmission_of_a_refused_request_is_judged_again() {
    let mut rig = Rig::with(|setup| setup.relay_ports = 50_000..=50_000);
    let (mut alice, mut bob) = (Client::alice("192.0.2.1:1000"), Client::bob("192.0.2.2:1000"));
    rig.allocate(&mut bob, &[]);
    assert_eq!(rig.call(&mut alice, Method::ALLOCATE, &[udp()]).code(), 508);
    let request = alice.signed(Method::ALLOCATE, &[udp()]);
    assert_eq!(rig.ask(&alice, &request).code(), 508);
    rig.call(&mut bob, Method::REFRESH, &[lifetime(0)]);
    assert_eq!(rig.ask(&alice, &request).code(), 0);
}

/// RFC 8656 §7.2 step 4: where DF cannot be set, DONT-FRAGMENT is an unknown attribute.
#[test]
fn dont_fragment_is_unknown_where_it_cannot_be_done() {
    for can in [true, false] {
        let mut rig = Rig::with(|setup| setup.settings.dont_fragment = can);
        let mut alice = Client::alice("192.0.2.1:1000");
        let answer = rig.call(&mut alice, Method::ALLOCATE, &[udp(), dont_fragment()]);
        assert_eq!(answer.code(), if can { 0 } else { 420 });
        if !can {
            assert_eq!(answer.unknown(), [AttributeType::DONT_FRAGMENT.0]);
        }
    }
}

/// RFC 8656 §3.7: an IPv4-to-IPv6 translation that cannot see the DF bit of what arrives MUST reject DONT-FRAGMENT.
#[test]
fn dont_fragment_is_refused_for_a_translation_from_ipv4_to_ipv6() {
    let (v4, v6) = ("192.0.2.1:1000", "[2001:db8::1]:1000");
    let v6_token = token(&[0xFF; 8]);
    let cases = [
        (v4, vec![family(2)], 420),
        (v4, vec![additional(2)], 420),
        (v4, vec![v6_token], 420),
        (v4, vec![family(1)], 0),
        (v6, vec![family(2)], 0),
        (v6, vec![family(1)], 0),
        (v6, vec![additional(2)], 0),
    ];
    for (client, families, code) in cases {
        let (mut rig, mut alice) = (Rig::new(), Client::alice(client));
        let attributes = [&[udp(), dont_fragment()], &families[..]].concat();
        let answer = rig.call(&mut alice, Method::ALLOCATE, &attributes);
        assert_eq!(answer.code(), code, "{client} {families:?}");
        if code == 420 {
            assert_eq!(answer.unknown(), [AttributeType::DONT_FRAGMENT.0]);
            rig.assert_nothing_is_left();
        }
    }
}

/// RFC 8656 §7.2 step 7: 440 for a family the server has not, also when none is asked for and it has no IPv4.
#[test]
fn a_family_the_server_has_not_is_440() {
    let cases: [(bool, bool, Option<u8>, u16); 10] = [
        (true, true, None, 0),
        (true, true, Some(1), 0),
        (true, true, Some(2), 0),
        (true, false, Some(2), 440),
        (true, false, None, 0),
        (false, true, None, 440),
        (false, true, Some(1), 440),
        (false, true, Some(2), 0),
        (true, true, Some(0), 440),
        (true, true, Some(3), 440),
    ];
    for (v4, v6, asked, code) in cases {
        let mut rig = Rig::with(|setup| {
            setup.relay_v4 = setup.relay_v4.filter(|_| v4);
            setup.relay_v6 = setup.relay_v6.filter(|_| v6);
        });
        let mut alice = Client::alice("192.0.2.1:1000");
        let mut attributes = vec![udp()];
        attributes.extend(asked.map(family));
        let answer = rig.call(&mut alice, Method::ALLOCATE, &attributes);
        assert_eq!(answer.code(), code, "{v4} {v6} {asked:?}");
        if code == 0 {
            assert_eq!(answer.relayed()[0].is_ipv6(), asked == Some(2));
        } else {
            rig.assert_nothing_is_left();
        }
    }
}

#[test]
fn a_malformed_family_is_a_bad_request() {
    for value in [&[][..], &[1], &[1, 0, 0], &[1, 0, 0, 0, 0]] {
        assert_eq!(refusal(&[udp(), raw(AttributeType::REQUESTED_ADDRESS_FAMILY, value)]), 400);
    }
    let reserved = raw(AttributeType::REQUESTED_ADDRESS_FAMILY, &[1, 7, 7, 7]);
    assert_eq!(refusal(&[udp(), reserved]), 0, "RFC 8656 §18.6: reserved bits MUST be ignored");
}

/// RFC 8656 §7.2: no port left is 508, and once one is back it is given (R09).
#[test]
fn r09_an_exhausted_pool_is_508_and_recovers() {
    let mut rig = Rig::with(|setup| setup.relay_ports = 50_000..=50_003);
    let mut clients: Vec<_> = (1..=5).map(|host| Client::alice(&format!("192.0.2.{host}:1000"))).collect();
    let codes: Vec<_> =
        clients.iter_mut().map(|client| rig.call(client, Method::ALLOCATE, &[udp()]).code()).collect();
    assert_eq!(codes, [0, 0, 0, 0, 508]);
    assert_eq!(rig.last.denial(), Some(Denial::NoPort));
    assert_eq!(rig.call(&mut clients[0], Method::REFRESH, &[lifetime(0)]).code(), 0);
    assert_eq!(rig.call(&mut clients[4], Method::ALLOCATE, &[udp()]).code(), 0);
}

/// RFC 8656 §21.4: a server MUST NOT accept allocations from Teredo or 6to4 addresses.
#[test]
fn p07_clients_behind_tunnels_get_no_allocation() {
    for (client, code) in
        [("[2001:0:1::1]:1000", 403), ("[2002:808:808::1]:1000", 403), ("[2001:db8::1]:1000", 0)]
    {
        let (mut rig, mut client) = (Rig::new(), Client::alice(client));
        assert_eq!(rig.call(&mut client, Method::ALLOCATE, &[udp()]).code(), code, "{}", client.address);
    }
}

/// R03, R12: allocations that come and go leave neither ports nor counts behind.
#[test]
fn r03_allocations_that_come_and_go_leave_nothing() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    for _ in 0..2_000 {
        rig.allocate(&mut alice, &[lifetime(3600)]);
        assert_eq!(rig.call(&mut alice, Method::REFRESH, &[lifetime(0)]).code(), 0);
    }
    rig.assert_nothing_is_left();
}

/// An address in IPv6 clothes is the same 5-tuple as without them.
#[test]
fn a_mapped_client_is_the_ipv4_client() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    rig.allocate(&mut alice, &[]);
    alice.address = addr("[::ffff:192.0.2.1]:1000");
    let request = alice.signed(Method::REFRESH, &[]);
    assert_eq!(rig.send(&alice, &request).indication().code(), 0);
}

/// The driver may open relay sockets later. Until then the request is one, and nobody else's.
#[test]
fn nothing_is_answered_before_the_relay_socket_is_open() {
    use turnbridge::turn::{Input, OpenError, OpenedRelay, Output};
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    assert_eq!(rig.call(&mut alice, Method::ALLOCATE, &[]).code(), 400);
    let now = rig.now();
    let mut opens = Vec::new();
    let mut others = 0;
    let request = alice.signed(Method::ALLOCATE, &[udp()]);
    for _ in 0..2 {
        let input = Input::FromClient { client: alice.tuple(), bytes: &request };
        rig.relay.handle(now, input, &mut |output| match output {
            Output::OpenRelay { relay, .. } => opens.push(relay),
            _ => others += 1,
        });
    }
    assert_eq!((opens.len(), others), (1, 0), "a retransmission waits too");
    let request = alice.signed(Method::REFRESH, &[lifetime(0)]);
    assert_eq!(rig.ask(&alice, &request).code(), 437, "there is no allocation yet");
    let result = Ok(OpenedRelay { address: addr("44.0.0.1:50000"), reservation: None });
    assert_eq!(rig.feed(Input::RelayOpened { relay: opens[0], result }).to_client().len(), 1);
    assert_eq!(rig.relay.allocations(), 1);
    let late = Input::RelayOpened { relay: opens[0], result: Err(OpenError::NoCapacity) };
    assert!(rig.feed(late).0.is_empty());
}

/// A server that stops while a relay socket is being opened closes it when it comes.
#[test]
fn a_relay_socket_that_comes_after_the_end_is_closed() {
    use turnbridge::turn::{Input, OpenedRelay, Output};
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    assert_eq!(rig.call(&mut alice, Method::ALLOCATE, &[]).code(), 400);
    let (now, mut opens) = (rig.now(), Vec::new());
    let request = alice.signed(Method::ALLOCATE, &[udp()]);
    let input = Input::FromClient { client: alice.tuple(), bytes: &request };
    rig.relay.handle(now, input, &mut |output| {
        if let Output::OpenRelay { relay, .. } = output {
            opens.push(relay);
        }
    });
    rig.stop();
    rig.assert_nothing_is_left();
    let mut closed = Vec::new();
    let result = Ok(OpenedRelay { address: addr("44.0.0.1:50000"), reservation: None });
    rig.relay.handle(now, Input::RelayOpened { relay: opens[0], result }, &mut |output| {
        if let Output::CloseRelay { relay } = output {
            closed.push(relay);
        }
    });
    assert_eq!(closed, opens);
}

/// RFC 8489 §6.3.1: the transaction, not the bytes, tells a retransmission.
#[test]
fn a_retransmission_may_carry_a_fresh_nonce() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    assert_eq!(rig.call(&mut alice, Method::ALLOCATE, &[]).code(), 400);
    let header = alice.header(Class::Request, Method::ALLOCATE);
    let asked = [udp(), lifetime(1000)];
    let sealed =
        |alice: &Client| build(header, &[&asked, &alice.credentials()[..], &[alice.seal()]].concat());
    let relayed = rig.ask(&alice, &sealed(&alice)).relayed();
    rig.advance(Duration::from_secs(600));
    let stale = rig.ask(&alice, &sealed(&alice));
    assert_eq!(stale.code(), 438);
    alice.accept_challenge(&stale);
    let again = rig.ask(&alice, &sealed(&alice));
    assert_eq!((again.relayed(), again.lifetime()), (relayed, 400));
}
