//! NAT behaviour discovery: answers from another address or port (RFC 5780; RFC 3489 §8.1 and §11.2).

use std::net::SocketAddr;

use turnbridge::turn::{Corner, DropReason, FiveTuple, ListenerId, NatDiscovery, Quartet, Rate};
use turnbridge::wire::{AttributeType, Class, Header, Method, TransactionId};

use crate::rig::*;
use AttributeType as A;

/// A1:P1, A2:P1, A1:P2, A2:P2.
const V4: [&str; 4] = ["44.0.0.1:3478", "44.0.0.2:3478", "44.0.0.1:3479", "44.0.0.2:3479"];
const V6: [&str; 4] = ["[2a00:44::1]:3478", "[2a00:44::2]:3478", "[2a00:44::1]:3479", "[2a00:44::2]:3479"];
/// Of the first corner of each quartet. A listener before them is in none.
const FIRST_V4: u16 = 1;
const FIRST_V6: u16 = 5;

const CHANGE_IP: u8 = 0x04;
const CHANGE_PORT: u8 = 0x02;

fn quartet(first: u16, addresses: [&str; 4]) -> Quartet {
    let mut number = first;
    let corners = addresses.map(|address| {
        let corner = Corner { listener: ListenerId(number), address: addr(address) };
        number += 1;
        corner
    });
    Quartet { corners }
}

fn discovering(classic: bool) -> impl FnOnce(&mut Setup) {
    move |setup| {
        let quartets = vec![quartet(FIRST_V4, V4), quartet(FIRST_V6, V6)];
        setup.settings.nat_discovery = NatDiscovery { quartets, classic };
        setup.rules.services = V4.iter().chain(&V6).map(|service| addr(service)).collect();
        setup.rules.datagram_services = setup.rules.services.clone();
    }
}

fn rig() -> Rig {
    Rig::with(discovering(false))
}

/// A client that talks to a corner of the quartet of its family.
fn client_at(address: &str, corner: u16) -> Client {
    let mut client = Client::alice(address);
    let first = if client.address.is_ipv4() { FIRST_V4 } else { FIRST_V6 };
    client.listener = ListenerId(first + corner);
    client
}

fn change(flags: u8) -> Attr {
    raw(A::CHANGE_REQUEST, &[0, 0, 0, flags])
}

fn response_port(port: u16) -> Attr {
    let [high, low] = port.to_be_bytes();
    raw(A::RESPONSE_PORT, &[high, low, 0, 0])
}

fn binding(client: &mut Client, attributes: &[Attr]) -> Vec<u8> {
    client.unsigned(Method::BINDING, attributes)
}

/// The one answer to a request: which corner it left from, whom it went to, and what it says.
fn reply(rig: &mut Rig, client: &Client, request: &[u8]) -> (u16, SocketAddr, Answer) {
    let sent = rig.send(client, request).to_client();
    let [(to, bytes)] = &sent[..] else { panic!("not one answer: {sent:?}") };
    let answer = Answer::parse(bytes);
    answer.assert_answers(request);
    let first = if to.client().is_ipv4() { FIRST_V4 } else { FIRST_V6 };
    (to.listener().0 - first, to.client(), answer)
}

/// The code of the answer to these attributes, which must come back to the sender from where it was asked.
#[track_caller]
fn refusal(rig: &mut Rig, client: &mut Client, attributes: &[Attr]) -> Answer {
    let request = binding(client, attributes);
    let sent = rig.send(client, &request).to_client();
    let [(to, bytes)] = &sent[..] else { panic!("not one answer: {sent:?}") };
    assert_eq!(*to, client.tuple());
    Answer::parse(bytes)
}

/// A request of a client from before the cookie.
fn classic(attributes: &[Attr]) -> Vec<u8> {
    let header = Header {
        class: Class::Request,
        method: Method::BINDING,
        cookie: [1, 2, 3, 4],
        transaction: TransactionId([9; 12]),
    };
    build(header, attributes)
}

const CLIENTS: [(&str, [&str; 4]); 2] = [("192.0.2.1:1000", V4), ("[2001:db8::1]:1000", V6)];

