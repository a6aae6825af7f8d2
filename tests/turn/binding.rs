//! Binding, and what every message must look like to be answered at all (RFC 8489 §6.3, §11, §12).

use turnbridge::turn::{DropReason, FiveTuple, Input, ListenerId, Rate, Transport};
use turnbridge::wire::{AttributeType, Class, Header, Method, TransactionId};

use crate::rig::*;

const UNKNOWN: AttributeType = AttributeType(0x7ABC);

fn binding(client: &mut Client, attributes: &[Attr]) -> Vec<u8> {
    client.unsigned(Method::BINDING, attributes)
}

/// RFC 8489 §6.3.1.1: XOR-MAPPED-ADDRESS is the source of the request. THREATS L01: and nothing more.
#[test]
fn l01_binding_is_answered_with_the_source_address_and_nothing_else() {
    for (address, size) in [("192.0.2.1:1000", 32), ("[2001:db8::1]:1000", 44)] {
        let (mut rig, mut client) = (Rig::new(), Client::alice(address));
        let request = binding(&mut client, &[]);
        assert_eq!(request.len(), 20);
        let answer = rig.ask(&client, &request);
        assert_eq!(answer.code(), 0);
        assert_eq!(answer.kinds(), [AttributeType::XOR_MAPPED_ADDRESS]);
        assert_eq!(answer.mapped(), client.address);
        assert_eq!(answer.bytes.len(), size);
    }
}

/// RFC 8489 §6.3.1.2: the answer leaves from where the request arrived.
#[test]
fn the_answer_leaves_from_the_listener_that_was_asked() {
    let mut rig = Rig::new();
    let mut client = Client::alice("192.0.2.1:1000");
    client.listener = ListenerId(3);
    let request = binding(&mut client, &[]);
    rig.ask(&client, &request);
    assert_eq!(rig.last.to_client()[0].0.listener(), ListenerId(3));
}

/// RFC 8489 §6.3.1: Binding is idempotent, so a retransmission draws the same answer.
#[test]
fn a_retransmitted_binding_request_is_answered_the_same() {
    let (mut rig, mut client) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let request = binding(&mut client, &[]);
    let first = rig.ask(&client, &request);
    assert_eq!(rig.ask(&client, &request), first);
}

/// RFC 8489 §12: no credential mechanism, and no offence taken at credentials that are there.
#[test]
fn binding_needs_no_credentials_and_ignores_them() {
    let (mut rig, mut client) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let attributes =
        [raw(AttributeType::USERNAME, b"x"), raw(AttributeType::LIFETIME, b"1"), Attr::Sha1(b"?".to_vec())];
    let request = binding(&mut client, &attributes);
    assert_eq!(rig.ask(&client, &request).kinds(), [AttributeType::XOR_MAPPED_ADDRESS]);
}

/// RFC 5780 §7.2 lets a client ask for an answer from elsewhere; there is no elsewhere. Flags of 0 ask for nothing
/// (L08).
#[test]
fn l08_change_request_is_answered_only_when_its_flags_are_zero() {
    let cases: &[(&[u8], u16)] =
        &[(&[0, 0, 0, 0], 0), (&[0, 0, 0, 2], 420), (&[0, 0, 0, 4], 420), (&[0, 0, 0, 6], 420)];
    for (flags, code) in cases {
        let (mut rig, mut client) = (Rig::new(), Client::alice("192.0.2.1:1000"));
        let request = binding(&mut client, &[raw(AttributeType::CHANGE_REQUEST, flags)]);
        let answer = rig.ask(&client, &request);
        assert_eq!(answer.code(), *code, "{flags:?}");
        if *code == 420 {
            assert_eq!(answer.unknown(), [AttributeType::CHANGE_REQUEST.0]);
        }
    }
}

/// A client of RFC 3489 has no cookie: its transaction id is 16 bytes, and it does not know the XORed form
/// (RFC 8489 §11, RFC 5389 §12.2).
#[test]
fn a_classic_client_gets_mapped_address_in_an_answer_no_larger() {
    for (address, size) in [("192.0.2.1:1000", 32), ("[2001:db8::1]:1000", 44)] {
        let (mut rig, client) = (Rig::new(), Client::alice(address));
        let header = Header {
            class: Class::Request,
            method: Method::BINDING,
            cookie: [1, 2, 3, 4],
            transaction: TransactionId([9; 12]),
        };
        let answer = rig.ask(&client, &build(header, &[raw(AttributeType::CHANGE_REQUEST, &[0; 4])]));
        assert_eq!(answer.kinds(), [AttributeType::MAPPED_ADDRESS]);
        assert_eq!(answer.address(AttributeType::MAPPED_ADDRESS), Some(client.address));
        assert_eq!(answer.bytes.len(), size);
        assert_eq!(answer.bytes[4..8], [1, 2, 3, 4], "the classic transaction id is 16 bytes long");
    }
}

