//! Properties of the wire format: what is written is read back, what was changed is noticed, and nothing
//! that can arrive makes the parser panic.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{IpAddr, SocketAddr};

use proptest::collection::vec;
use proptest::prelude::*;
use turnbridge::wire::*;

/// Which integrity attributes a message ends in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Seal {
    None,
    Sha1,
    Sha256,
    Both,
}

impl Seal {
    fn append<'b>(self, writer: Writer<'b>, key: &[u8]) -> Writer<'b> {
        match self {
            Self::None => writer,
            Self::Sha1 => writer.integrity_sha1(key),
            Self::Sha256 => writer.integrity_sha256(key),
            Self::Both => writer.integrity_sha1(key).integrity_sha256(key),
        }
    }

    fn integrity(self) -> Option<Integrity> {
        match self {
            Self::None => None,
            Self::Sha1 => Some(Integrity::Sha1),
            Self::Sha256 | Self::Both => Some(Integrity::Sha256),
        }
    }
}

/// All that goes into a message.
#[derive(Clone, Debug)]
struct Draft {
    header: Header,
    attributes: Vec<(AttributeType, Vec<u8>)>,
    seal: Seal,
    key: Vec<u8>,
    fingerprint: bool,
}

impl Draft {
    fn write(&self) -> Vec<u8> {
        let mut buffer = vec![0xA5; 8192];
        let writer = append(Writer::new(&mut buffer, self.header), &self.attributes);
        let writer = self.seal.append(writer, &self.key);
        let writer = if self.fingerprint { writer.fingerprint() } else { writer };
        writer.finish().unwrap().to_vec()
    }
}

fn append<'b>(writer: Writer<'b>, attributes: &[(AttributeType, Vec<u8>)]) -> Writer<'b> {
    attributes.iter().fold(writer, |writer, (kind, value)| writer.attribute(*kind, value))
}

fn listed(message: &Message<'_>) -> Vec<(AttributeType, Vec<u8>)> {
    message.attributes().map(|attribute| (attribute.kind, attribute.value.to_vec())).collect()
}

fn any_header() -> impl Strategy<Value = Header> {
    let class = prop::sample::select(vec![Class::Request, Class::Indication, Class::Success, Class::Error]);
    (class, 0_u16..0x1000, any::<[u8; 12]>())
        .prop_map(|(class, method, id)| Header::new(class, Method::new(method), TransactionId(id)))
}

/// Any attribute but the three that the writer computes.
fn any_attribute() -> impl Strategy<Value = (AttributeType, Vec<u8>)> {
    let kind = prop_oneof![0_u16..0x30, 0x8000_u16..0x8030, any::<u16>()]
        .prop_map(AttributeType)
        .prop_filter("is computed", |kind| {
            ![
                AttributeType::MESSAGE_INTEGRITY,
                AttributeType::MESSAGE_INTEGRITY_SHA256,
                AttributeType::FINGERPRINT,
            ]
            .contains(kind)
        });
    (kind, vec(any::<u8>(), 0..80))
}

fn any_seal() -> impl Strategy<Value = Seal> {
    prop::sample::select(vec![Seal::None, Seal::Sha1, Seal::Sha256, Seal::Both])
}

