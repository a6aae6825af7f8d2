//! Building a STUN message in a buffer of the caller's.

use std::net::SocketAddr;

use super::address::EncodedAddress;
use super::attribute::AttributeType;
use super::header::Header;
use super::integrity::{self, FINGERPRINT_TLV};

/// The buffer was too small for all that was written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// Appends attributes to a message. What does not fit is remembered and told by [`Writer::finish`], so
/// that a message can be written in one chain. Padding is always zero (CVE-2020-4067).
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    header: Header,
    length: usize,
    overflow: bool,
}

impl<'b> Writer<'b> {
    /// Starts a message with this header.
    pub fn new(buffer: &'b mut [u8], header: Header) -> Self {
        let overflow = buffer.len() < Header::LENGTH;
        let mut writer = Self { buffer, header, length: Header::LENGTH, overflow };
        writer.write_header(0);
        writer
    }

    /// Appends an attribute with this value.
    pub fn attribute(mut self, kind: AttributeType, value: &[u8]) -> Self {
        self.push(kind, &[value]);
        self
    }

    /// Appends an attribute without a value.
    pub fn flag(self, kind: AttributeType) -> Self {
        self.attribute(kind, &[])
    }

    /// Appends an attribute that is one big-endian number.
    pub fn number(self, kind: AttributeType, value: u32) -> Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Appends an address attribute in clear.
    pub fn address(self, kind: AttributeType, address: SocketAddr) -> Self {
        self.attribute(kind, EncodedAddress::plain(address).as_bytes())
    }

    /// Appends an address attribute XORed with this message's cookie and transaction id.
    pub fn xor_address(self, kind: AttributeType, address: SocketAddr) -> Self {
        let encoded = EncodedAddress::xored(address, &self.header);
        self.attribute(kind, encoded.as_bytes())
    }

    /// Appends ERROR-CODE. The reason phrase is for people and may be empty (RFC 8489 §14.8).
    pub fn error_code(mut self, code: u16, reason: &str) -> Self {
        let [class, number] = [code / 100, code % 100].map(|part| part.to_be_bytes()[1]);
        self.push(AttributeType::ERROR_CODE, &[&[0, 0, class, number], reason.as_bytes()]);
        self
    }

    /// Appends UNKNOWN-ATTRIBUTES.
    pub fn unknown_attributes(mut self, unknown: &[AttributeType]) -> Self {
        let Ok(length) = u16::try_from(unknown.len() * 2) else {
            self.overflow = true;
            return self;
        };
        self.push_head(AttributeType::UNKNOWN_ATTRIBUTES, length);
        for kind in unknown {
            self.push_bytes(&kind.0.to_be_bytes());
        }
        self.pad();
        self
    }

    /// Appends MESSAGE-INTEGRITY over all that was written.
    pub fn integrity_sha1(mut self, key: &[u8]) -> Self {
        if !self.overflow {
            let hmac = integrity::hmac_sha1(self.buffer, self.length, key);
            self.push(AttributeType::MESSAGE_INTEGRITY, &[&hmac]);
        }
        self
    }

    /// Appends MESSAGE-INTEGRITY-SHA256 over all that was written.
    pub fn integrity_sha256(mut self, key: &[u8]) -> Self {
        if !self.overflow {
            let hmac = integrity::hmac_sha256(self.buffer, self.length, key);
            self.push(AttributeType::MESSAGE_INTEGRITY_SHA256, &[&hmac]);
        }
        self
    }

    /// Appends FINGERPRINT, which must be the last attribute.
    pub fn fingerprint(mut self) -> Self {
        if !self.overflow {
            self.write_header(FINGERPRINT_TLV);
            let crc = integrity::fingerprint(&self.buffer[..self.length]);
            self.push(AttributeType::FINGERPRINT, &[&crc]);
        }
        self
    }

    /// The finished message.
    pub fn finish(mut self) -> Result<&'b [u8], Overflow> {
        self.write_header(0);
        if self.overflow {
            return Err(Overflow);
        }
        let Self { buffer, length, .. } = self;
        Ok(&buffer[..length])
    }

    fn push(&mut self, kind: AttributeType, parts: &[&[u8]]) {
        let Ok(length) = u16::try_from(parts.iter().map(|part| part.len()).sum::<usize>()) else {
            self.overflow = true;
            return;
        };
        self.push_head(kind, length);
        for part in parts {
            self.push_bytes(part);
        }
        self.pad();
    }

    fn push_head(&mut self, kind: AttributeType, length: u16) {
        self.push_bytes(&kind.0.to_be_bytes());
        self.push_bytes(&length.to_be_bytes());
    }

    fn push_bytes(&mut self, bytes: &[u8]) {
        match self.buffer.get_mut(self.length..self.length + bytes.len()) {
            Some(room) if !self.overflow => {
                room.copy_from_slice(bytes);
                self.length += bytes.len();
            }
            Some(_) | None => self.overflow = true,
        }
    }

    fn pad(&mut self) {
        let padding = self.length.next_multiple_of(4) - self.length;
        self.push_bytes(&[0; 3][..padding]);
    }

    /// Writes the header with a length that counts what is there and `more` bytes to come.
    fn write_header(&mut self, more: usize) {
        let body = self.length + more - Header::LENGTH;
        match (self.buffer.first_chunk_mut(), u16::try_from(body)) {
            (Some(head), Ok(body)) => *head = self.header.encode(body),
            (Some(_) | None, _) => self.overflow = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Class, Method, TransactionId};

    fn header() -> Header {
        Header::new(Class::Success, Method::BINDING, TransactionId([1; 12]))
    }

    #[test]
    fn padding_is_zero_whatever_the_buffer_held() {
        let mut buffer = [0xFF; 64];
        let bytes =
            Writer::new(&mut buffer, header()).attribute(AttributeType::SOFTWARE, b"abcde").finish().unwrap();
        assert_eq!(bytes.len(), 32);
        assert_eq!(bytes[29..], [0, 0, 0]);
    }

    #[test]
    fn what_does_not_fit_is_told_at_the_end() {
        for size in 0..72 {
            let mut buffer = vec![0; size];
            let result = Writer::new(&mut buffer, header())
                .attribute(AttributeType::REALM, b"realm")
                .integrity_sha1(b"key")
                .fingerprint()
                .finish();
            assert_eq!(result.is_ok(), size >= 20 + 12 + 24 + 8, "{size} bytes");
        }
    }
}
