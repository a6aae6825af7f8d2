//! Reading a STUN message without copying it.

use super::attribute::{Attribute, AttributeType};
use super::header::Header;
use super::integrity::{self, FINGERPRINT_TLV, Integrity, IntegrityError, TLV};

/// Why a datagram is not a STUN message. All of these are dropped without an answer (RFC 8489 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// Shorter than a header.
    TooShort,
    /// The first two bits are set.
    NotStun,
    /// The length field is no multiple of four, or not the length of what follows.
    Length,
    /// An attribute reaches beyond the message.
    AttributeOverrun,
    /// FINGERPRINT is not four bytes long, not the last attribute, or not the right checksum.
    Fingerprint,
}

/// A STUN message whose framing has been checked. Attributes that nobody vouches for, because they stand
/// behind MESSAGE-INTEGRITY, are not visible (RFC 8489 §14.5).
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    header: Header,
    /// Where the attributes end that are covered by integrity, or the message if there is none.
    visible: usize,
    sha1: Option<Attribute<'a>>,
    sha256: Option<(usize, Attribute<'a>)>,
    fingerprint: bool,
}

impl<'a> Message<'a> {
    /// Checks framing and fingerprint of a whole message: `bytes` must end where the message ends.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (head, body) = bytes.split_first_chunk::<{ Header::LENGTH }>().ok_or(ParseError::TooShort)?;
        if head[0] & 0xC0 != 0 {
            return Err(ParseError::NotStun);
        }
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if length % 4 != 0 || length != body.len() {
            return Err(ParseError::Length);
        }
        let mut message = Self {
            bytes,
            header: Header::decode(head),
            visible: bytes.len(),
            sha1: None,
            sha256: None,
            fingerprint: false,
        };
        message.scan()?;
        Ok(message)
    }

    /// Type, cookie and transaction id.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The message as it came.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// All visible attributes in order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> {
        Attributes { bytes: &self.bytes[..self.visible], at: Header::LENGTH }
            .map_while(Result::ok)
            .map(|(_, attribute)| attribute)
    }

    /// The value of the first visible attribute of this type; later ones do not count (RFC 8489 §14).
    pub fn get(&self, kind: AttributeType) -> Option<&'a [u8]> {
        self.attributes().find(|attribute| attribute.kind == kind).map(|attribute| attribute.value)
    }

    /// Whether a visible attribute of this type is there.
    pub fn has(&self, kind: AttributeType) -> bool {
        self.get(kind).is_some()
    }

    /// Whether the message ended in a (right) FINGERPRINT.
    pub fn has_fingerprint(&self) -> bool {
        self.fingerprint
    }

    /// Which integrity attribute decides: the SHA-256 one where both are there (RFC 8489 §9.2.4).
    pub fn integrity(&self) -> Option<Integrity> {
        match (self.sha256, self.sha1) {
            (Some(_), _) => Some(Integrity::Sha256),
            (None, Some(_)) => Some(Integrity::Sha1),
            (None, None) => None,
        }
    }

    /// Whether the message's integrity attribute was made with this key, in constant time.
    pub fn verify(&self, key: &[u8]) -> Result<(), IntegrityError> {
        let matches = match (self.sha256, self.sha1) {
            (Some((at, attribute)), _) => {
                // A usage must say so to allow a truncated one, and RFC 8656 does not (RFC 8489 §14.6).
                if attribute.value.len() != 32 {
                    return Err(IntegrityError::Length);
                }
                integrity::matches(&integrity::hmac_sha256(self.bytes, at, key), attribute.value)
            }
            (None, Some(attribute)) => {
                if attribute.value.len() != 20 {
                    return Err(IntegrityError::Length);
                }
                integrity::matches(&integrity::hmac_sha1(self.bytes, self.visible, key), attribute.value)
            }
            (None, None) => return Err(IntegrityError::Missing),
        };
        if matches { Ok(()) } else { Err(IntegrityError::Mismatch) }
    }

    /// Walks all attributes once: finds where the visible ones end, and checks the fingerprint.
    fn scan(&mut self) -> Result<(), ParseError> {
        for item in (Attributes { bytes: self.bytes, at: Header::LENGTH }) {
            let (at, attribute) = item?;
            match attribute.kind {
                AttributeType::MESSAGE_INTEGRITY if self.sha1.is_none() && self.sha256.is_none() => {
                    self.visible = at;
                    self.sha1 = Some(attribute);
                }
                AttributeType::MESSAGE_INTEGRITY_SHA256 if self.sha256.is_none() => {
                    self.visible = self.visible.min(at);
                    self.sha256 = Some((at, attribute));
                }
                AttributeType::FINGERPRINT => {
                    self.check_fingerprint(at, attribute)?;
                    self.visible = self.visible.min(at);
                    self.fingerprint = true;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_fingerprint(&self, at: usize, attribute: Attribute<'_>) -> Result<(), ParseError> {
        let is_last = at + FINGERPRINT_TLV == self.bytes.len();
        if is_last && attribute.value == integrity::fingerprint(&self.bytes[..at]) {
            Ok(())
        } else {
            Err(ParseError::Fingerprint)
        }
    }
}

/// Walks type-length-value triples, each with the offset where it starts.
struct Attributes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(usize, Attribute<'a>), ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let start = self.at;
        let Some((head, value)) = rest.split_first_chunk::<TLV>() else {
            return Some(Err(ParseError::AttributeOverrun));
        };
        let kind = AttributeType(u16::from_be_bytes([head[0], head[1]]));
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        // The message's length is a multiple of four, so the padding is inside whenever the value is.
        self.at = start + TLV + length.next_multiple_of(4);
        Some(match value.get(..length) {
            Some(value) => Ok((start, Attribute { kind, value })),
            None => Err(ParseError::AttributeOverrun),
        })
    }
}
