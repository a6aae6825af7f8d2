//! A server that drains: no new allocations, another server for those who ask, and nothing changed for the rest
//! (RFC 8489 §10).

use std::time::Duration;

use turnbridge::turn::{Admission, Alternate, Denial, Rate, Refusal, Transport};
use turnbridge::wire::{AttributeType, Method};

use crate::rig::*;

fn draining(alternates: &[(&str, Option<Transport>, Option<&str>)]) -> Admission {
    let alternate = |(address, transport, domain): &(&str, Option<Transport>, Option<&str>)| Alternate {
        address: addr(address),
        transport: *transport,
        domain: domain.map(Into::into),
    };
    Admission::Draining(alternates.iter().map(alternate).collect())
}

fn drain(rig: &mut Rig, admission: Admission) {
    rig.operate(|relay, _, _| relay.set_admission(admission));
}

#[test]
fn a_draining_server_refuses_new_allocations_and_serves_the_old_ones() {
    let mut rig = Rig::new();
    let (mut alice, mut bob) = (Client::alice("192.0.2.1:1000"), Client::bob("192.0.2.2:1000"));
    let relay = rig.allocate(&mut alice, &[]);
    drain(&mut rig, draining(&[]));
    let answer = rig.call(&mut bob, Method::ALLOCATE, &[udp()]);
    assert_eq!((answer.code(), answer.has(AttributeType::ALTERNATE_SERVER)), (508, false));
    assert_eq!(rig.last.denial(), Some(Denial::Draining));
    let peer = addr("9.9.9.9:9");
    rig.bind(&mut alice, 0x4000, peer);
    rig.send(&alice, &channel_data(0x4000, b"still here"));
    assert_eq!(rig.last.only_to_peer(), (relay, peer, b"still here".to_vec()));
    assert_eq!(rig.call(&mut alice, Method::REFRESH, &[lifetime(1200)]).lifetime(), 1200);
    assert_eq!(rig.call(&mut alice, Method::REFRESH, &[lifetime(0)]).lifetime(), 0);
    assert_eq!(rig.call(&mut alice, Method::ALLOCATE, &[udp()]).code(), 508, "it gave its own back");
    rig.assert_nothing_is_left();
    drain(&mut rig, Admission::Open);
    rig.allocate(&mut bob, &[]);
}

/// RFC 8656 §7.2: the answer to a retransmission is that of the first request, whatever has changed since.
#[test]
fn a_retransmitted_request_gets_its_answer_although_the_server_drains_meanwhile() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    rig.allocate(&mut alice, &[]);
    rig.call(&mut alice, Method::REFRESH, &[lifetime(0)]);
    let request = alice.signed(Method::ALLOCATE, &[udp()]);
    let first = rig.ask(&alice, &request);
    drain(&mut rig, draining(&[]));
    assert_eq!(rig.ask(&alice, &request).relayed(), first.relayed());
}

