//! A message from the server, read back.

use std::net::SocketAddr;

use turnbridge::turn::ConnectionId;
use turnbridge::wire::{
    AttributeType, Class, Header, Integrity, Message, decode_address, decode_xor_address,
};

#[derive(Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        Message::parse(bytes).expect("what the server sends is well-formed");
        Self { bytes: bytes.to_vec() }
    }

    fn message(&self) -> Message<'_> {
        Message::parse(&self.bytes).unwrap()
    }

    pub(crate) fn header(&self) -> Header {
        *self.message().header()
    }

    /// The error code; 0 for success.
    pub(crate) fn code(&self) -> u16 {
        match (self.header().class, self.message().get(AttributeType::ERROR_CODE)) {
            (Class::Success, None) => 0,
            (Class::Error, Some([0, 0, class @ 3..=6, number @ 0..=99, ..])) => {
                u16::from(*class) * 100 + u16::from(*number)
            }
            _ => panic!("neither success nor error: {self:?}"),
        }
    }

    /// The reason phrase of an error.
    pub(crate) fn phrase(&self) -> String {
        String::from_utf8(self.get(AttributeType::ERROR_CODE).unwrap()[4..].to_vec()).unwrap()
    }

    pub(crate) fn get(&self, kind: AttributeType) -> Option<Vec<u8>> {
        self.message().get(kind).map(<[u8]>::to_vec)
    }

    pub(crate) fn has(&self, kind: AttributeType) -> bool {
        self.message().has(kind)
    }

    pub(crate) fn has_fingerprint(&self) -> bool {
        self.message().has_fingerprint()
    }

    /// All attributes in order, integrity and fingerprint left out.
    pub(crate) fn kinds(&self) -> Vec<AttributeType> {
        self.message().attributes().map(|attribute| attribute.kind).collect()
    }

    pub(crate) fn xor_addresses(&self, kind: AttributeType) -> Vec<SocketAddr> {
        let message = self.message();
        let of_kind = message.attributes().filter(|attribute| attribute.kind == kind);
        of_kind.map(|attribute| decode_xor_address(attribute.value, message.header()).unwrap()).collect()
    }

    pub(crate) fn address(&self, kind: AttributeType) -> Option<SocketAddr> {
        self.message().get(kind).and_then(decode_address)
    }

    /// All of a kind, in order.
    pub(crate) fn addresses(&self, kind: AttributeType) -> Vec<SocketAddr> {
        let message = self.message();
        let of_kind = message.attributes().filter(|attribute| attribute.kind == kind);
        of_kind.map(|attribute| decode_address(attribute.value).unwrap()).collect()
    }

    /// XOR-RELAYED-ADDRESS, in order.
    pub(crate) fn relayed(&self) -> Vec<SocketAddr> {
        self.xor_addresses(AttributeType::XOR_RELAYED_ADDRESS)
    }

    /// XOR-MAPPED-ADDRESS.
    pub(crate) fn mapped(&self) -> SocketAddr {
        self.xor_addresses(AttributeType::XOR_MAPPED_ADDRESS)[0]
    }

    /// XOR-PEER-ADDRESS.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.xor_addresses(AttributeType::XOR_PEER_ADDRESS)[0]
    }

    /// CONNECTION-ID.
    pub(crate) fn connection(&self) -> ConnectionId {
        let id = self.get(AttributeType::CONNECTION_ID).expect("a connection id");
        ConnectionId(u32::from_be_bytes(id.try_into().unwrap()))
    }

    /// LIFETIME.
    pub(crate) fn lifetime(&self) -> u32 {
        u32::from_be_bytes(self.get(AttributeType::LIFETIME).unwrap().try_into().unwrap())
    }

    /// UNKNOWN-ATTRIBUTES.
    pub(crate) fn unknown(&self) -> Vec<u16> {
        let list = self.get(AttributeType::UNKNOWN_ATTRIBUTES).unwrap();
        list.chunks_exact(2).map(|kind| u16::from_be_bytes([kind[0], kind[1]])).collect()
    }

    /// Which integrity the message carries, which must be right and the only one.
    pub(crate) fn proof(&self, key: &[u8]) -> Option<Integrity> {
        let integrity = self.message().integrity()?;
        assert_eq!(self.message().verify(key), Ok(()), "integrity of {self:?}");
        let [sha1, sha256] = [0x0008, 0x001C].map(|kind| self.attribute_types().contains(&kind));
        assert!(sha1 != sha256, "one integrity attribute, not both (RFC 8489 §9.2.4)");
        Some(integrity)
    }

    /// RFC 8489 §5, §6.3.1.1: method, cookie and transaction are the request's.
    pub(crate) fn assert_answers(&self, request: &[u8]) {
        let (ours, theirs) = (self.header(), *Message::parse(request).unwrap().header());
        assert!(matches!(ours.class, Class::Success | Class::Error));
        assert_eq!(
            (ours.method, ours.cookie, ours.transaction),
            (theirs.method, theirs.cookie, theirs.transaction)
        );
    }

    /// The types of all attributes there are, read without the help of the code under test.
    fn attribute_types(&self) -> Vec<u16> {
        let mut rest = &self.bytes[20..];
        let mut types = Vec::new();
        while let [t0, t1, l0, l1, ..] = rest {
            types.push(u16::from_be_bytes([*t0, *t1]));
            let length = usize::from(u16::from_be_bytes([*l0, *l1]));
            rest = &rest[4 + length.next_multiple_of(4)..];
        }
        types
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let message = self.message();
        write!(f, "{:?} {:?}", message.header(), message.attributes().collect::<Vec<_>>())
    }
}
