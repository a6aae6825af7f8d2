//! MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 and FINGERPRINT (RFC 8489 §14.5 to §14.7).

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::header::Header;

/// The length of an attribute's type and length fields.
pub(super) const TLV: usize = 4;
/// The whole FINGERPRINT attribute.
pub(super) const FINGERPRINT_TLV: usize = TLV + 4;

/// What a request carries to prove that its sender knows the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// HMAC-SHA1, 20 bytes.
    Sha1,
    /// HMAC-SHA256, 32 bytes.
    Sha256,
}

/// Why an integrity attribute did not prove anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegrityError {
    /// There is none.
    Missing,
    /// Its length is not one the RFC allows.
    Length,
    /// It was made with another key, or the message was changed on its way.
    Mismatch,
}

/// HMAC-SHA1 of a message whose integrity attribute starts at `end`.
pub(super) fn hmac_sha1(message: &[u8], end: usize, key: &[u8]) -> [u8; 20] {
    authenticate::<Hmac<Sha1>>(message, end, 20, key).into()
}

/// HMAC-SHA256 of a message whose integrity attribute starts at `end`.
pub(super) fn hmac_sha256(message: &[u8], end: usize, key: &[u8]) -> [u8; 32] {
    authenticate::<Hmac<Sha256>>(message, end, 32, key).into()
}

/// Whether the message carries the HMAC it should, in constant time.
pub(super) fn matches(expected: &[u8], carried: &[u8]) -> bool {
    expected.ct_eq(carried).into()
}

/// CRC-32 of all before a FINGERPRINT, XORed as RFC 8489 §14.7 wants it.
pub(super) fn fingerprint(covered: &[u8]) -> [u8; 4] {
    (crc32fast::hash(covered) ^ 0x5354_554E).to_be_bytes()
}

/// The header's length field counts up to the end of the integrity attribute while the HMAC is taken,
/// whatever follows it in the message (RFC 8489 §14.5).
fn authenticate<M: Mac + KeyInit>(
    message: &[u8],
    end: usize,
    value_length: usize,
    key: &[u8],
) -> hmac::digest::Output<M> {
    let body = end + TLV + value_length - Header::LENGTH;
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("an HMAC takes a key of any length");
    mac.update(&message[..2]);
    mac.update(&u16::try_from(body).unwrap_or(u16::MAX).to_be_bytes());
    mac.update(&message[4..end]);
    mac.finalize().into_bytes()
}
