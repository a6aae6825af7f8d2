//! The wire format: what any datagram may be, and that whatever is written is read back.

use std::net::{IpAddr, SocketAddr};

use turnbridge::wire::*;

use super::script::Script;

/// Parses the bytes as they are, and once more with a header that fits them, and asks the message for all
/// it can tell.
pub fn message(bytes: &[u8]) {
    question(bytes);
    let mut fitted = bytes.to_vec();
    fitted.truncate((bytes.len() / 4 * 4).min(20 + 0xFFFC));
    if let Some(body) = fitted.len().checked_sub(20) {
        fitted[0] &= 0x3F;
        fitted[2..4].copy_from_slice(&u16::try_from(body).unwrap().to_be_bytes());
        question(&fitted);
    }
}

fn question(bytes: &[u8]) {
    let Ok(message) = Message::parse(bytes) else { return };
    let header = message.header();
    assert!(bytes[0] < 0x40);
    assert_eq!(message.bytes(), bytes);
    assert_eq!(header.is_classic(), bytes[4..8] != MAGIC_COOKIE.to_be_bytes());
    assert_eq!(message.integrity().is_none(), message.verify(b"key") == Err(IntegrityError::Missing));

    let attributes: Vec<_> = message.attributes().collect();
    let on_the_wire: usize = attributes.iter().map(|a| 4 + a.value.len().next_multiple_of(4)).sum();
    assert!(20 + on_the_wire <= bytes.len());
    for attribute in &attributes {
        let first = attributes.iter().find(|other| other.kind == attribute.kind).unwrap();
        assert_eq!(message.get(attribute.kind), Some(first.value));
        assert!(attribute.kind != AttributeType::FINGERPRINT);
        decode_both(attribute.value, header);
    }

    // Written again and sealed, it says the same, and verifies.
    let mut buffer = vec![0xFF; bytes.len() + 24 + 36 + 8];
    let writer =
        attributes.iter().fold(Writer::new(&mut buffer, *header), |w, a| w.attribute(a.kind, a.value));
    let Ok(again) = writer.integrity_sha1(b"key").integrity_sha256(b"key").fingerprint().finish() else {
        assert!(bytes.len() > 0xFF00, "the only reason not to fit is the length field");
        return;
    };
    let again = Message::parse(again).expect("what is written is a message");
    assert_eq!(again.header(), header);
    assert!(again.attributes().eq(attributes));
    assert!(again.has_fingerprint());
    assert_eq!(again.verify(b"key"), Ok(()));
    assert_eq!(again.verify(b"another"), Err(IntegrityError::Mismatch));
}

/// Reads a ChannelData frame and writes it again.
pub fn channel_data(bytes: &[u8]) {
    let is_channel = matches!(kind(bytes), Kind::ChannelData | Kind::OldChannelData);
    let Some(frame) = ChannelData::parse(bytes) else {
        let announced = bytes.get(2..4).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])));
        assert!(!is_channel || announced.is_none_or(|length| length > bytes.len() - 4));
        return;
    };
    assert!(is_channel);
    assert_eq!(kind(bytes) == Kind::ChannelData, frame.channel <= ChannelNumber::LAST);
    let length = u16::try_from(frame.payload.len()).unwrap();
    assert_eq!(bytes[..4], channel_head(frame.channel, length));
    assert_eq!(bytes[4..4 + frame.payload.len()], *frame.payload);
}

/// Reads an address value under a transaction id made of the first twelve bytes, and writes it again.
pub fn address(bytes: &[u8]) {
    let Some((id, value)) = bytes.split_first_chunk::<12>() else { return };
    decode_both(value, &Header::new(Class::Request, Method::SEND, TransactionId(*id)));
}

fn decode_both(value: &[u8], header: &Header) {
    let plain = decode_address(value);
    let xored = decode_xor_address(value, header);
    assert_eq!(plain.is_some(), xored.is_some(), "the XOR changes no length and no family");
    let (Some(plain), Some(xored)) = (plain, xored) else { return };
    assert_eq!(value.len(), if plain.is_ipv4() { 8 } else { 20 });
    let mut buffer = [0; 68];
    let bytes = Writer::new(&mut buffer, *header)
        .address(AttributeType::MAPPED_ADDRESS, plain)
        .xor_address(AttributeType::XOR_MAPPED_ADDRESS, xored)
        .finish()
        .expect("two addresses fit");
    let message = Message::parse(bytes).expect("what is written is a message");
    // The first byte is ignored when read and zero when written (RFC 8489 §14.1).
    assert_eq!(message.get(AttributeType::MAPPED_ADDRESS).unwrap()[1..], value[1..]);
    assert_eq!(message.get(AttributeType::XOR_MAPPED_ADDRESS).unwrap()[1..], value[1..]);
}

