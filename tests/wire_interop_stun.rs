//! Our wire format against `stun` and `turn` 0.17, in both directions. Where they part from the RFCs, a
//! test names it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use stun::addr::MappedAddress;
use stun::attributes as theirs;
use stun::error_code::{ErrorCode, ErrorCodeAttribute};
use stun::fingerprint::FINGERPRINT;
use stun::integrity::MessageIntegrity;
use stun::message::{
    CLASS_ERROR_RESPONSE, CLASS_INDICATION, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, Getter, METHOD_ALLOCATE,
    METHOD_BINDING, METHOD_CHANNEL_BIND, METHOD_CREATE_PERMISSION, METHOD_DATA, METHOD_REFRESH, METHOD_SEND,
    Message as TheirMessage, MessageType, Setter,
};
use stun::textattrs::TextAttribute;
use stun::uattrs::UnknownAttributes;
use stun::xoraddr::XorMappedAddress;
use turn::proto::chandata::ChannelData as TheirChannelData;
use turn::proto::channum::ChannelNumber as TheirChannelNumber;
use turn::proto::data::Data;
use turn::proto::dontfrag::DontFragmentAttr;
use turn::proto::evenport::EvenPort;
use turn::proto::lifetime::Lifetime;
use turn::proto::peeraddr::PeerAddress;
use turn::proto::relayaddr::RelayedAddress;
use turn::proto::reqfamily::{REQUESTED_FAMILY_IPV6, RequestedAddressFamily};
use turn::proto::reqtrans::RequestedTransport;
use turn::proto::rsrvtoken::ReservationToken;
use turn::proto::{PROTO_UDP, Protocol};
use turnbridge::wire::*;

const V4: &str = "192.0.2.1:32853";
const V6: &str = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";
const ADDRESSES: [&str; 6] = [V4, V6, "0.0.0.0:0", "255.255.255.255:65535", "[::]:0", "[::ffff:127.0.0.1]:1"];
const ID: [u8; 12] = [0xB7, 0xE7, 0xA7, 1, 0xBC, 0x34, 0xD6, 0x86, 0xFA, 0x87, 0xDF, 0xAE];

