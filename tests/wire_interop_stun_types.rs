//! Our wire format against `stun-types`, `turn-types` and `turn-client-proto`, in both directions. Where
//! they part from the RFCs, a test names it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use stun_types::attribute::{
    AlternateServer, ErrorCode, Fingerprint, Nonce, PasswordAlgorithm, PasswordAlgorithmValue,
    PasswordAlgorithms, Realm, Software, UnknownAttributes, Userhash, Username, XorMappedAddress,
};
use stun_types::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, Message as TheirMessage, MessageClass,
    MessageIntegrityCredentials, MessageType, MessageWriteVec, Method as TheirMethod, StunParseError,
    TransactionId as TheirTransaction,
};
use stun_types::prelude::*;
use turn_types::AddressFamily as TheirFamily;
use turn_types::attribute::{
    AdditionalAddressFamily, AddressErrorCode, ChannelNumber as TheirChannelNumber, Data, DontFragment,
    EvenPort, Icmp, Lifetime, RequestedAddressFamily, RequestedTransport, ReservationToken, XorPeerAddress,
    XorRelayedAddress,
};
use turn_types::channel::ChannelData as TheirChannelData;
use turnbridge::wire::{
    AddressFamily, AttributeType, ChannelData, ChannelNumber, Class, DATA_HEAD_MAX, Header, Integrity,
    IntegrityError, Kind, Message, Method, ParseError, TransactionId, Writer, channel_head,
    data_indication_head, decode_address, decode_xor_address, kind,
};

const V4: &str = "192.0.2.1:32853";
const V6: &str = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";
const ID: [u8; 12] = [0xB7, 0xE7, 0xA7, 1, 0xBC, 0x34, 0xD6, 0x86, 0xFA, 0x87, 0xDF, 0xAE];
const CLASSES: [(Class, MessageClass); 4] = [
    (Class::Request, MessageClass::Request),
    (Class::Indication, MessageClass::Indication),
    (Class::Success, MessageClass::Success),
    (Class::Error, MessageClass::Error),
];

fn header() -> Header {
    Header::new(Class::Request, Method::ALLOCATE, TransactionId(ID))
}

fn transaction() -> TheirTransaction {
    ID.iter().fold(0_u128, |id, byte| id << 8 | u128::from(*byte)).into()
}

fn credentials() -> MessageIntegrityCredentials {
    LongTermKeyCredentials::new("user".into(), "pass".into(), "realm".into()).into()
}

fn md5_key() -> [u8; 16] {
    <md5::Md5 as md5::Digest>::digest(b"user:realm:pass").into()
}