/// RFC 3489 §11.2.10: its attributes have no padding, so an odd number of unknown ones repeats one.
#[test]
fn a_classic_client_is_told_an_even_number_of_unknown_attributes() {
    let (mut rig, client) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let header = Header {
        class: Class::Request,
        method: Method::BINDING,
        cookie: [1, 2, 3, 4],
        transaction: TransactionId([9; 12]),
    };
    let flags = raw(AttributeType::CHANGE_REQUEST, &[0, 0, 0, 6]);
    let answer = rig.ask(&client, &build(header, &[flags]));
    assert_eq!((answer.code(), answer.unknown()), (420, vec![3, 3]));
    let answer =
        rig.ask(&client, &build(header, &[raw(AttributeType(0x7001), &[]), raw(AttributeType(0x7002), &[])]));
    assert_eq!((answer.code(), answer.unknown()), (420, vec![0x7001, 0x7002]));
}

/// RFC 8656 §5: TURN does not use the backwards-compatibility mechanism.
#[test]
fn without_the_cookie_there_is_no_turn() {
    let (mut rig, client) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let methods = [
        Method::ALLOCATE,
        Method::REFRESH,
        Method::SEND,
        Method::CREATE_PERMISSION,
        Method::CHANNEL_BIND,
        Method::BINDING,
    ];
    for method in methods {
        for class in [Class::Request, Class::Indication] {
            if (class, method) == (Class::Request, Method::BINDING) {
                continue;
            }
            let header = Header { class, method, cookie: [0; 4], transaction: TransactionId([9; 12]) };
            assert!(rig.send(&client, &build(header, &[udp()])).0.is_empty(), "{class:?} {method:?}");
        }
    }
}

/// RFC 8489 §6.3.1: 420 lists what must be understood and is not; what is optional is ignored (§6.3).
#[test]
fn unknown_attributes_draw_420_only_when_they_must_be_understood() {
    let (mut rig, mut client) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let optional = raw(AttributeType(0xFFFE), b"whatever");
    let request = binding(&mut client, std::slice::from_ref(&optional));
    assert_eq!(rig.ask(&client, &request).code(), 0);
    let unknown = [raw(UNKNOWN, b""), optional, raw(AttributeType(0x0002), &[0; 8]), raw(UNKNOWN, b"again")];
    let request = binding(&mut client, &unknown);
    let answer = rig.ask(&client, &request);
    assert_eq!(answer.code(), 420);
    assert_eq!(answer.unknown(), [UNKNOWN.0, 0x0002]);
    assert!(answer.bytes.len() <= 2 * request.len());
}

/// RFC 8489 §6.3: an attribute that is known but has no place here is ignored.
#[test]
fn known_but_unexpected_attributes_are_ignored() {
    let (mut rig, mut client) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let request = binding(&mut client, &[udp(), lifetime(5), channel(1), token(&[1]), dont_fragment()]);
    assert_eq!(rig.ask(&client, &request).code(), 0);
}

/// However long a list of nonsense is, the answer to it is no longer than it.
#[test]
fn a_message_full_of_nonsense_draws_no_long_answer() {
    let (mut rig, mut client) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let nonsense: Vec<_> = (0x7000..0x7100).map(|kind| raw(AttributeType(kind), &[])).collect();
    for count in [2, 16, 17, 256] {
        let request = binding(&mut client, &nonsense[..count]);
        let answer = rig.ask(&client, &request);
        assert_eq!((answer.code(), answer.unknown().len()), (420, count.min(16)));
        assert!(answer.bytes.len() <= request.len() + 16, "{count} attributes: {}", answer.bytes.len());
    }
}

/// RFC 8489 §7, §14.7: a wrong FINGERPRINT is no STUN; whoever sends one gets one.
#[test]
fn fingerprint_is_checked_and_returned() {
    let (mut rig, mut client) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let request = binding(&mut client, &[Attr::Fingerprint]);
    let answer = rig.ask(&client, &request);
    assert!(answer.has_fingerprint());
    let mut wrong = request;
    *wrong.last_mut().unwrap() ^= 1;
    assert!(rig.send(&client, &wrong).0.is_empty());
    let request = binding(&mut client, &[]);
    assert!(!rig.ask(&client, &request).has_fingerprint(), "RFC 8489 §12: never required");
    let not_last = binding(&mut client, &[Attr::Fingerprint, lifetime(1)]);
    assert!(rig.send(&client, &not_last).0.is_empty());
    assert_eq!(rig.dropped(DropReason::Malformed), 2);
}

/// RFC 8489 §6.3.2: an indication draws no answer, whatever is in it.
#[test]
fn indications_are_never_answered() {
    let (mut rig, mut client) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let methods = [Method::BINDING, Method::ALLOCATE, Method::REFRESH, Method::SEND, Method::DATA];
    for method in methods.into_iter().chain([Method::CREATE_PERMISSION, Method::CHANNEL_BIND]) {
        for attributes in [&[][..], &[raw(UNKNOWN, b"")], &[udp()]] {
            let indication = client.indication(method, attributes);
            assert!(rig.send(&client, &indication).0.is_empty(), "{method:?}");
        }
    }
}