fn header() -> Header {
    Header::new(Class::Request, Method::ALLOCATE, TransactionId(ID))
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn they_write(setters: &[&dyn Setter]) -> Vec<u8> {
    let mut message = TheirMessage::new();
    message.typ = MessageType::new(METHOD_ALLOCATE, CLASS_REQUEST);
    message.transaction_id.0 = ID;
    message.write_header();
    for setter in setters {
        setter.add_to(&mut message).unwrap();
    }
    message.raw
}

fn they_read(bytes: &[u8]) -> TheirMessage {
    let mut message = TheirMessage::new();
    message.unmarshal_binary(bytes).unwrap();
    message
}

fn they_get<G: Getter + Default>(message: &TheirMessage) -> G {
    let mut attribute = G::default();
    attribute.get_from(message).unwrap();
    attribute
}

fn we_write(attributes: impl FnOnce(Writer<'_>) -> Writer<'_>) -> Vec<u8> {
    let mut buffer = [0; 512];
    attributes(Writer::new(&mut buffer, header())).finish().unwrap().to_vec()
}

fn key() -> MessageIntegrity {
    MessageIntegrity::new_long_term_integrity("user".into(), "realm".into(), "pass".into())
}

/// Every kind of attribute: what they write is byte for byte what we write, and what we write they read.
struct Case {
    name: &'static str,
    theirs: Box<dyn Setter>,
    ours: fn(Writer<'_>) -> Writer<'_>,
    read: fn(&TheirMessage),
}

fn text(kind: theirs::AttrType, text: &str) -> Box<dyn Setter> {
    Box::new(TextAttribute::new(kind, text.into()))
}

fn read_text(message: &TheirMessage, kind: theirs::AttrType) -> String {
    TextAttribute::get_from_as(message, kind).unwrap().text
}

fn stun_cases() -> Vec<Case> {
    vec![
        Case {
            name: "USERNAME",
            theirs: text(theirs::ATTR_USERNAME, "1266890800:mbzrxpgjys"),
            ours: |w| w.attribute(AttributeType::USERNAME, b"1266890800:mbzrxpgjys"),
            read: |m| assert_eq!(read_text(m, theirs::ATTR_USERNAME), "1266890800:mbzrxpgjys"),
        },
        Case {
            name: "REALM",
            theirs: text(theirs::ATTR_REALM, "example.org"),
            ours: |w| w.attribute(AttributeType::REALM, b"example.org"),
            read: |m| assert_eq!(read_text(m, theirs::ATTR_REALM), "example.org"),
        },
        Case {
            name: "NONCE",
            theirs: text(theirs::ATTR_NONCE, "obMatJos2AAAC!"),
            ours: |w| w.attribute(AttributeType::NONCE, b"obMatJos2AAAC!"),
            read: |m| assert_eq!(read_text(m, theirs::ATTR_NONCE), "obMatJos2AAAC!"),
        },
        Case {
            name: "SOFTWARE",
            theirs: text(theirs::ATTR_SOFTWARE, "turnbridge"),
            ours: |w| w.attribute(AttributeType::SOFTWARE, b"turnbridge"),
            read: |m| assert_eq!(read_text(m, theirs::ATTR_SOFTWARE), "turnbridge"),
        },
        Case {
            name: "ERROR-CODE",
            theirs: Box::new(ErrorCodeAttribute { code: ErrorCode(438), reason: b"Stale Nonce".to_vec() }),
            ours: |w| w.error_code(438, "Stale Nonce"),
            read: |m| {
                let read: ErrorCodeAttribute = they_get(m);
                assert_eq!((read.code.0, &read.reason[..]), (438, &b"Stale Nonce"[..]));
            },
        },
        Case {
            name: "UNKNOWN-ATTRIBUTES",
            theirs: Box::new(UnknownAttributes(vec![theirs::AttrType(0x7ABC), theirs::AttrType(1)])),
            ours: |w| w.unknown_attributes(&[AttributeType(0x7ABC), AttributeType(1)]),
            read: |m| {
                let mut read = UnknownAttributes(Vec::new());
                read.get_from(m).unwrap();
                assert_eq!(read.0, [theirs::AttrType(0x7ABC), theirs::AttrType(1)]);
            },
        },
        Case {
            name: "USERHASH, of which they know the number alone",
            theirs: Box::new(raw(theirs::ATTR_USER_HASH, &[5; 32])),
            ours: |w| w.attribute(AttributeType::USERHASH, &[5; 32]),
            read: |m| assert_eq!(m.get(theirs::ATTR_USER_HASH).unwrap(), [5; 32]),
        },
        Case {
            name: "PASSWORD-ALGORITHMS, of which they know the number alone",
            theirs: Box::new(raw(theirs::ATTR_PASSWORD_ALGORITHMS, &[0, 2, 0, 0])),
            ours: |w| w.attribute(AttributeType::PASSWORD_ALGORITHMS, &[0, 2, 0, 0]),
            read: |m| assert_eq!(m.get(theirs::ATTR_PASSWORD_ALGORITHMS).unwrap(), [0, 2, 0, 0]),
        },
        Case {
            name: "PASSWORD-ALGORITHM, of which they know the number alone",
            theirs: Box::new(raw(theirs::ATTR_PASSWORD_ALGORITHM, &[0, 2, 0, 0])),
            ours: |w| w.attribute(AttributeType::PASSWORD_ALGORITHM, &[0, 2, 0, 0]),
            read: |m| assert_eq!(m.get(theirs::ATTR_PASSWORD_ALGORITHM).unwrap(), [0, 2, 0, 0]),
        },
        Case {
            name: "CHANGE-REQUEST, of which they know the number alone",
            theirs: Box::new(raw(theirs::ATTR_CHANGE_REQUEST, &[0; 4])),
            ours: |w| w.number(AttributeType::CHANGE_REQUEST, 0),
            read: |m| assert_eq!(m.get(theirs::ATTR_CHANGE_REQUEST).unwrap(), [0; 4]),
        },
    ]
}

fn turn_cases() -> Vec<Case> {
    vec![
        Case {
            name: "CHANNEL-NUMBER",
            theirs: Box::new(TheirChannelNumber(0x4ABC)),
            ours: |w| w.attribute(AttributeType::CHANNEL_NUMBER, &[0x4A, 0xBC, 0, 0]),
            read: |m| assert_eq!(they_get::<TheirChannelNumber>(m).0, 0x4ABC),
        },
        Case {
            name: "LIFETIME",
            theirs: Box::new(Lifetime(Duration::from_secs(u32::MAX.into()))),
            ours: |w| w.number(AttributeType::LIFETIME, u32::MAX),
            read: |m| assert_eq!(they_get::<Lifetime>(m).0.as_secs(), u64::from(u32::MAX)),
        },
        Case {
            name: "DATA",
            theirs: Box::new(Data(b"payload".to_vec())),
            ours: |w| w.attribute(AttributeType::DATA, b"payload"),
            read: |m| assert_eq!(they_get::<Data>(m).0, b"payload"),
        },
        Case {
            name: "empty DATA",
            theirs: Box::new(Data(Vec::new())),
            ours: |w| w.flag(AttributeType::DATA),
            read: |m| assert_eq!(they_get::<Data>(m).0, b""),
        },
        Case {
            name: "REQUESTED-ADDRESS-FAMILY",
            theirs: Box::new(REQUESTED_FAMILY_IPV6),
            ours: |w| {
                w.attribute(AttributeType::REQUESTED_ADDRESS_FAMILY, &[AddressFamily::V6.number(), 0, 0, 0])
            },
            read: |m| assert_eq!(they_get::<RequestedAddressFamily>(m), REQUESTED_FAMILY_IPV6),
        },
        Case {
            name: "EVEN-PORT",
            theirs: Box::new(EvenPort::default()),
            ours: |w| w.attribute(AttributeType::EVEN_PORT, &[0]),
            read: |m| assert_eq!(they_get::<EvenPort>(m).to_string(), "reserve: false"),
        },
        Case {
            name: "EVEN-PORT with the next one reserved, which they can only read",
            theirs: Box::new(raw(theirs::ATTR_EVEN_PORT, &[0x80])),
            ours: |w| w.attribute(AttributeType::EVEN_PORT, &[0x80]),
            read: |m| assert_eq!(they_get::<EvenPort>(m).to_string(), "reserve: true"),
        },
        Case {
            name: "REQUESTED-TRANSPORT",
            theirs: Box::new(RequestedTransport { protocol: PROTO_UDP }),
            ours: |w| w.attribute(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0]),
            read: |m| assert_eq!(they_get::<RequestedTransport>(m).protocol, Protocol(17)),
        },
        Case {
            name: "DONT-FRAGMENT",
            theirs: Box::new(DontFragmentAttr),
            ours: |w| w.flag(AttributeType::DONT_FRAGMENT),
            read: |m| assert!(m.contains(theirs::ATTR_DONT_FRAGMENT)),
        },
        Case {
            name: "RESERVATION-TOKEN",
            theirs: Box::new(ReservationToken(vec![1, 2, 3, 4, 5, 6, 7, 8])),
            ours: |w| w.attribute(AttributeType::RESERVATION_TOKEN, &[1, 2, 3, 4, 5, 6, 7, 8]),
            read: |m| assert_eq!(they_get::<ReservationToken>(m).0, [1, 2, 3, 4, 5, 6, 7, 8]),
        },
    ]
}

fn raw(kind: theirs::AttrType, value: &[u8]) -> theirs::RawAttribute {
    theirs::RawAttribute { typ: kind, length: 0, value: value.to_vec() }
}

#[test]
fn every_attribute_is_written_alike_and_read_by_both() {
    for case in stun_cases().into_iter().chain(turn_cases()) {
        let bytes = they_write(&[&*case.theirs]);
        assert_eq!(we_write(case.ours), bytes, "{}", case.name);
        let read = they_read(&bytes);
        (case.read)(&read);
        let message = Message::parse(&bytes).unwrap();
        let listed: Vec<_> = message.attributes().map(|a| (a.kind.0, a.value.to_vec())).collect();
        let expected: Vec<_> = read.attributes.0.iter().map(|a| (a.typ.0, a.value.clone())).collect();
        assert_eq!(listed, expected, "{}", case.name);
    }
}

#[test]
fn addresses_are_written_alike_and_read_by_both() {
    for text in ADDRESSES {
        let address = address(text);
        let (ip, port) = (address.ip(), address.port());
        let bytes = they_write(&[&XorMappedAddress { ip, port }]);
        assert_eq!(we_write(|w| w.xor_address(AttributeType::XOR_MAPPED_ADDRESS, address)), bytes);
        let read: XorMappedAddress = they_get(&they_read(&bytes));
        assert_eq!((read.ip, read.port), (ip, port));
        let message = Message::parse(&bytes).unwrap();
        let value = message.get(AttributeType::XOR_MAPPED_ADDRESS).unwrap();
        assert_eq!(decode_xor_address(value, message.header()), Some(address));

        let bytes = they_write(&[&PeerAddress { ip, port }, &RelayedAddress { ip, port }]);
        let ours = we_write(|w| {
            w.xor_address(AttributeType::XOR_PEER_ADDRESS, address)
                .xor_address(AttributeType::XOR_RELAYED_ADDRESS, address)
        });
        assert_eq!(ours, bytes);
        let read = they_read(&bytes);
        let (peer, relay): (PeerAddress, RelayedAddress) = (they_get(&read), they_get(&read));
        assert_eq!((peer.ip, peer.port, relay.ip, relay.port), (ip, port, ip, port));

        let bytes = they_write(&[&MappedAddress { ip, port }]);
        assert_eq!(we_write(|w| w.address(AttributeType::MAPPED_ADDRESS, address)), bytes);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(decode_address(message.get(AttributeType::MAPPED_ADDRESS).unwrap()), Some(address));
    }
}

#[test]
fn every_message_type_means_the_same_to_both() {
    let classes = [
        (Class::Request, CLASS_REQUEST),
        (Class::Indication, CLASS_INDICATION),
        (Class::Success, CLASS_SUCCESS_RESPONSE),
        (Class::Error, CLASS_ERROR_RESPONSE),
    ];
    let methods = [
        (Method::BINDING, METHOD_BINDING),
        (Method::ALLOCATE, METHOD_ALLOCATE),
        (Method::REFRESH, METHOD_REFRESH),
        (Method::SEND, METHOD_SEND),
        (Method::DATA, METHOD_DATA),
        (Method::CREATE_PERMISSION, METHOD_CREATE_PERMISSION),
        (Method::CHANNEL_BIND, METHOD_CHANNEL_BIND),
    ];
    for (our_class, their_class) in classes {
        for (our_method, their_method) in methods {
            let mut buffer = [0; 20];
            let header = Header::new(our_class, our_method, TransactionId(ID));
            let bytes = Writer::new(&mut buffer, header).finish().unwrap();
            assert_eq!(they_read(bytes).typ, MessageType::new(their_method, their_class));
        }
        for method in 0..0x1000 {
            let mut buffer = [0; 20];
            let header = Header::new(our_class, Method::new(method), TransactionId(ID));
            let bytes = Writer::new(&mut buffer, header).finish().unwrap();
            let read = they_read(bytes);
            assert_eq!(read.typ.class, their_class);
            assert_eq!(read.typ.value().to_be_bytes(), bytes[..2]);
        }
    }
}

#[test]
fn integrity_and_fingerprint_are_written_alike_and_verified_by_both() {
    let user = TextAttribute::new(theirs::ATTR_USERNAME, "user".into());
    let key = key();
    for fingerprint in [false, true] {
        let mut setters: Vec<&dyn Setter> = vec![&user, &key];
        if fingerprint {
            setters.push(&FINGERPRINT);
        }
        let bytes = they_write(&setters);
        let ours = we_write(|w| {
            let w = w.attribute(AttributeType::USERNAME, b"user").integrity_sha1(&key.0);
            if fingerprint { w.fingerprint() } else { w }
        });
        assert_eq!(ours, bytes);

        let mut read = they_read(&ours);
        assert!(key.check(&mut read).is_ok());
        assert_eq!(FINGERPRINT.check(&read).is_ok(), fingerprint);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.verify(&key.0), Ok(()));
        assert_eq!(message.verify(b"wrong"), Err(IntegrityError::Mismatch));
        assert_eq!(message.has_fingerprint(), fingerprint);
    }
}

#[test]
fn channel_data_is_written_alike_and_read_by_both() {
    for payload in [&b""[..], b"x", b"four", &[0xAB; 1499]] {
        for channel in [0x4000, 0x4ABC, 0x4FFF, 0x7FFF] {
            let number = TheirChannelNumber(channel);
            let mut theirs = TheirChannelData { data: payload.to_vec(), number, raw: Vec::new() };
            theirs.encode();
            let number = ChannelNumber::new(channel).unwrap();
            let mut ours = channel_head(number, u16::try_from(payload.len()).unwrap()).to_vec();
            ours.extend(payload);
            ours.resize(ours.len().next_multiple_of(4), 0);
            assert_eq!(ours, theirs.raw);
            assert_eq!(ChannelData::parse(&theirs.raw), Some(ChannelData { channel: number, payload }));
            let mut read = TheirChannelData { raw: ours, ..TheirChannelData::default() };
            read.decode().unwrap();
            assert_eq!(read, theirs);
        }
    }
    for head in [[0x3F, 0xFF, 0, 0], [0x80, 0, 0, 0], [0x40, 0, 0, 1]] {
        let mut read = TheirChannelData { raw: head.to_vec(), ..TheirChannelData::default() };
        assert!(read.decode().is_err());
        assert_eq!(ChannelData::parse(&head), None);
    }
}

#[test]
fn a_data_indication_is_read_by_them() {
    for (peer, payload) in [(V4, &b"payload"[..]), (V6, b""), (V6, &[1; 1400])] {
        let mut head = [0; DATA_HEAD_MAX];
        let length = u16::try_from(payload.len()).unwrap();
        let used = data_indication_head(&mut head, TransactionId(ID), address(peer), length);
        let mut bytes = head[..used].to_vec();
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let read = they_read(&bytes);
        assert_eq!(read.typ, MessageType::new(METHOD_DATA, CLASS_INDICATION));
        let from: PeerAddress = they_get(&read);
        assert_eq!(SocketAddr::new(from.ip, from.port), address(peer));
        assert_eq!(they_get::<Data>(&read).0, payload);
    }
}

/// RFC 8489 §9: what follows MESSAGE-INTEGRITY must be ignored. They show it as if it were vouched for.
#[test]
fn they_show_attributes_behind_integrity() {
    let key = key();
    let bytes = we_write(|w| {
        w.attribute(AttributeType::USERNAME, b"user")
            .integrity_sha1(&key.0)
            .xor_address(AttributeType::XOR_PEER_ADDRESS, address(V4))
    });
    let mut read = they_read(&bytes);
    assert!(key.check(&mut read).is_ok());
    assert!(read.contains(theirs::ATTR_XOR_PEER_ADDRESS));
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.verify(&key.0), Ok(()));
    assert!(!message.has(AttributeType::XOR_PEER_ADDRESS));
}