/// RFC 5780 §6.1: both mapped addresses, RESPONSE-ORIGIN and OTHER-ADDRESS are in the answer, asked for or not.
#[test]
fn every_answer_tells_where_it_is_from_and_what_else_there_is() {
    for (address, corners) in CLIENTS {
        for corner in 0..4 {
            for attributes in [&[][..], &[change(0)]] {
                let (mut rig, mut client) = (rig(), client_at(address, corner));
                let request = binding(&mut client, attributes);
                let (from, to, answer) = reply(&mut rig, &client, &request);
                assert_eq!((from, to, answer.code()), (corner, client.address, 0));
                let kinds = [A::XOR_MAPPED_ADDRESS, A::MAPPED_ADDRESS, A::RESPONSE_ORIGIN, A::OTHER_ADDRESS];
                assert_eq!(answer.kinds(), kinds);
                assert_eq!(answer.mapped(), client.address);
                assert_eq!(answer.address(A::MAPPED_ADDRESS), Some(client.address));
                assert_eq!(answer.address(A::RESPONSE_ORIGIN), Some(addr(corners[usize::from(corner)])));
                assert_eq!(answer.address(A::OTHER_ADDRESS), Some(addr(corners[usize::from(3 - corner)])));
            }
        }
    }
}

/// RFC 5780 §6.1, table 1: from where the answer leaves; OTHER-ADDRESS does not depend on it.
#[test]
fn the_flags_of_change_request_choose_where_the_answer_leaves_from() {
    // What was asked, with which flags, and what answers: corners as they are numbered above.
    let table: &[(u16, u8, u16)] = &[
        (0, CHANGE_IP, 1),
        (0, CHANGE_PORT, 2),
        (0, CHANGE_IP | CHANGE_PORT, 3),
        (1, CHANGE_IP, 0),
        (1, CHANGE_PORT, 3),
        (1, CHANGE_IP | CHANGE_PORT, 2),
        (2, CHANGE_IP, 3),
        (2, CHANGE_PORT, 0),
        (2, CHANGE_IP | CHANGE_PORT, 1),
        (3, CHANGE_IP, 2),
        (3, CHANGE_PORT, 1),
        (3, CHANGE_IP | CHANGE_PORT, 0),
    ];
    for (address, corners) in CLIENTS {
        for (asked, flags, expected) in table {
            let (mut rig, mut client) = (rig(), client_at(address, *asked));
            let request = binding(&mut client, &[change(*flags)]);
            let (from, to, answer) = reply(&mut rig, &client, &request);
            assert_eq!((from, to), (*expected, client.address), "{asked} {flags:#x}");
            assert_eq!(answer.address(A::RESPONSE_ORIGIN), Some(addr(corners[usize::from(*expected)])));
            assert_eq!(answer.address(A::OTHER_ADDRESS), Some(addr(corners[usize::from(3 - asked)])));
            assert_eq!(answer.mapped(), client.address);
        }
    }
}

/// RFC 5780 §7.2: only two bits are used, and the attribute is 32 bits long.
#[test]
fn other_bits_of_change_request_are_ignored_and_other_lengths_are_bad() {
    let (mut rig, mut client) = (rig(), client_at("192.0.2.1:1000", 0));
    let request = binding(&mut client, &[raw(A::CHANGE_REQUEST, &[0xFF, 0xFF, 0xFF, 0xF9])]);
    assert_eq!(reply(&mut rig, &client, &request).0, 0);
    let request = binding(&mut client, &[raw(A::CHANGE_REQUEST, &[0xFF, 0xFF, 0xFF, 0xFF])]);
    assert_eq!(reply(&mut rig, &client, &request).0, 3);
    for value in [&[][..], &[6], &[0, 6], &[0, 0, 0, 0, 6]] {
        assert_eq!(refusal(&mut rig, &mut client, &[raw(A::CHANGE_REQUEST, value)]).code(), 400, "{value:?}");
    }
}

/// RFC 5780 §6, §6.1 and §7.4: without a second address no OTHER-ADDRESS, and 420 for what would need one. L08: no
/// answer leaves from anywhere else. RESPONSE-PORT is optional, and PADDING comes with it.
#[test]
fn l08_a_listener_without_siblings_offers_nothing() {
    let (mut rig, mut client) = (rig(), Client::alice("192.0.2.1:1000"));
    let request = binding(&mut client, &[]);
    assert_eq!(rig.ask(&client, &request).kinds(), [A::XOR_MAPPED_ADDRESS]);
    let cases = [
        (change(CHANGE_IP), A::CHANGE_REQUEST),
        (change(CHANGE_PORT), A::CHANGE_REQUEST),
        (change(CHANGE_IP | CHANGE_PORT), A::CHANGE_REQUEST),
        (response_port(2000), A::RESPONSE_PORT),
        (raw(A::PADDING, &[0; 8]), A::PADDING),
    ];
    for (attribute, kind) in cases {
        let answer = refusal(&mut rig, &mut client, &[attribute]);
        assert_eq!((answer.code(), answer.unknown()), (420, vec![kind.0]));
    }
    let all = [raw(A::PADDING, &[0; 8]), change(CHANGE_IP), response_port(2000)];
    let answer = refusal(&mut rig, &mut client, &all);
    assert_eq!((answer.code(), answer.unknown()), (420, vec![0x0026, 0x0003, 0x0027]));
}