/// Writes what a script of bytes says, into whatever room it says, next to a naive model of the same.
pub fn writer(script: &[u8]) {
    let mut script = Script(script);
    let room = usize::from(script.number()) % 3000;
    let header = script.header();
    let seal = script.byte();
    let key = script.take(usize::from(seal >> 3));
    let mut buffer = vec![0xA5; room];
    let mut writer = Writer::new(&mut buffer, header);
    let mut model: Vec<(AttributeType, Vec<u8>)> = Vec::new();
    while !script.0.is_empty() {
        let step = script.step();
        writer = step.write(writer);
        model.extend(step.expected(&header));
    }
    let body: usize = model.iter().map(|(_, value)| 4 + value.len().next_multiple_of(4)).sum();
    let (sha1, sha256, fingerprint) = (seal & 1 != 0, seal & 2 != 0, seal & 4 != 0);
    let end = 24 * usize::from(sha1) + 36 * usize::from(sha256) + 8 * usize::from(fingerprint);
    let writer = if sha1 { writer.integrity_sha1(key) } else { writer };
    let writer = if sha256 { writer.integrity_sha256(key) } else { writer };
    let writer = if fingerprint { writer.fingerprint() } else { writer };
    let written = writer.finish();
    assert_eq!(written.is_ok(), 20 + body + end <= room);
    let Ok(bytes) = written else { return };
    assert_eq!(bytes.len(), 20 + body + end);

    let message = Message::parse(bytes).expect("what is written is a message");
    assert_eq!(*message.header(), header);
    let listed: Vec<_> = message.attributes().map(|a| (a.kind, a.value.to_vec())).collect();
    assert_eq!(listed, model);
    assert_eq!(message.has_fingerprint(), fingerprint);
    let expected = if sha1 || sha256 { Ok(()) } else { Err(IntegrityError::Missing) };
    assert_eq!(message.verify(key), expected);
    let mut at = 20;
    for (_, value) in &model {
        let padding = at + 4 + value.len()..at + 4 + value.len().next_multiple_of(4);
        at = padding.end;
        assert!(bytes[padding].iter().all(|byte| *byte == 0), "what the buffer held before leaks");
    }
}

/// One thing that is appended.
enum Step<'a> {
    Attribute(AttributeType, &'a [u8]),
    Flag(AttributeType),
    Number(AttributeType, u32),
    Address(AttributeType, SocketAddr),
    XorAddress(AttributeType, SocketAddr),
    Error(u16, String),
    Unknown(Vec<AttributeType>),
}

impl Step<'_> {
    fn write<'b>(&self, writer: Writer<'b>) -> Writer<'b> {
        match self {
            Self::Attribute(kind, value) => writer.attribute(*kind, value),
            Self::Flag(kind) => writer.flag(*kind),
            Self::Number(kind, number) => writer.number(*kind, *number),
            Self::Address(kind, address) => writer.address(*kind, *address),
            Self::XorAddress(kind, address) => writer.xor_address(*kind, *address),
            Self::Error(code, reason) => writer.error_code(*code, reason),
            Self::Unknown(kinds) => writer.unknown_attributes(kinds),
        }
    }

    fn expected(&self, header: &Header) -> Option<(AttributeType, Vec<u8>)> {
        Some(match self {
            Self::Attribute(kind, value) => (*kind, value.to_vec()),
            Self::Flag(kind) => (*kind, Vec::new()),
            Self::Number(kind, number) => (*kind, number.to_be_bytes().to_vec()),
            Self::Address(kind, address) => (*kind, encoded(*address, [0; 16])),
            Self::XorAddress(kind, address) => {
                let mut mask = [0; 16];
                mask[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
                mask[4..].copy_from_slice(&header.transaction.0);
                (*kind, encoded(*address, mask))
            }
            Self::Error(code, reason) => {
                let digits = [u8::try_from(code / 100).unwrap(), u8::try_from(code % 100).unwrap()];
                (AttributeType::ERROR_CODE, [&[0, 0], &digits[..], reason.as_bytes()].concat())
            }
            Self::Unknown(kinds) => {
                let list = kinds.iter().flat_map(|kind| kind.0.to_be_bytes()).collect();
                (AttributeType::UNKNOWN_ATTRIBUTES, list)
            }
        })
    }
}

fn encoded(address: SocketAddr, mask: [u8; 16]) -> Vec<u8> {
    let port = address.port() ^ u16::from_be_bytes([mask[0], mask[1]]);
    let (family, ip) = match address.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let ip = ip.iter().zip(mask).map(|(byte, mask)| byte ^ mask);
    [0, family].into_iter().chain(port.to_be_bytes()).chain(ip).collect()
}

impl<'a> Script<'a> {
    fn header(&mut self) -> Header {
        let class = match self.byte() % 4 {
            0 => Class::Request,
            1 => Class::Indication,
            2 => Class::Success,
            _ => Class::Error,
        };
        Header::new(class, Method::new(self.number()), TransactionId(self.array()))
    }

    /// Any attribute but those that the writer computes.
    fn kind(&mut self) -> AttributeType {
        let computed = [
            AttributeType::MESSAGE_INTEGRITY,
            AttributeType::MESSAGE_INTEGRITY_SHA256,
            AttributeType::FINGERPRINT,
        ];
        let kind = AttributeType(self.number());
        if computed.contains(&kind) { AttributeType::SOFTWARE } else { kind }
    }

    fn address(&mut self) -> SocketAddr {
        let port = self.number();
        if port.is_multiple_of(2) {
            SocketAddr::from((self.array::<4>(), port))
        } else {
            SocketAddr::from((self.array::<16>(), port))
        }
    }

    fn step(&mut self) -> Step<'a> {
        match self.byte() % 8 {
            0 => Step::Flag(self.kind()),
            1 => Step::Number(self.kind(), u32::from_be_bytes(self.array())),
            2 => Step::Address(self.kind(), self.address()),
            3 => Step::XorAddress(self.kind(), self.address()),
            4 => {
                let code = 300 + self.number() % 400;
                let length = usize::from(self.byte());
                Step::Error(code, String::from_utf8_lossy(self.take(length)).into_owned())
            }
            5 => {
                let count = self.byte() % 16;
                Step::Unknown((0..count).map(|_| AttributeType(self.number())).collect())
            }
            _ => {
                let kind = self.kind();
                let length = usize::from(self.number()) % 700;
                Step::Attribute(kind, self.take(length))
            }
        }
    }
}