/// RFC 8489 §6.3 drops a message with a wrong fingerprint; they read it unless told to check.
#[test]
fn they_read_a_message_with_a_wrong_fingerprint() {
    let mut bytes = we_write(|w| w.fingerprint());
    *bytes.last_mut().unwrap() ^= 1;
    assert!(FINGERPRINT.check(&they_read(&bytes)).is_err());
    assert_eq!(Message::parse(&bytes).unwrap_err(), ParseError::Fingerprint);
}

/// RFC 8489 §5: the first two bits are zero, the length is a multiple of four and that of the message.
#[test]
fn they_read_what_section_5_forbids() {
    let good = we_write(|w| w.attribute(AttributeType::SOFTWARE, b"abcd"));
    let mut first_bits = good.clone();
    first_bits[0] |= 0xC0;
    let mut longer = good.clone();
    longer.push(0);
    let mut odd = good;
    odd[3] = 0x0B;
    odd.extend([0x80, 0x22, 0]);
    let cases = [("first bits", first_bits, ParseError::NotStun), ("longer", longer, ParseError::Length)];
    for (name, bytes, expected) in cases {
        assert!(TheirMessage::new().unmarshal_binary(&bytes).is_ok(), "{name}");
        assert_eq!(Message::parse(&bytes).unwrap_err(), expected, "{name}");
    }
    assert!(TheirMessage::new().unmarshal_binary(&odd).is_err());
    assert_eq!(Message::parse(&odd).unwrap_err(), ParseError::Length);
}