/// RFC 5780 §7.5: the answer goes to that port of the sender's address, and tells the sender's own.
#[test]
fn response_port_sends_the_answer_to_another_port_of_the_same_address() {
    for (address, _) in CLIENTS {
        let (mut rig, mut client) = (rig(), client_at(address, 0));
        for value in [&[0x07, 0xD0][..], &[0x07, 0xD0, 0, 0], &[0x07, 0xD0, 0xFF, 0xFF]] {
            let request = binding(&mut client, &[raw(A::RESPONSE_PORT, value)]);
            let (from, to, answer) = reply(&mut rig, &client, &request);
            assert_eq!((from, to), (0, SocketAddr::new(client.address.ip(), 2000)));
            assert_eq!(answer.mapped(), client.address, "the mapping that the request made");
        }
        let request = binding(&mut client, &[response_port(2000), change(CHANGE_IP | CHANGE_PORT)]);
        let (from, to, _) = reply(&mut rig, &client, &request);
        assert_eq!((from, to.port()), (3, 2000));
    }
}

/// A port that nothing can be sent to, or that is no port.
#[test]
fn a_response_port_that_is_none_is_a_bad_request() {
    let (mut rig, mut client) = (rig(), client_at("192.0.2.1:1000", 0));
    for value in [&[][..], &[1], &[0, 0], &[0, 0, 0, 0], &[1, 2, 3], &[1, 2, 3, 4, 5]] {
        assert_eq!(refusal(&mut rig, &mut client, &[raw(A::RESPONSE_PORT, value)]).code(), 400, "{value:?}");
    }
}

/// L04: a response port cannot make this server talk to itself.
#[test]
fn l04_a_response_port_of_our_own_draws_nothing() {
    let (mut rig, mut client) = (rig(), client_at("44.0.0.2:1000", 0));
    for port in [3478, 3479] {
        let request = binding(&mut client, &[response_port(port)]);
        assert!(rig.send(&client, &request).0.is_empty(), "{port}");
    }
    assert_eq!(rig.dropped(DropReason::ForgedSource), 2);
    let request = binding(&mut client, &[response_port(3480)]);
    assert_eq!(reply(&mut rig, &client, &request).1, addr("44.0.0.2:3480"));
}

/// RFC 5780 §6.1, §7.6: PADDING is answered with PADDING. L08: as long as what was sent, at most, and with nothing that
/// the sender has chosen.
#[test]
fn l08_padding_is_answered_with_zeroes_and_never_with_more() {
    for (address, plain) in [("192.0.2.1:1000", 68), ("[2001:db8::1]:1000", 116)] {
        let (mut rig, mut client) = (rig(), client_at(address, 0));
        for (sent, returned) in
            [(0, 0), (1, 4), (4, 4), (1000, 1000), (1500, 1500), (1501, 1500), (60_000, 1500)]
        {
            let request = binding(&mut client, &[raw(A::PADDING, &vec![0xAB; sent]), change(CHANGE_IP)]);
            let (from, _, answer) = reply(&mut rig, &client, &request);
            assert_eq!(from, 1);
            assert_eq!(answer.get(A::PADDING), Some(vec![0; returned]), "{sent} bytes");
            assert_eq!(answer.bytes.len(), plain + 4 + returned);
            assert!(answer.bytes.len() <= request.len() + plain - 20 - 8);
        }
        let request = binding(&mut client, &[raw(A::PADDING, &[0; 1500]), Attr::Fingerprint]);
        let (_, _, answer) = reply(&mut rig, &client, &request);
        assert!(answer.has_fingerprint() && answer.has(A::PADDING));
    }
}

/// RFC 5780 §6.1, §7.5, §10: together they would pour long answers on another port; the refusal goes to the sender.
#[test]
fn response_port_and_padding_together_are_a_bad_request() {
    let (mut rig, mut client) = (rig(), client_at("192.0.2.1:1000", 0));
    let both = [response_port(2000), raw(A::PADDING, &[0; 1500]), change(CHANGE_IP | CHANGE_PORT)];
    let answer = refusal(&mut rig, &mut client, &both);
    assert_eq!(answer.code(), 400);
    assert!(answer.bytes.len() <= 32);
}