fn any_draft(attributes: usize) -> impl Strategy<Value = Draft> {
    (any_header(), vec(any_attribute(), 0..attributes), any_seal(), vec(any::<u8>(), 0..100), any::<bool>())
        .prop_map(|(header, attributes, seal, key, fingerprint)| Draft {
            header,
            attributes,
            seal,
            key,
            fingerprint,
        })
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

/// Asks a message for all it can tell.
fn question(bytes: &[u8], key: &[u8]) {
    let Ok(message) = Message::parse(bytes) else { return };
    assert_eq!(message.bytes(), bytes);
    assert_eq!(message.verify(key) == Err(IntegrityError::Missing), message.integrity().is_none());
    for attribute in message.attributes() {
        assert!(message.has(attribute.kind));
        assert!(message.get(attribute.kind).is_some());
        let _ = (decode_address(attribute.value), decode_xor_address(attribute.value, message.header()));
        let _ = (attribute.kind.is_understood(), attribute.kind.is_comprehension_required());
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(draft in any_draft(12), other in vec(any::<u8>(), 101..110)) {
        let bytes = draft.write();
        let message = Message::parse(&bytes).unwrap();
        prop_assert_eq!(message.header(), &draft.header);
        prop_assert_eq!(listed(&message), draft.attributes);
        prop_assert_eq!(message.has_fingerprint(), draft.fingerprint);
        prop_assert_eq!(message.integrity(), draft.seal.integrity());
        if draft.seal == Seal::None {
            prop_assert_eq!(message.verify(&draft.key), Err(IntegrityError::Missing));
        } else {
            prop_assert_eq!(message.verify(&draft.key), Ok(()));
            prop_assert_eq!(message.verify(&other), Err(IntegrityError::Mismatch));
        }
    }

    #[test]
    fn of_equal_attributes_the_first_is_got(draft in any_draft(12), again in vec(any::<u8>(), 0..9)) {
        let mut draft = draft;
        let repeated: Vec<_> = draft.attributes.iter().map(|(kind, _)| (*kind, again.clone())).collect();
        let first = draft.attributes.clone();
        draft.attributes.extend(repeated);
        let bytes = draft.write();
        let message = Message::parse(&bytes).unwrap();
        for (kind, _) in &first {
            let (_, expected) = first.iter().find(|(other, _)| other == kind).unwrap();
            prop_assert_eq!(message.get(*kind), Some(&expected[..]));
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in vec(any::<u8>(), 0..200), key in vec(any::<u8>(), 0..9)) {
        question(&bytes, &key);
        let _ = (kind(&bytes), ChannelData::parse(&bytes), decode_address(&bytes));
    }

    #[test]
    fn no_change_to_a_message_makes_the_parser_panic(
        draft in any_draft(8),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        length in any::<prop::sample::Index>(),
        adjust in any::<bool>(),
    ) {
        let mut bytes = draft.write();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(20 + length.index(bytes.len() - 19));
        if adjust {
            bytes.truncate(bytes.len() / 4 * 4);
            bytes[0] &= 0x3F;
            let body = u16::try_from(bytes.len() - 20).unwrap();
            bytes[2..4].copy_from_slice(&body.to_be_bytes());
        }
        question(&bytes, &draft.key);
    }

    #[test]
    fn what_stands_behind_integrity_does_not_exist(
        covered in vec(any_attribute(), 0..6),
        behind in vec(any_attribute(), 1..6),
        end in vec(any_attribute(), 0..6),
        seal in prop::sample::select(vec![Seal::Sha1, Seal::Sha256, Seal::Both]),
        fingerprint in any::<bool>(),
    ) {
        let key = b"key";
        let mut buffer = vec![0; 8192];
        let writer = append(Writer::new(&mut buffer, any_request()), &covered);
        let writer = match seal {
            Seal::Sha256 => append(writer.integrity_sha256(key), &behind),
            // The later MESSAGE-INTEGRITY-SHA256 counts, and covers what stands before it (RFC 8489 §9).
            Seal::Both => append(append(writer.integrity_sha1(key), &behind).integrity_sha256(key), &end),
            Seal::Sha1 | Seal::None => append(writer.integrity_sha1(key), &behind),
        };
        let writer = if fingerprint { writer.fingerprint() } else { writer };
        let bytes = writer.finish().unwrap();
        let message = Message::parse(bytes).unwrap();
        prop_assert_eq!(listed(&message), covered.clone());
        for (kind, _) in behind.iter().chain(&end) {
            prop_assert_eq!(message.has(*kind), covered.iter().any(|(other, _)| other == kind));
        }
        prop_assert_eq!(message.integrity(), seal.integrity());
        prop_assert_eq!(message.verify(key), Ok(()));
        prop_assert_eq!(message.has_fingerprint(), fingerprint);
    }

    #[test]
    fn any_room_is_enough_or_told(draft in any_draft(6), room in 0_usize..700) {
        let expected = draft.write();
        let mut buffer = vec![0; room];
        let writer = append(Writer::new(&mut buffer, draft.header), &draft.attributes);
        let writer = draft.seal.append(writer, &draft.key);
        let writer = if draft.fingerprint { writer.fingerprint() } else { writer };
        let written = writer.finish();
        let fits = expected.len() <= room;
        prop_assert_eq!(written, if fits { Ok(&expected[..]) } else { Err(Overflow) });
    }

    #[test]
    fn any_address_is_read_back(header in any_header(), address in any_address()) {
        let mut buffer = [0; 128];
        let bytes = Writer::new(&mut buffer, header)
            .xor_address(AttributeType::XOR_PEER_ADDRESS, address)
            .address(AttributeType::MAPPED_ADDRESS, address)
            .finish()
            .unwrap();
        let message = Message::parse(bytes).unwrap();
        let xored = message.get(AttributeType::XOR_PEER_ADDRESS).unwrap();
        let plain = message.get(AttributeType::MAPPED_ADDRESS).unwrap();
        prop_assert_eq!(decode_xor_address(xored, message.header()), Some(address));
        prop_assert_eq!(decode_address(plain), Some(address));
    }

    #[test]
    fn numbers_errors_and_unknown_attributes_are_read_back(
        number in any::<u32>(),
        code in 300_u16..700,
        reason in "\\PC{0,127}",
        unknown in vec(any::<u16>().prop_map(AttributeType), 0..20),
    ) {
        let mut buffer = vec![0; 2048];
        let bytes = Writer::new(&mut buffer, any_request())
            .number(AttributeType::LIFETIME, number)
            .error_code(code, &reason)
            .unknown_attributes(&unknown)
            .flag(AttributeType::DONT_FRAGMENT)
            .finish()
            .unwrap();
        let message = Message::parse(bytes).unwrap();
        prop_assert_eq!(message.get(AttributeType::LIFETIME), Some(&number.to_be_bytes()[..]));
        let error = message.get(AttributeType::ERROR_CODE).unwrap();
        prop_assert_eq!(&error[..2], [0, 0]);
        prop_assert_eq!(u16::from(error[2]) * 100 + u16::from(error[3]), code);
        prop_assert!(error[3] < 100);
        prop_assert_eq!(&error[4..], reason.as_bytes());
        let list = message.get(AttributeType::UNKNOWN_ATTRIBUTES).unwrap();
        let read: Vec<_> =
            list.chunks(2).map(|pair| AttributeType(u16::from_be_bytes([pair[0], pair[1]]))).collect();
        prop_assert_eq!(read, unknown);
        prop_assert_eq!(message.get(AttributeType::DONT_FRAGMENT), Some(&[][..]));
    }

    #[test]
    fn a_data_indication_is_what_the_writer_writes(
        transaction in any::<[u8; 12]>(),
        peer in any_address(),
        payload in vec(any::<u8>(), 0..1500),
    ) {
        let transaction = TransactionId(transaction);
        let mut head = [0xFF; DATA_HEAD_MAX];
        let length = u16::try_from(payload.len()).unwrap();
        let used = data_indication_head(&mut head, transaction, peer, length);
        let mut datagram = head[..used].to_vec();
        datagram.extend(&payload);
        datagram.resize(datagram.len().next_multiple_of(4), 0);

        let mut buffer = vec![0; 2048];
        let written = Writer::new(&mut buffer, Header::new(Class::Indication, Method::DATA, transaction))
            .xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
            .attribute(AttributeType::DATA, &payload)
            .finish();
        prop_assert_eq!(written, Ok(&datagram[..]));
    }

    #[test]
    fn any_channel_data_is_read_back(
        channel in 0x4000_u16..0x8000,
        payload in vec(any::<u8>(), 0..1500),
        padding in 0_usize..8,
    ) {
        let channel = ChannelNumber::new(channel).unwrap();
        let mut datagram = channel_head(channel, u16::try_from(payload.len()).unwrap()).to_vec();
        datagram.extend(&payload);
        datagram.resize(datagram.len() + padding, 0xEE);
        let frame = ChannelData { channel, payload: &payload };
        prop_assert_eq!(ChannelData::parse(&datagram), Some(frame));
        datagram.truncate(4 + payload.len());
        datagram.pop();
        prop_assert_eq!(ChannelData::parse(&datagram), None);
        let expected = if channel <= ChannelNumber::LAST { Kind::ChannelData } else { Kind::OldChannelData };
        prop_assert_eq!(kind(&datagram), expected);
    }
}

proptest! {
    // Each case tries every bit of a message.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_flipped_bit_is_noticed(draft in any_draft(4)) {
        prop_assume!(draft.seal != Seal::None || draft.fingerprint);
        let bytes = draft.write();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let Ok(message) = Message::parse(&flipped) else { continue };
            prop_assert!(!message.has_fingerprint(), "bit {} passed the fingerprint", bit);
            if message.verify(&draft.key).is_ok() {
                // The flip hid FINGERPRINT, or MESSAGE-INTEGRITY-SHA256 while the MESSAGE-INTEGRITY before it
                // still stands: who insists on them notices, and what is vouched for is what was sent.
                let weaker = draft.seal == Seal::Both && message.integrity() == Some(Integrity::Sha1);
                prop_assert!(draft.fingerprint || weaker, "bit {} passed the integrity", bit);
                prop_assert_eq!(listed(&message), draft.attributes.clone());
            }
        }
    }
}

fn any_request() -> Header {
    Header::new(Class::Request, Method::ALLOCATE, TransactionId([3; 12]))
}
