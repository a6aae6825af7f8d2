//! Messages as lists of attributes, so that a test can write any of them, right or wrong.

use std::net::{IpAddr, SocketAddr};

use turnbridge::turn::ConnectionId;
use turnbridge::wire::{AttributeType, Header, Writer};

/// One attribute, in the order in which it is written.
#[derive(Clone, Debug)]
pub(crate) enum Attr {
    Raw(AttributeType, Vec<u8>),
    /// An address, XORed.
    Xor(AttributeType, SocketAddr),
    /// MESSAGE-INTEGRITY with this key, over what stands before it.
    Sha1(Vec<u8>),
    /// MESSAGE-INTEGRITY-SHA256 with this key, over what stands before it.
    Sha256(Vec<u8>),
    Fingerprint,
}

/// Writes a message. Nothing is added that the list does not name.
pub(crate) fn build(header: Header, attributes: &[Attr]) -> Vec<u8> {
    let mut buffer = vec![0xAA; 70_000];
    let mut writer = Writer::new(&mut buffer, header);
    for attribute in attributes {
        writer = match attribute {
            Attr::Raw(kind, value) => writer.attribute(*kind, value),
            Attr::Xor(kind, address) => writer.xor_address(*kind, *address),
            Attr::Sha1(key) => writer.integrity_sha1(key),
            Attr::Sha256(key) => writer.integrity_sha256(key),
            Attr::Fingerprint => writer.fingerprint(),
        };
    }
    writer.finish().unwrap().to_vec()
}

pub(crate) fn raw(kind: AttributeType, value: &[u8]) -> Attr {
    Attr::Raw(kind, value.to_vec())
}

/// REQUESTED-TRANSPORT: UDP.
pub(crate) fn udp() -> Attr {
    raw(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
}

/// REQUESTED-TRANSPORT: TCP.
pub(crate) fn tcp() -> Attr {
    raw(AttributeType::REQUESTED_TRANSPORT, &[6, 0, 0, 0])
}

pub(crate) fn connection_id(ConnectionId(id): ConnectionId) -> Attr {
    raw(AttributeType::CONNECTION_ID, &id.to_be_bytes())
}

pub(crate) fn lifetime(seconds: u32) -> Attr {
    raw(AttributeType::LIFETIME, &seconds.to_be_bytes())
}

/// REQUESTED-ADDRESS-FAMILY.
pub(crate) fn family(number: u8) -> Attr {
    raw(AttributeType::REQUESTED_ADDRESS_FAMILY, &[number, 0, 0, 0])
}

/// ADDITIONAL-ADDRESS-FAMILY.
pub(crate) fn additional(number: u8) -> Attr {
    raw(AttributeType::ADDITIONAL_ADDRESS_FAMILY, &[number, 0, 0, 0])
}

/// EVEN-PORT without a reservation.
pub(crate) fn even() -> Attr {
    raw(AttributeType::EVEN_PORT, &[0x00])
}

/// EVEN-PORT that reserves the next port.
pub(crate) fn even_and_next() -> Attr {
    raw(AttributeType::EVEN_PORT, &[0x80])
}

pub(crate) fn token(token: &[u8]) -> Attr {
    raw(AttributeType::RESERVATION_TOKEN, token)
}

pub(crate) fn dont_fragment() -> Attr {
    raw(AttributeType::DONT_FRAGMENT, &[])
}

pub(crate) fn xor_peer(peer: SocketAddr) -> Attr {
    Attr::Xor(AttributeType::XOR_PEER_ADDRESS, peer)
}

pub(crate) fn channel(number: u16) -> Attr {
    let [high, low] = number.to_be_bytes();
    raw(AttributeType::CHANNEL_NUMBER, &[high, low, 0, 0])
}

pub(crate) fn data(payload: &[u8]) -> Attr {
    raw(AttributeType::DATA, payload)
}

/// A ChannelData frame as a client over UDP sends it.
pub(crate) fn channel_data(channel: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    [&channel.to_be_bytes(), &length.to_be_bytes(), payload].concat()
}

pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}