/// RFC 8489 §6.3.1: what is unknown comes first, and the refusal goes to the sender from where it was asked.
#[test]
fn a_refusal_leaves_from_where_it_was_asked_and_goes_to_the_sender() {
    let (mut rig, mut client) = (rig(), client_at("192.0.2.1:1000", 2));
    let unknown = raw(AttributeType(0x7ABC), b"");
    let wanted = [change(CHANGE_IP | CHANGE_PORT), response_port(2000), unknown, raw(A::PADDING, &[0; 4])];
    let answer = refusal(&mut rig, &mut client, &wanted);
    assert_eq!((answer.code(), answer.unknown()), (420, vec![0x7ABC]));
}

/// RFC 5780 §7: the attributes are for Binding requests alone. Elsewhere they are known and ignored (RFC 8489 §6.3).
#[test]
fn other_requests_ignore_what_is_for_binding() {
    let (mut rig, mut client) = (rig(), client_at("192.0.2.1:1000", 0));
    let asked = [udp(), change(CHANGE_IP | CHANGE_PORT), response_port(2000), raw(A::PADDING, &[0; 4])];
    assert_eq!(rig.call(&mut client, Method::ALLOCATE, &asked).code(), 0);
    for (to, _) in rig.last.to_client() {
        assert_eq!(to, client.tuple());
    }
}

/// TURN is served at all four corners: what it takes to use it is the same everywhere.
#[test]
fn turn_is_served_at_every_corner() {
    for corner in 0..4 {
        let (mut rig, mut client) = (rig(), client_at("192.0.2.1:1000", corner));
        rig.allocate(&mut client, &[]);
    }
}

/// RFC 8489 §14.7: who sends FINGERPRINT gets it, wherever the answer leaves from.
#[test]
fn fingerprint_is_returned_from_elsewhere_too() {
    let (mut rig, mut client) = (rig(), client_at("192.0.2.1:1000", 0));
    let request = binding(&mut client, &[change(CHANGE_PORT), Attr::Fingerprint]);
    let (from, _, answer) = reply(&mut rig, &client, &request);
    assert!(from == 2 && answer.has_fingerprint());
}

/// L01, L08: with their IP and UDP headers these answers are at most 2.5 times as long as the shortest request.
#[test]
fn l08_an_answer_with_all_addresses_is_no_amplifier() {
    for (address, size, headers) in [("192.0.2.1:1000", 68, 28), ("[2001:db8::1]:1000", 116, 48)] {
        let (mut rig, mut client) = (rig(), client_at(address, 0));
        let request = binding(&mut client, &[]);
        let (_, _, answer) = reply(&mut rig, &client, &request);
        assert_eq!(answer.bytes.len(), size);
        assert!(2 * (size + headers) <= 5 * (request.len() + headers));
    }
}

/// L08: the budget of a source counts these answers by their length, so that a forged source gets no more bytes than
/// without them; where they leave from or go to makes no difference.
#[test]
fn l08_long_answers_draw_on_the_budget_by_their_length() {
    let limited = |setup: &mut Setup| {
        discovering(true)(setup);
        setup.settings.binding_budget = Rate { per_second: 10, burst: 100 };
    };
    let drawn = |address: &str, attributes: &[Attr]| {
        let (mut rig, mut client) = (Rig::with(limited), client_at(address, 0));
        let request = binding(&mut client, attributes);
        let mut bytes = 0;
        for _ in 0..200 {
            bytes +=
                rig.send(&client, &request).to_client().iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        }
        bytes
    };
    let padding = raw(A::PADDING, &[0; 1500]);
    for attributes in [
        &[][..],
        &[change(6)],
        &[response_port(7)],
        std::slice::from_ref(&padding),
        &[padding.clone(), change(4)],
    ] {
        assert!((1..=100 * 32).contains(&drawn("192.0.2.1:1000", attributes)), "{attributes:?}");
        assert!((1..=100 * 44).contains(&drawn("[2001:db8::1]:1000", attributes)), "{attributes:?}");
    }
}

/// An answer that costs more than can ever be saved up costs all of it.
#[test]
fn a_small_budget_still_allows_a_padded_answer() {
    let mut rig = Rig::with(|setup| {
        discovering(false)(setup);
        setup.settings.binding_budget = Rate { per_second: 1, burst: 5 };
    });
    let mut client = client_at("192.0.2.1:1000", 0);
    let request = binding(&mut client, &[raw(A::PADDING, &[0; 1500])]);
    assert!(!rig.send(&client, &request).is_silent());
    assert!(rig.send(&client, &request).is_silent());
    rig.advance(std::time::Duration::from_secs(5));
    assert!(!rig.send(&client, &request).is_silent());
}