fn sha256_key() -> [u8; 32] {
    <sha2::Sha256 as sha2::Digest>::digest(b"user:realm:pass").into()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Every kind of attribute: what they write is byte for byte what we write, and what we write they read.
struct Case {
    theirs: Box<dyn AttributeWrite>,
    ours: fn(Writer<'_>) -> Writer<'_>,
    read: fn(&TheirMessage<'_>),
}

fn cases() -> Vec<Case> {
    let mut cases = stun_cases();
    cases.extend(turn_cases());
    cases
}

fn stun_cases() -> Vec<Case> {
    vec![
        Case {
            theirs: Box::new(Username::new("user").unwrap()),
            ours: |w| w.attribute(AttributeType::USERNAME, b"user"),
            read: |m| assert_eq!(m.attribute::<Username>().unwrap().username(), "user"),
        },
        Case {
            theirs: Box::new(Userhash::new(Userhash::compute("user", "realm"))),
            ours: |w| {
                let hash: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(b"user:realm").into();
                w.attribute(AttributeType::USERHASH, &hash)
            },
            read: |m| {
                let expected = Userhash::compute("user", "realm");
                assert_eq!(m.attribute::<Userhash>().unwrap().hash(), &expected);
            },
        },
        Case {
            theirs: Box::new(Realm::new("example.org").unwrap()),
            ours: |w| w.attribute(AttributeType::REALM, b"example.org"),
            read: |m| assert_eq!(m.attribute::<Realm>().unwrap().realm(), "example.org"),
        },
        Case {
            theirs: Box::new(Nonce::new("obMatJos2AAAC!").unwrap()),
            ours: |w| w.attribute(AttributeType::NONCE, b"obMatJos2AAAC!"),
            read: |m| assert_eq!(m.attribute::<Nonce>().unwrap().nonce(), "obMatJos2AAAC!"),
        },
        Case {
            theirs: Box::new(Software::new("turnbridge").unwrap()),
            ours: |w| w.attribute(AttributeType::SOFTWARE, b"turnbridge"),
            read: |m| assert_eq!(m.attribute::<Software>().unwrap().software(), "turnbridge"),
        },
        Case {
            theirs: Box::new(PasswordAlgorithm::new(PasswordAlgorithmValue::SHA256)),
            ours: |w| w.attribute(AttributeType::PASSWORD_ALGORITHM, &[0, 2, 0, 0]),
            read: |m| {
                let read = m.attribute::<PasswordAlgorithm>().unwrap();
                assert_eq!(read.algorithm(), PasswordAlgorithmValue::SHA256);
            },
        },
        Case {
            theirs: Box::new(PasswordAlgorithms::new(&[
                PasswordAlgorithmValue::SHA256,
                PasswordAlgorithmValue::MD5,
            ])),
            ours: |w| w.attribute(AttributeType::PASSWORD_ALGORITHMS, &[0, 2, 0, 0, 0, 1, 0, 0]),
            read: |m| {
                let read = m.attribute::<PasswordAlgorithms>().unwrap();
                assert_eq!(read.algorithms(), [PasswordAlgorithmValue::SHA256, PasswordAlgorithmValue::MD5]);
            },
        },
        Case {
            theirs: Box::new(ErrorCode::new(438, "Stale Nonce").unwrap()),
            ours: |w| w.error_code(438, "Stale Nonce"),
            read: |m| {
                let read = m.attribute::<ErrorCode>().unwrap();
                assert_eq!((read.code(), read.reason()), (438, "Stale Nonce"));
            },
        },
        Case {
            theirs: Box::new(ErrorCode::new(699, "").unwrap()),
            ours: |w| w.error_code(699, ""),
            read: |m| assert_eq!(m.attribute::<ErrorCode>().unwrap().code(), 699),
        },
        Case {
            theirs: Box::new(UnknownAttributes::new(&[0x7ABC.into(), 0x0024.into(), 1.into()])),
            ours: |w| w.unknown_attributes(&[AttributeType(0x7ABC), AttributeType(0x0024), AttributeType(1)]),
            read: |m| {
                let read = m.attribute::<UnknownAttributes>().unwrap();
                assert!([0x7ABC, 0x0024, 1].iter().all(|kind| read.has_attribute((*kind).into())));
            },
        },
        Case {
            theirs: Box::new(XorMappedAddress::new(address(V4), transaction())),
            ours: |w| w.xor_address(AttributeType::XOR_MAPPED_ADDRESS, address(V4)),
            read: |m| {
                let read = m.attribute::<XorMappedAddress>().unwrap();
                assert_eq!(read.addr(m.transaction_id()), address(V4));
            },
        },
        Case {
            theirs: Box::new(XorMappedAddress::new(address(V6), transaction())),
            ours: |w| w.xor_address(AttributeType::XOR_MAPPED_ADDRESS, address(V6)),
            read: |m| {
                let read = m.attribute::<XorMappedAddress>().unwrap();
                assert_eq!(read.addr(m.transaction_id()), address(V6));
            },
        },
        Case {
            theirs: Box::new(AlternateServer::new(address(V4))),
            ours: |w| w.address(AttributeType::ALTERNATE_SERVER, address(V4)),
            read: |m| assert_eq!(m.attribute::<AlternateServer>().unwrap().server(), address(V4)),
        },
        Case {
            theirs: Box::new(AlternateServer::new(address(V6))),
            ours: |w| w.address(AttributeType::ALTERNATE_SERVER, address(V6)),
            read: |m| assert_eq!(m.attribute::<AlternateServer>().unwrap().server(), address(V6)),
        },
    ]
}

fn turn_cases() -> Vec<Case> {
    vec![
        Case {
            theirs: Box::new(TheirChannelNumber::new(0x4ABC)),
            ours: |w| w.attribute(AttributeType::CHANNEL_NUMBER, &[0x4A, 0xBC, 0, 0]),
            read: |m| assert_eq!(m.attribute::<TheirChannelNumber>().unwrap().channel(), 0x4ABC),
        },
        Case {
            theirs: Box::new(Lifetime::new(u32::MAX)),
            ours: |w| w.number(AttributeType::LIFETIME, u32::MAX),
            read: |m| assert_eq!(m.attribute::<Lifetime>().unwrap().seconds(), u32::MAX),
        },
        Case {
            theirs: Box::new(XorPeerAddress::new(address(V4), transaction())),
            ours: |w| w.xor_address(AttributeType::XOR_PEER_ADDRESS, address(V4)),
            read: |m| {
                let read = m.attribute::<XorPeerAddress>().unwrap();
                assert_eq!(read.addr(m.transaction_id()), address(V4));
            },
        },
        Case {
            theirs: Box::new(XorPeerAddress::new(address(V6), transaction())),
            ours: |w| w.xor_address(AttributeType::XOR_PEER_ADDRESS, address(V6)),
            read: |m| {
                let read = m.attribute::<XorPeerAddress>().unwrap();
                assert_eq!(read.addr(m.transaction_id()), address(V6));
            },
        },
        Case {
            theirs: Box::new(XorRelayedAddress::new(address(V6), transaction())),
            ours: |w| w.xor_address(AttributeType::XOR_RELAYED_ADDRESS, address(V6)),
            read: |m| {
                let read = m.attribute::<XorRelayedAddress>().unwrap();
                assert_eq!(read.addr(m.transaction_id()), address(V6));
            },
        },
        Case {
            theirs: Box::new(Data::new(b"payload")),
            ours: |w| w.attribute(AttributeType::DATA, b"payload"),
            read: |m| assert_eq!(m.attribute::<Data<'_>>().unwrap().data(), b"payload"),
        },
        Case {
            theirs: Box::new(Data::new(b"")),
            ours: |w| w.flag(AttributeType::DATA),
            read: |m| assert_eq!(m.attribute::<Data<'_>>().unwrap().data(), b""),
        },
        Case {
            theirs: Box::new(RequestedAddressFamily::new(TheirFamily::IPV6)),
            ours: |w| {
                w.attribute(AttributeType::REQUESTED_ADDRESS_FAMILY, &[AddressFamily::V6.number(), 0, 0, 0])
            },
            read: |m| {
                assert_eq!(m.attribute::<RequestedAddressFamily>().unwrap().family(), TheirFamily::IPV6);
            },
        },
        Case {
            theirs: Box::new(AdditionalAddressFamily::new(TheirFamily::IPV6)),
            ours: |w| {
                w.attribute(AttributeType::ADDITIONAL_ADDRESS_FAMILY, &[AddressFamily::V6.number(), 0, 0, 0])
            },
            read: |m| {
                assert_eq!(m.attribute::<AdditionalAddressFamily>().unwrap().family(), TheirFamily::IPV6);
            },
        },
        Case {
            theirs: Box::new(AddressErrorCode::new(TheirFamily::IPV6, ErrorCode::new(440, "").unwrap())),
            ours: |w| w.attribute(AttributeType::ADDRESS_ERROR_CODE, &[AddressFamily::V6.number(), 0, 4, 40]),
            read: |m| {
                let read = m.attribute::<AddressErrorCode>().unwrap();
                assert_eq!((read.family(), read.error().code()), (TheirFamily::IPV6, 440));
            },
        },
        Case {
            theirs: Box::new(EvenPort::new(true)),
            ours: |w| w.attribute(AttributeType::EVEN_PORT, &[0x80]),
            read: |m| assert!(m.attribute::<EvenPort>().unwrap().requested()),
        },
        Case {
            theirs: Box::new(EvenPort::new(false)),
            ours: |w| w.attribute(AttributeType::EVEN_PORT, &[0]),
            read: |m| assert!(!m.attribute::<EvenPort>().unwrap().requested()),
        },
        Case {
            theirs: Box::new(RequestedTransport::new(RequestedTransport::UDP)),
            ours: |w| w.attribute(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0]),
            read: |m| assert_eq!(m.attribute::<RequestedTransport>().unwrap().protocol(), 17),
        },
        Case {
            theirs: Box::new(DontFragment::new()),
            ours: |w| w.flag(AttributeType::DONT_FRAGMENT),
            read: |m| assert!(m.attribute::<DontFragment>().is_ok()),
        },
        Case {
            theirs: Box::new(ReservationToken::new(0x0102_0304_0506_0708)),
            ours: |w| w.attribute(AttributeType::RESERVATION_TOKEN, &[1, 2, 3, 4, 5, 6, 7, 8]),
            read: |m| assert_eq!(m.attribute::<ReservationToken>().unwrap().token(), 0x0102_0304_0506_0708),
        },
        Case {
            theirs: Box::new(Icmp::new(3, 4, 1280)),
            ours: |w| w.attribute(AttributeType::ICMP, &[0, 0, 3, 4, 0, 0, 5, 0]),
            read: |m| {
                let read = m.attribute::<Icmp>().unwrap();
                assert_eq!((read.icmp_type(), read.code(), read.data()), (3, 4, 1280));
            },
        },
    ]
}

fn their_request() -> MessageWriteVec {
    let kind = MessageType::from_class_method(MessageClass::Request, turn_types::message::ALLOCATE);
    TheirMessage::builder(kind, transaction(), MessageWriteVec::new())
}

#[test]
fn every_attribute_is_written_alike_and_read_by_both() {
    for case in cases() {
        let mut theirs = their_request();
        theirs.add_attribute(&*case.theirs).unwrap();
        let theirs = theirs.finish();
        let mut buffer = [0; 256];
        let ours = (case.ours)(Writer::new(&mut buffer, header())).finish().unwrap();
        let kind = case.theirs.get_type();
        assert_eq!(ours, theirs, "{kind}");
        (case.read)(&TheirMessage::from_bytes(ours).unwrap());
        let message = Message::parse(&theirs).unwrap();
        let raw = case.theirs.to_raw();
        assert_eq!(message.get(AttributeType(kind.value())), Some(&*raw.value), "{kind}");
    }
}

#[test]
fn addresses_they_write_are_read() {
    for text in [V4, V6, "0.0.0.0:0", "255.255.255.255:65535", "[::]:0", "[::ffff:127.0.0.1]:1"] {
        let mut theirs = their_request();
        theirs.add_attribute(&XorPeerAddress::new(address(text), transaction())).unwrap();
        theirs.add_attribute(&AlternateServer::new(address(text))).unwrap();
        let bytes = theirs.finish();
        let message = Message::parse(&bytes).unwrap();
        let xored = message.get(AttributeType::XOR_PEER_ADDRESS).unwrap();
        let plain = message.get(AttributeType::ALTERNATE_SERVER).unwrap();
        assert_eq!(decode_xor_address(xored, message.header()), Some(address(text)));
        assert_eq!(decode_address(plain), Some(address(text)));
    }
}

#[test]
fn every_message_type_is_written_alike() {
    for (ours, theirs) in CLASSES {
        for method in 0..0x1000 {
            let mut buffer = [0; 20];
            let header = Header::new(ours, Method::new(method), TransactionId(ID));
            let bytes = Writer::new(&mut buffer, header).finish().unwrap();
            let kind = MessageType::from_class_method(theirs, TheirMethod::new(method));
            let expected = TheirMessage::builder(kind, transaction(), MessageWriteVec::new()).finish();
            assert_eq!(bytes, expected);
            assert_eq!(*Message::parse(&expected).unwrap().header(), header);
        }
    }
}

/// Which integrity attributes, in the order they are written.
const SEALS: [&[IntegrityAlgorithm]; 3] = [
    &[IntegrityAlgorithm::Sha1],
    &[IntegrityAlgorithm::Sha256],
    &[IntegrityAlgorithm::Sha1, IntegrityAlgorithm::Sha256],
];

fn sealed_by_them(seal: &[IntegrityAlgorithm], fingerprint: bool) -> Vec<u8> {
    let mut theirs = their_request();
    theirs.add_attribute(&Username::new("user").unwrap()).unwrap();
    theirs.add_attribute(&Realm::new("realm").unwrap()).unwrap();
    for algorithm in seal {
        theirs.add_message_integrity(&credentials(), *algorithm).unwrap();
    }
    if fingerprint {
        theirs.add_fingerprint().unwrap();
    }
    theirs.finish()
}

fn sealed_by_us(seal: &[IntegrityAlgorithm], fingerprint: bool) -> Vec<u8> {
    let mut buffer = [0; 256];
    let writer = Writer::new(&mut buffer, header())
        .attribute(AttributeType::USERNAME, b"user")
        .attribute(AttributeType::REALM, b"realm");
    let writer = seal.iter().fold(writer, |writer, algorithm| match algorithm {
        IntegrityAlgorithm::Sha1 => writer.integrity_sha1(&md5_key()),
        IntegrityAlgorithm::Sha256 => writer.integrity_sha256(&sha256_key()),
    });
    let writer = if fingerprint { writer.fingerprint() } else { writer };
    writer.finish().unwrap().to_vec()
}

#[test]
fn integrity_and_fingerprint_are_written_alike_and_verified_by_both() {
    for seal in SEALS {
        for fingerprint in [false, true] {
            let bytes = sealed_by_us(seal, fingerprint);
            assert_eq!(bytes, sealed_by_them(seal, fingerprint), "{seal:?}");

            let strongest = *seal.last().unwrap();
            let theirs = TheirMessage::from_bytes(&bytes).unwrap();
            assert_eq!(theirs.validate_integrity(&credentials()).unwrap(), strongest);
            assert_eq!(theirs.has_attribute(Fingerprint::TYPE), fingerprint);

            let ours = Message::parse(&bytes).unwrap();
            let (expected, key) = match strongest {
                IntegrityAlgorithm::Sha1 => (Integrity::Sha1, md5_key().to_vec()),
                IntegrityAlgorithm::Sha256 => (Integrity::Sha256, sha256_key().to_vec()),
            };
            assert_eq!(ours.integrity(), Some(expected));
            assert_eq!(ours.verify(&key), Ok(()));
            assert_eq!(ours.verify(b"wrong"), Err(IntegrityError::Mismatch));
            assert_eq!(ours.has_fingerprint(), fingerprint);
        }
    }
}

#[test]
fn a_changed_byte_is_refused_by_both() {
    for seal in SEALS {
        let bytes = sealed_by_us(seal, true);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x01;
            let whole = |m: TheirMessage<'_>| m.has_attribute(Fingerprint::TYPE);
            assert!(!TheirMessage::from_bytes(&changed).is_ok_and(whole), "they, byte {at}");
            assert!(!Message::parse(&changed).is_ok_and(|m| m.has_fingerprint()), "we, byte {at}");
        }
    }
}

#[test]
fn what_stands_behind_integrity_is_hidden_by_both() {
    let mut buffer = [0; 256];
    let bytes = Writer::new(&mut buffer, header())
        .attribute(AttributeType::USERNAME, b"user")
        .integrity_sha1(&md5_key())
        .xor_address(AttributeType::XOR_PEER_ADDRESS, address(V4))
        .finish()
        .unwrap();
    let theirs = TheirMessage::from_bytes(bytes).unwrap();
    assert!(theirs.validate_integrity(&credentials()).is_ok());
    assert!(!theirs.has_attribute(XorPeerAddress::TYPE));
    let ours = Message::parse(bytes).unwrap();
    assert_eq!(ours.verify(&md5_key()), Ok(()));
    assert!(!ours.has(AttributeType::XOR_PEER_ADDRESS));
}

#[test]
fn channel_data_is_written_alike_and_read_by_both() {
    for payload in [&b""[..], b"x", b"four", &[0xAB; 1500]] {
        for channel in [0x4000, 0x4ABC, 0x4FFF] {
            let mut theirs = vec![0; 4 + payload.len()];
            TheirChannelData::new(channel, payload).write_into_unchecked(&mut theirs);
            let number = ChannelNumber::new(channel).unwrap();
            let mut ours = channel_head(number, u16::try_from(payload.len()).unwrap()).to_vec();
            ours.extend(payload);
            assert_eq!(ours, theirs);
            let read = TheirChannelData::parse(&ours).unwrap();
            assert_eq!((read.id(), read.data()), (channel, payload));
            assert_eq!(ChannelData::parse(&theirs), Some(ChannelData { channel: number, payload }));
            let cut = &theirs[..theirs.len() - 1];
            assert!(ChannelData::parse(cut).is_none() && TheirChannelData::parse(cut).is_err());
        }
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
        let message = TheirMessage::from_bytes(&bytes).unwrap();
        assert!(message.has_class(MessageClass::Indication));
        assert!(message.has_method(turn_types::message::DATA));
        let read = message.attribute::<XorPeerAddress>().unwrap();
        assert_eq!(read.addr(message.transaction_id()), address(peer));
        assert_eq!(message.attribute::<Data<'_>>().unwrap().data(), payload);
    }
}

/// RFC 8489 §9 excepts MESSAGE-INTEGRITY-SHA256 from what is ignored behind MESSAGE-INTEGRITY, wherever it
/// stands; they know it only directly behind, and fall back to SHA-1 otherwise.
#[test]
fn they_miss_a_sha256_that_is_not_next_to_the_sha1() {
    let mut buffer = [0; 256];
    let bytes = Writer::new(&mut buffer, header())
        .integrity_sha1(&md5_key())
        .attribute(AttributeType::SOFTWARE, b"between")
        .integrity_sha256(&sha256_key())
        .finish()
        .unwrap();
    let theirs = TheirMessage::from_bytes(bytes).unwrap();
    assert_eq!(theirs.validate_integrity(&credentials()).unwrap(), IntegrityAlgorithm::Sha1);
    let ours = Message::parse(bytes).unwrap();
    assert_eq!(ours.integrity(), Some(Integrity::Sha256));
    assert_eq!(ours.verify(&sha256_key()), Ok(()));
}

/// A usage must say so to allow a truncated HMAC (RFC 8489 §14.6), and RFC 8656 does not; they take 16 bytes.
#[test]
fn they_accept_a_truncated_sha256() {
    let mut bytes = sealed_by_us(&[], false);
    bytes[3] += 4 + 16;
    let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(&sha256_key()).unwrap();
    hmac::Mac::update(&mut mac, &bytes);
    bytes.extend([0, 0x1C, 0, 16]);
    bytes.extend(&hmac::Mac::finalize(mac).into_bytes()[..16]);
    assert!(TheirMessage::from_bytes(&bytes).unwrap().validate_integrity(&credentials()).is_ok());
    assert_eq!(Message::parse(&bytes).unwrap().verify(&sha256_key()), Err(IntegrityError::Length));
}

/// A header's length says where the message ends (RFC 8489 §5); they read attributes behind that end.
#[test]
fn they_read_attributes_behind_the_end_of_the_message() {
    let mut bytes = sealed_by_us(&[], false);
    bytes.extend([0x80, 0x22, 0, 4, b'l', b'a', b't', b'e']);
    let theirs = TheirMessage::from_bytes(&bytes).unwrap();
    assert!(theirs.has_attribute(Software::TYPE));
    assert_eq!(Message::parse(&bytes).unwrap_err(), ParseError::Length);
}

/// FINGERPRINT must be the last attribute (RFC 8489 §14.7); they ignore what follows it, we drop the message.
#[test]
fn they_accept_attributes_behind_the_fingerprint() {
    let mut bytes = sealed_by_them(&[], true);
    bytes.extend([0x80, 0x22, 0, 4, b'l', b'a', b't', b'e']);
    bytes[3] += 8;
    assert!(TheirMessage::from_bytes(&bytes).is_ok());
    assert_eq!(Message::parse(&bytes).unwrap_err(), ParseError::Fingerprint);
}

/// RFC 8656 §12 reserves 0x5000 to 0xFFFF, and RFC 7983 gives first bytes from 128 on to RTP; they take
/// channels up to 0xFFFE.
#[test]
fn they_accept_channels_that_cannot_be() {
    for channel in [0x8000_u16, 0xC000, 0xFFFE] {
        let [c0, c1] = channel.to_be_bytes();
        let bytes = [c0, c1, 0, 0];
        assert!(TheirChannelData::parse(&bytes).is_ok());
        assert_eq!(ChannelData::parse(&bytes), None);
        assert_eq!(kind(&bytes), Kind::Other);
    }
}

/// A client older than the cookie is served (RFC 8489 §11); they know no such message.
#[test]
fn they_refuse_a_message_without_the_cookie() {
    let mut bytes = sealed_by_us(&[], false);
    bytes[4..8].copy_from_slice(&[1, 2, 3, 4]);
    assert!(matches!(TheirMessage::from_bytes(&bytes), Err(StunParseError::NotStun)));
    assert!(Message::parse(&bytes).unwrap().header().is_classic());
}

/// An indication gets no answer (RFC 8489 §6.3.2); theirs panics over one with an attribute it does not
/// know. Our look at the same message tells class and unknown attribute, and no answer is made of them.
#[test]
fn their_check_of_unknown_attributes_panics_on_an_indication() {
    let mut buffer = [0; 64];
    let header = Header::new(Class::Indication, Method::BINDING, TransactionId(ID));
    let unknown = AttributeType(0x7ABC);
    let bytes = Writer::new(&mut buffer, header).flag(unknown).finish().unwrap();
    assert_eq!(bytes.len(), 24);
    let theirs = std::panic::catch_unwind(|| {
        let message = TheirMessage::from_bytes(bytes).unwrap();
        TheirMessage::check_attribute_types(&message, &[], &[], MessageWriteVec::new()).is_some()
    });
    assert!(theirs.is_err());
    let message = Message::parse(bytes).unwrap();
    assert_eq!(message.header().class, Class::Indication);
    assert!(message.attributes().all(|a| a.kind.is_comprehension_required() && !a.kind.is_understood()));
}
