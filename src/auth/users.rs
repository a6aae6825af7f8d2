//! Static users: a name with a password that does not expire, for clients that cannot be given minted credentials.

use super::{Key, PasswordAlgorithm, Secret, name};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// A user as configured. The name is prepared as OpaqueString already (`name::opaque_string`).
#[derive(Clone, Debug)]
pub struct User {
    /// What the client sends as USERNAME.
    pub name: String,
    /// What proves it.
    pub proof: Proof,
}

/// How a static user's keys are known.
#[derive(Clone, Debug)]
pub enum Proof {
    /// In plain, prepared as OpaqueString: both keys can be made from it.
    Password(Secret),
    /// Hashed beforehand for this realm. Without a SHA-256 key the user cannot answer that algorithm, and vice versa.
    Keys {
        /// `MD5(name:realm:password)`, which every client can use.
        md5: Option<Key>,
        /// `SHA-256(name:realm:password)`, for RFC 8489 clients.
        sha256: Option<Key>,
    },
}

/// All static users of a realm, found by name or by USERHASH. Only keys are kept, no passwords.
#[derive(Debug, Default)]
pub(super) struct Users {
    by_name: HashMap<String, UserKeys>,
    by_hash: HashMap<[u8; 32], String>,
}

#[derive(Debug)]
struct UserKeys {
    md5: Option<Key>,
    sha256: Option<Key>,
}

/// A found user; its name lives as long as the snapshot, not as long as the datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct StaticUser<'a> {
    keys: &'a UserKeys,
}

impl StaticUser<'_> {
    pub(super) fn key(&self, algorithm: PasswordAlgorithm) -> Option<Key> {
        match algorithm {
            PasswordAlgorithm::Md5 => self.keys.md5.clone(),
            PasswordAlgorithm::Sha256 => self.keys.sha256.clone(),
        }
    }
}

impl Users {
    /// Of two users with one name the later one counts; the configuration refuses that beforehand.
    pub(super) fn new(users: Vec<User>, realm: &str) -> Self {
        let mut all = Self::default();
        for User { name, proof } in users {
            let keys = match proof {
                Proof::Keys { md5, sha256 } => UserKeys { md5, sha256 },
                Proof::Password(password) => {
                    let derive =
                        |algorithm| Key::derive(algorithm, &name, realm, password.expose().as_bytes());
                    UserKeys {
                        md5: Some(derive(PasswordAlgorithm::Md5)),
                        sha256: Some(derive(PasswordAlgorithm::Sha256)),
                    }
                }
            };
            all.by_hash.insert(userhash(&name, realm), name.clone());
            all.by_name.insert(name, keys);
        }
        all
    }

    pub(super) fn find(&self, name: &str) -> Option<StaticUser<'_>> {
        self.by_name.get(name).map(|keys| StaticUser { keys })
    }

    pub(super) fn have_sha256_keys(&self) -> bool {
        self.by_name.values().all(|keys| keys.sha256.is_some())
    }

    pub(super) fn find_userhash(&self, hash: &[u8; 32]) -> Option<&str> {
        self.by_hash.get(hash).map(String::as_str)
    }
}

/// `SHA-256(OpaqueString(username) ":" OpaqueString(realm))` (RFC 8489 §14.4).
pub fn userhash(username: &str, realm: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [username, ":", realm] {
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

impl User {
    /// Checks and prepares a configured name and password (RFC 8265 §4.2).
    pub fn with_password(name: &str, password: &Secret) -> Result<Self, (&'static str, name::BadName)> {
        let name = Self::prepare_name(name)?;
        let password = name::opaque_string(password.expose()).map_err(|bad| ("password", bad))?;
        Ok(Self { name, proof: Proof::Password(Secret::new(password)) })
    }

    /// Checks and prepares a configured name whose keys were hashed beforehand.
    pub fn with_keys(
        name: &str,
        md5: Option<Key>,
        sha256: Option<Key>,
    ) -> Result<Self, (&'static str, name::BadName)> {
        Ok(Self { name: Self::prepare_name(name)?, proof: Proof::Keys { md5, sha256 } })
    }

    fn prepare_name(name: &str) -> Result<String, (&'static str, name::BadName)> {
        let prepared = name::opaque_string(name).map_err(|bad| ("name", bad))?;
        name::check_username(prepared.as_bytes()).map_err(|bad| ("name", bad))?;
        Ok(prepared.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::name::BadName;

    #[test]
    fn a_userhash_finds_its_user_and_no_other() {
        let users = vec![User::with_password("alice", &Secret::new("pw")).unwrap()];
        let users = Users::new(users, "example.org");
        // Recomputed with `printf alice:example.org | sha256sum`.
        let hash = userhash("alice", "example.org");
        assert_eq!(
            crate::auth::encoding::hex(&hash),
            "435b7933096a304d3c734cfb833ec9075bd47ab1c0160321aed31c06a8c7009e"
        );
        assert_eq!(users.find_userhash(&hash), Some("alice"));
        assert_eq!(users.find_userhash(&userhash("alice", "example.com")), None);
        assert_eq!(users.find_userhash(&userhash("bob", "example.org")), None);
    }

    #[test]
    fn names_and_passwords_are_prepared_before_they_are_hashed() {
        let decomposed = User::with_password("A\u{30A}sa", &Secret::new("pass\u{A0}word")).unwrap();
        assert_eq!(decomposed.name, "\u{C5}sa");
        let Proof::Password(password) = &decomposed.proof else { panic!("a password") };
        assert_eq!(password.expose(), "pass word");
        let bad = |name: &str, password: &str| User::with_password(name, &Secret::new(password)).unwrap_err();
        assert_eq!(bad("", "x"), ("name", BadName::Empty));
        assert_eq!(bad(&"a".repeat(509), "x"), ("name", BadName::TooLong));
        assert_eq!(bad("alice", ""), ("password", BadName::Empty));
        assert_eq!(bad("alice", "a\nb"), ("password", BadName::ForbiddenCharacter));
    }
}