/// RFC 3489 §8.1: MAPPED-ADDRESS, SOURCE-ADDRESS and CHANGED-ADDRESS, and the same table of flags.
#[test]
fn a_classic_client_is_served_where_that_is_wanted() {
    let mut rig = Rig::with(discovering(true));
    for asked in 0..4 {
        for (flags, moved) in [(0, 0), (CHANGE_IP, 1), (CHANGE_PORT, 2), (CHANGE_IP | CHANGE_PORT, 3)] {
            let client = client_at("192.0.2.1:1000", asked);
            let (from, to, answer) = reply(&mut rig, &client, &classic(&[change(flags)]));
            assert_eq!((from, to), (asked ^ moved, client.address));
            assert_eq!(answer.kinds(), [A::MAPPED_ADDRESS, A::SOURCE_ADDRESS, A::CHANGED_ADDRESS]);
            assert_eq!(answer.address(A::MAPPED_ADDRESS), Some(client.address));
            assert_eq!(answer.address(A::SOURCE_ADDRESS), Some(addr(V4[usize::from(from)])));
            assert_eq!(answer.address(A::CHANGED_ADDRESS), Some(addr(V4[usize::from(3 - asked)])));
            assert_eq!(answer.bytes.len(), 56);
        }
    }
}

/// RFC 3489 knows neither RESPONSE-PORT nor PADDING, and its RESPONSE-ADDRESS, an answer to anywhere, is refused.
#[test]
fn a_classic_client_is_not_served_what_it_cannot_know() {
    let mut rig = Rig::with(discovering(true));
    let client = client_at("192.0.2.1:1000", 0);
    for (attribute, kind) in [
        (response_port(2000), 0x0027),
        (raw(A::PADDING, &[0; 4]), 0x0026),
        (raw(AttributeType(0x0002), &[0, 1, 7, 0xD0, 192, 0, 2, 9]), 0x0002),
    ] {
        let answer = rig.ask(&client, &classic(&[attribute]));
        assert_eq!((answer.code(), answer.unknown()), (420, vec![kind, kind]));
    }
}

/// Without that wish a classic client learns its address, and a flag is refused (L08).
#[test]
fn l08_a_classic_client_is_served_nothing_by_default() {
    let (mut rig, client) = (rig(), client_at("192.0.2.1:1000", 0));
    assert_eq!(rig.ask(&client, &classic(&[change(0)])).kinds(), [A::MAPPED_ADDRESS]);
    for flags in [CHANGE_IP, CHANGE_PORT, CHANGE_IP | CHANGE_PORT] {
        let answer = rig.ask(&client, &classic(&[change(flags)]));
        assert_eq!((answer.code(), answer.unknown()), (420, vec![3, 3]));
    }
}

/// A stream listener is in no quartet, whatever its number.
#[test]
fn a_client_of_a_stream_gets_the_plain_answer() {
    let (mut rig, mut client) = (rig(), Client::alice("192.0.2.1:1000"));
    client.listener = ListenerId::new(turnbridge::turn::Transport::Tcp, FIRST_V4);
    let request = binding(&mut client, &[]);
    assert_eq!(rig.ask(&client, &request).kinds(), [A::XOR_MAPPED_ADDRESS]);
    assert_eq!(rig.last.to_client()[0].0, FiveTuple::new(client.address, client.listener));
}

/// RFC 5780 §6.1, §7.3: behind a 1:1 NAT the addresses are those that clients know, so they are not looked up.
#[test]
fn a_quartet_tells_the_addresses_it_was_given() {
    let outside = ["198.51.100.1:3478", "198.51.100.2:3478", "198.51.100.1:3479", "198.51.100.2:3479"];
    let mut rig = Rig::with(|setup| {
        let quartets = vec![quartet(FIRST_V4, outside)];
        setup.settings.nat_discovery = NatDiscovery { quartets, classic: false };
    });
    let mut client = client_at("192.0.2.1:1000", 0);
    let request = binding(&mut client, &[change(CHANGE_PORT)]);
    let (_, _, answer) = reply(&mut rig, &client, &request);
    assert_eq!(answer.address(A::RESPONSE_ORIGIN), Some(addr("198.51.100.1:3479")));
    assert_eq!(answer.address(A::OTHER_ADDRESS), Some(addr("198.51.100.2:3479")));
}