/// RFC 8489 §6.3: an answer that nobody waits for, an unknown method, a class that a method does not have. L03 and
/// L04: two servers can never talk to each other.
#[test]
fn l03_l04_answers_and_unknown_methods_draw_nothing() {
    let (mut rig, mut client) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let methods: Vec<_> = (0..0x20).map(Method::new).collect();
    for class in [Class::Success, Class::Error] {
        for method in &methods {
            let message = build(client.header(class, *method), &[]);
            assert!(rig.send(&client, &message).0.is_empty(), "{class:?} {method:?}");
        }
    }
    let known = [
        Method::BINDING,
        Method::ALLOCATE,
        Method::REFRESH,
        Method::CREATE_PERMISSION,
        Method::CHANNEL_BIND,
        Method::CONNECT,
        Method::CONNECTION_BIND,
    ];
    for method in methods.into_iter().filter(|method| !known.contains(method)) {
        let message = client.unsigned(method, &[]);
        assert!(rig.send(&client, &message).0.is_empty(), "{method:?}");
    }
    let request = binding(&mut client, &[]);
    let answer = rig.ask(&client, &request);
    assert!(rig.send(&client, &answer.bytes).0.is_empty(), "an answer sent back");
}

/// RFC 8489 §6.3, §5: what breaks the rules of a header or an attribute is silently dropped.
#[test]
fn malformed_messages_draw_nothing() {
    let (mut rig, mut client) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let good = binding(&mut client, &[lifetime(1)]);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", vec![]),
        ("one byte", vec![0]),
        ("a header cut short", good[..19].to_vec()),
        ("shorter than its length says", good[..24].to_vec()),
        ("longer than its length says", [&good[..], &[0; 4]].concat()),
        ("a length that is no multiple of four", with(3, 7)),
        ("a first bit set", with(0, 0x80)),
        ("an attribute beyond the message", with(23, 5)),
        ("DTLS", [&[22, 254, 253][..], &[0; 40]].concat()),
        ("RTP", [&[0x80, 96][..], &[0; 40]].concat()),
    ];
    for (name, bytes) in &cases {
        assert!(rig.send(&client, bytes).0.is_empty(), "{name}");
    }
    assert_eq!(rig.dropped(DropReason::Malformed) + rig.dropped(DropReason::NotStun), 10);
}

/// L05: a source that cannot be answered is forged; so is our own address.
#[test]
fn l05_forged_sources_draw_nothing() {
    let mut rig = Rig::new();
    let forged = [
        "192.0.2.1:0",
        "0.0.0.0:1000",
        "255.255.255.255:1000",
        "224.0.0.1:1000",
        "[::]:1000",
        "[ff02::1]:1000",
        "[2001:db8::1]:0",
        LISTENER,
        "[2a00:44::1]:3478",
    ];
    for source in forged {
        let mut client = Client::alice(source);
        for method in [Method::BINDING, Method::ALLOCATE] {
            let request = client.unsigned(method, &[udp()]);
            assert!(rig.send(&client, &request).0.is_empty(), "{source}");
        }
    }
    assert_eq!(rig.dropped(DropReason::ForgedSource), 2 * forged.len() as u64);
}

/// A client on this host can get the port number of one of our listeners for its own end of a connection.
#[test]
fn who_has_connected_may_have_the_number_of_our_port() {
    let mut rig = Rig::new();
    let mut client = Client::alice(LISTENER).over(Transport::Tcp);
    let request = client.unsigned(Method::BINDING, &[]);
    assert_eq!(rig.send(&client, &request).0.len(), 1);
}

/// A source draws only so many Binding answers; another one does not notice (L06), and loopback, which nobody
/// outside can forge, has no limit.
#[test]
fn l06_binding_answers_are_budgeted_by_source() {
    let mut rig = Rig::with(|setup| setup.settings.binding_budget = Rate { per_second: 10, burst: 20 });
    let mut answered = |source: &str| {
        let mut client = Client::alice(source);
        let request = binding(&mut client, &[]);
        (0..100).filter(|_| !rig.send(&client, &request).is_silent()).count()
    };
    assert_eq!(answered("192.0.2.1:1000"), 20);
    assert_eq!(answered("192.0.2.1:2000"), 0, "another port is the same source");
    assert_eq!(answered("192.0.2.2:1000"), 20);
    assert_eq!(answered("127.0.0.1:1000"), 100);
    assert_eq!(rig.relay.counters().suppressed, 80 + 100 + 80);
    rig.advance(std::time::Duration::from_secs(1));
    let mut client = Client::alice("192.0.2.1:3000");
    let request = binding(&mut client, &[]);
    assert_eq!((0..100).filter(|_| !rig.send(&client, &request).is_silent()).count(), 10);
}

/// A client behind an IPv4-mapped address is an IPv4 client, and is told so.
#[test]
fn an_ipv4_client_on_an_ipv6_socket_is_told_its_ipv4_address() {
    let (mut rig, mut client) = (Rig::new(), Client::alice("[::ffff:192.0.2.1]:1000"));
    let request = binding(&mut client, &[]);
    let tuple = FiveTuple::new(client.address, ListenerId(0));
    rig.feed(Input::FromClient { client: tuple, bytes: &request });
    assert_eq!(rig.last.indication().mapped(), addr("192.0.2.1:1000"));
}