/// RFC 8489 §10, §14.15, §14.16: 300 with a server of the client's address family, proved by integrity.
#[test]
fn clients_are_sent_to_a_server_of_their_family_and_transport() {
    let (any, tls) = ("203.0.113.1:3478", "203.0.113.2:5349");
    let alternates = [
        (any, None, None),
        ("[2001:db8::1]:3478", Some(Transport::Udp), None),
        (tls, Some(Transport::Tls), Some("turn2.example.org")),
    ];
    type Told<'a> = (&'a str, Option<&'a str>);
    let cases: &[(&str, Transport, &[Told<'_>])] = &[
        ("192.0.2.1:1000", Transport::Udp, &[(any, None)]),
        ("192.0.2.1:1000", Transport::Tls, &[(any, None), (tls, Some("turn2.example.org"))]),
        ("[2001:db8::9]:1000", Transport::Udp, &[("[2001:db8::1]:3478", None)]),
    ];
    for (client, transport, expected) in cases {
        let mut rig = Rig::new();
        let mut alice = Client::alice(client).over(*transport);
        // It has been challenged before the server drains.
        rig.call(&mut alice, Method::REFRESH, &[]);
        drain(&mut rig, draining(&alternates));
        let mut seen = Vec::new();
        for _ in expected.iter() {
            let answer = rig.call(&mut alice, Method::ALLOCATE, &[udp()]);
            assert_eq!((answer.code(), answer.phrase().as_str()), (300, "Try Alternate"));
            let domain = answer.get(AttributeType::ALTERNATE_DOMAIN);
            seen.push((
                answer.address(AttributeType::ALTERNATE_SERVER).unwrap(),
                domain.map(|domain| String::from_utf8(domain).unwrap()),
            ));
        }
        seen.sort();
        let expected: Vec<_> =
            expected.iter().map(|(address, domain)| (addr(address), domain.map(str::to_owned))).collect();
        assert_eq!(seen, expected, "{client} over {transport:?}: each in turn");
        rig.assert_nothing_is_left();
    }
    let mut rig = Rig::new();
    drain(&mut rig, draining(&alternates[1..2]));
    let mut alice = Client::alice("192.0.2.1:1000");
    assert_eq!(rig.call(&mut alice, Method::ALLOCATE, &[udp()]).code(), 508, "there is none that fits");
}

/// RFC 8489 §10: one of the other family stands behind the one of the client's.
#[test]
fn clients_are_told_of_both_families() {
    let mut rig = Rig::new();
    let mut alice = Client::alice("192.0.2.1:1000");
    rig.call(&mut alice, Method::REFRESH, &[]);
    let (v4, v6) = ("203.0.113.1:3478", "[2001:db8::1]:3478");
    drain(&mut rig, draining(&[(v6, None, None), (v4, None, None)]));
    let answer = rig.call(&mut alice, Method::ALLOCATE, &[udp()]);
    assert_eq!(answer.addresses(AttributeType::ALTERNATE_SERVER), [addr(v4), addr(v6)]);
    // Behind another name it would not be the same server to a client over TLS.
    drain(&mut rig, draining(&[(v6, None, Some("turn6.example.org")), (v4, None, None)]));
    let answer = rig.call(&mut alice, Method::ALLOCATE, &[udp()]);
    assert_eq!(answer.addresses(AttributeType::ALTERNATE_SERVER), [addr(v4)]);
}

/// A client that is challenged here would use our nonce there; Chromium takes the answer to that for the end.
#[test]
fn who_has_not_been_challenged_is_sent_on_before_it_is() {
    for transport in [Transport::Udp, Transport::Tls] {
        let mut rig = Rig::new();
        drain(&mut rig, draining(&[("203.0.113.1:3478", None, Some("turn2.example.org"))]));
        let mut alice = Client::alice("192.0.2.1:1000").over(transport);
        let request = alice.unsigned(Method::ALLOCATE, &[udp()]);
        let answer = rig.ask(&alice, &request);
        assert_eq!(answer.code(), 300);
        assert_eq!(answer.addresses(AttributeType::ALTERNATE_SERVER), [addr("203.0.113.1:3478")]);
        assert!(!answer.has(AttributeType::NONCE) && !answer.has(AttributeType::REALM));
        // A datagram may be forged: what it draws is short.
        assert_eq!(answer.has(AttributeType::ALTERNATE_DOMAIN), transport == Transport::Tls);
        assert_eq!(rig.last.noted(), Some(Denial::Request(Refusal::TryAlternate)));
        // Whatever is not about a new allocation is challenged as ever.
        let request = alice.unsigned(Method::REFRESH, &[lifetime(0)]);
        let answer = rig.ask(&alice, &request);
        assert_eq!((answer.code(), answer.has(AttributeType::NONCE)), (401, true));
        rig.assert_nothing_is_left();
    }
}

/// It costs the source's budget like a challenge (THREATS L02).
#[test]
fn a_source_that_asks_and_asks_is_not_sent_on_for_ever() {
    let budget = Rate { per_second: 1, burst: 10 };
    let mut rig = Rig::with(|setup| setup.settings.challenge_budget = budget);
    drain(&mut rig, draining(&[("203.0.113.1:3478", None, None), ("[2001:db8::1]:3478", None, None)]));
    let mut alice = Client::alice("192.0.2.1:1000");
    let request = alice.unsigned(Method::ALLOCATE, &[udp()]);
    let answered = (0..20).take_while(|_| !rig.send(&alice, &request).is_silent()).count();
    assert_eq!(answered, 10);
    assert_eq!(rig.last.noted(), Some(Denial::Silenced));
    for source in ["192.0.2.2:1", "[2001:db8::2]:1"] {
        let mut stranger = Client::alice(source);
        let bare = stranger.unsigned(Method::ALLOCATE, &[]);
        let drawn = rig.send(&stranger, &bare).only_to_client();
        assert!(2 * drawn.len() <= 5 * bare.len(), "{} bytes from {}", drawn.len(), bare.len());
    }
}

#[test]
fn a_wrong_password_leads_nowhere() {
    let mut rig = Rig::new();
    let mut thief = Client::new("192.0.2.66:1", "alice", "wrong");
    rig.call(&mut thief, Method::REFRESH, &[]);
    drain(&mut rig, draining(&[("203.0.113.1:3478", None, None)]));
    assert_eq!(rig.call(&mut thief, Method::ALLOCATE, &[udp()]).code(), 401);
    rig.advance(Duration::from_secs(1));
    rig.assert_nothing_is_left();
}
