//! The head of a Data indication: all of it but the payload, which stays where it was received.

use std::net::SocketAddr;

use super::address::{AddressFamily, EncodedAddress};
use super::attribute::AttributeType;
use super::header::{Class, Header, Method, TransactionId};
use super::integrity::TLV;

/// The longest head: header, XOR-PEER-ADDRESS with IPv6, and the type and length of DATA.
pub const DATA_HEAD_MAX: usize = Header::LENGTH + TLV + 20 + TLV;

/// Writes what stands in front of a payload of `length` bytes from `peer`; answers the head's length.
/// The payload and its padding to a multiple of four follow it in the datagram (RFC 8656 §11.4).
pub fn data_indication_head(
    buffer: &mut [u8; DATA_HEAD_MAX],
    transaction: TransactionId,
    peer: SocketAddr,
    length: u16,
) -> usize {
    let header = Header::new(Class::Indication, Method::DATA, transaction);
    let address = EncodedAddress::xored(peer, &header);
    let (address_length, fixed): (u16, u16) = match AddressFamily::of(peer.ip()) {
        AddressFamily::V4 => (8, 16),
        AddressFamily::V6 => (20, 28),
    };
    // 65,507 bytes are the most that UDP carries, and no indication with them fits into one datagram:
    // the sum saturates, and the send fails as too long.
    let body = fixed.saturating_add(length.checked_next_multiple_of(4).unwrap_or(u16::MAX));
    let start_of_data = Header::LENGTH + TLV + usize::from(address_length);
    buffer[..Header::LENGTH].copy_from_slice(&header.encode(body));
    buffer[20..22].copy_from_slice(&AttributeType::XOR_PEER_ADDRESS.0.to_be_bytes());
    buffer[22..24].copy_from_slice(&address_length.to_be_bytes());
    buffer[24..start_of_data].copy_from_slice(address.as_bytes());
    buffer[start_of_data..start_of_data + 2].copy_from_slice(&AttributeType::DATA.0.to_be_bytes());
    buffer[start_of_data + 2..start_of_data + 4].copy_from_slice(&length.to_be_bytes());
    start_of_data + TLV
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Message, decode_xor_address};

    #[test]
    fn head_payload_and_padding_make_a_data_indication() {
        for (peer, payload) in
            [("192.0.2.7:9", &b"hello"[..]), ("[2001:db8::9]:65535", b""), ("1.2.3.4:5", b"four")]
        {
            let peer = peer.parse().unwrap();
            let mut head = [0xFF; DATA_HEAD_MAX];
            let length = data_indication_head(
                &mut head,
                TransactionId([9; 12]),
                peer,
                u16::try_from(payload.len()).unwrap(),
            );
            let mut datagram = head[..length].to_vec();
            datagram.extend_from_slice(payload);
            datagram.resize(datagram.len().next_multiple_of(4), 0);
            let message = Message::parse(&datagram).unwrap();
            assert_eq!(message.header().class, Class::Indication);
            assert_eq!(message.header().method, Method::DATA);
            assert_eq!(message.get(AttributeType::DATA), Some(payload));
            let address = message.get(AttributeType::XOR_PEER_ADDRESS).unwrap();
            assert_eq!(decode_xor_address(address, message.header()), Some(peer));
        }
    }
}