/// RFC 8489 §14.1: the first byte of an address is ignored by receivers; they take it for the family's.
#[test]
fn they_refuse_an_address_whose_ignored_byte_is_set() {
    let mut bytes = we_write(|w| w.xor_address(AttributeType::XOR_PEER_ADDRESS, address(V4)));
    bytes[24] = 0xFF;
    let mut read = PeerAddress::default();
    assert!(read.get_from(&they_read(&bytes)).is_err());
    let message = Message::parse(&bytes).unwrap();
    let value = message.get(AttributeType::XOR_PEER_ADDRESS).unwrap();
    assert_eq!(decode_xor_address(value, message.header()), Some(address(V4)));
}

/// 0x8020 was XOR-MAPPED-ADDRESS in a draft of 2005; they still read it as that, to us it is unknown.
#[test]
fn they_take_an_old_number_for_xor_mapped_address() {
    let old = AttributeType(0x8020);
    let bytes = we_write(|w| w.xor_address(old, address(V4)));
    let read: XorMappedAddress = they_get(&they_read(&bytes));
    assert_eq!(SocketAddr::new(read.ip, read.port), address(V4));
    let message = Message::parse(&bytes).unwrap();
    assert!(!message.has(AttributeType::XOR_MAPPED_ADDRESS));
    assert!(!old.is_understood() && !old.is_comprehension_required());
}

/// A client older than the cookie is served (RFC 8489 §11); they know no such message.
#[test]
fn they_refuse_a_message_without_the_cookie() {
    let mut bytes = we_write(|w| w);
    bytes[4..8].copy_from_slice(&[1, 2, 3, 4]);
    assert!(TheirMessage::new().unmarshal_binary(&bytes).is_err());
    assert!(Message::parse(&bytes).unwrap().header().is_classic());
}
