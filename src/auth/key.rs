//! The long-term key that MESSAGE-INTEGRITY is computed with (RFC 8489 §9.2.2).

use md5::Md5;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// How a password becomes a key (RFC 8489 §18.5). The client chooses among what PASSWORD-ALGORITHMS offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PasswordAlgorithm {
    /// The only one RFC 5389 clients know, and the default when nothing is named.
    Md5,
    /// RFC 8489 §18.5.1.2.
    Sha256,
}

impl PasswordAlgorithm {
    /// Length of the key, which is the length of the hash.
    pub const fn key_len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha256 => 32,
        }
    }
}

/// A long-term key: 16 bytes of MD5 or 32 of SHA-256. Never printed, compared in constant time, wiped on drop.
#[derive(Clone)]
pub struct Key {
    bytes: [u8; 32],
    algorithm: PasswordAlgorithm,
}

impl Key {
    /// `hash(username ":" realm ":" password)`. The three are taken as they are: see `name::opaque_string`.
    pub fn derive(algorithm: PasswordAlgorithm, username: &str, realm: &str, password: &[u8]) -> Self {
        let parts: [&[u8]; 5] = [username.as_bytes(), b":", realm.as_bytes(), b":", password];
        let mut bytes = [0; 32];
        match algorithm {
            PasswordAlgorithm::Md5 => bytes[..16].copy_from_slice(&hash_parts::<Md5>(&parts)),
            PasswordAlgorithm::Sha256 => bytes.copy_from_slice(&hash_parts::<Sha256>(&parts)),
        }
        Self { bytes, algorithm }
    }

    /// Reads a key that was hashed elsewhere: 32 hexadecimal digits for MD5, 64 for SHA-256.
    pub fn from_hex(algorithm: PasswordAlgorithm, text: &str) -> Option<Self> {
        let mut key = Self { bytes: [0; 32], algorithm };
        super::encoding::hex_decode(text, &mut key.bytes[..algorithm.key_len()])?;
        Some(key)
    }

    /// The key for HMAC.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.key_len()]
    }

    /// What made this key; an allocation may not change it half-way.
    pub fn algorithm(&self) -> PasswordAlgorithm {
        self.algorithm
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for Key {}

impl Drop for Key {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

fn hash_parts<H: Digest>(parts: &[&[u8]]) -> sha2::digest::Output<H> {
    let mut hash = H::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::encoding::hex;

    #[test]
    fn keys_are_the_hash_of_user_realm_and_password() {
        // RFC 8489 §9.2.2 gives the MD5 one; both recomputed with `printf user:realm:pass | md5sum` / `sha256sum`.
        let md5 = Key::derive(PasswordAlgorithm::Md5, "user", "realm", b"pass");
        assert_eq!(hex(md5.as_bytes()), "8493fbc53ba582fb4c044c456bdc40eb");
        let sha256 = Key::derive(PasswordAlgorithm::Sha256, "user", "realm", b"pass");
        assert_eq!(
            hex(sha256.as_bytes()),
            "07e934117abd40836e7c6329b54731b2b2d2a5f9a71f544922d75e0730d8251b"
        );
    }

    #[test]
    fn a_key_read_from_hex_equals_the_derived_one() {
        for algorithm in [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256] {
            let derived = Key::derive(algorithm, "user", "realm", b"pass");
            let upper = hex(derived.as_bytes()).to_uppercase();
            assert_eq!(Key::from_hex(algorithm, &upper), Some(derived.clone()));
            assert_eq!(Key::from_hex(algorithm, &upper[1..]), None, "odd length");
            assert_eq!(Key::from_hex(algorithm, &upper.replace(&upper[..1], "g")), None, "not a digit");
            assert_ne!(Key::derive(algorithm, "user", "realm", b"pasS"), derived);
        }
    }

    #[test]
    fn debug_never_shows_a_key() {
        let key = Key::derive(PasswordAlgorithm::Md5, "user", "realm", b"pass");
        assert_eq!(format!("{key:?}"), "Key(..)");
    }
}
