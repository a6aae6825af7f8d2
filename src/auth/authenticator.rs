//! The snapshot of all credentials that requests are judged by.

use super::{
    Key, PasswordAlgorithm, Secret,
    name::{self, BadName},
    rest::{RestName, RestSecret, Separator},
    revocation::Revocations,
    users::{StaticUser, User, Users},
};
use std::{fmt, sync::Arc};

/// What an [`Authenticator`] is made from.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// Sent in challenges and part of every key; prepared as OpaqueString (`name::opaque_string`).
    pub realm: String,
    /// Between expiry and id in a time-limited user name.
    pub separator: Separator,
    /// How far ahead of now an expiry may lie, in seconds. It bounds what a leaked credential is worth.
    pub max_ttl: Option<u64>,
    /// Shared secrets for time-limited credentials; any of them is good, so that they can be rotated.
    pub secrets: Vec<Secret>,
    /// Users whose password does not expire.
    pub users: Vec<User>,
}

/// All credentials at one moment. Immutable: workers share it behind an `Arc`, a reload makes another one.
#[derive(Debug)]
pub struct Authenticator {
    realm: String,
    separator: Separator,
    max_ttl: Option<u64>,
    secrets: Vec<RestSecret>,
    users: Users,
    revocations: Arc<Revocations>,
}

impl Authenticator {
    /// Prepares HMAC states, keys and user hashes, so that a request costs no more than it must.
    pub fn new(credentials: Credentials) -> Self {
        let Credentials { realm, separator, max_ttl, secrets, users } = credentials;
        let users = Users::new(users, &realm);
        let secrets = secrets.iter().map(RestSecret::new).collect();
        Self { realm, separator, max_ttl, secrets, users, revocations: Arc::default() }
    }

    /// The same with these revocations, which all snapshots share.
    #[must_use]
    pub fn under(self, revocations: Arc<Revocations>) -> Self {
        Self { revocations, ..self }
    }

    /// The realm keys are computed with, and the one to send in a challenge.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// The credentials that `username` could belong to, to be tried in turn against the request's integrity.
    ///
    /// Nothing is allocated and nothing is remembered: what comes here is not authenticated yet. A static user may
    /// have a name that looks time-limited; then both kinds are tried, and the expiry only rules out the second.
    pub fn find<'a>(&'a self, username: &'a [u8], unix_now: u64) -> Result<Candidates<'a>, Refused> {
        let username = name::check_username(username).map_err(Refused::NotAUserName)?;
        let user = self.users.find(username);
        let rest = self.find_rest(username, unix_now);
        if let (None, Err(refused)) = (user, rest) {
            return Err(refused);
        }
        if self.has_revoked(username, self.user_id(username)) {
            return Err(Refused::Revoked);
        }
        Ok(Candidates { authenticator: self, username, user, rest: rest.ok(), next_secret: 0 })
    }

    /// The static user whose USERHASH this is. Time-limited names cannot be listed, so they have none.
    pub fn find_userhash(&self, hash: &[u8; 32]) -> Option<&str> {
        self.users.find_userhash(hash)
    }

    /// The part of a user name that stays when a credential is renewed.
    pub fn user_id<'a>(&self, username: &'a str) -> &'a str {
        let is_static = self.users.find(username).is_some();
        let name = RestName::parse(username, self.separator).filter(|_| !is_static);
        name.map_or(username, |name| name.id)
    }

    /// The last second that a time-limited user name is good for; `None` for any other.
    pub fn expiry(&self, username: &str) -> Option<u64> {
        let is_static = self.users.find(username).is_some();
        RestName::parse(username, self.separator).filter(|_| !is_static).map(|name| name.expiry)
    }

    /// Whether an operator has revoked this credential, or all of its user's.
    pub fn has_revoked(&self, username: &str, user_id: &str) -> bool {
        self.revocations.cover(username, user_id)
    }

    /// Whether a static user has this key.
    pub fn knows_key(&self, username: &str, key: &Key) -> bool {
        let user = self.users.find(username);
        user.and_then(|user| user.key(key.algorithm())).is_some_and(|known| known == *key)
    }

    /// Whether time-limited credentials can exist.
    pub fn has_secrets(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// Whether every user could log in with a SHA-256 key. One that is configured by its MD5 key alone could not,
    /// so SHA-256 must not be offered.
    pub fn has_sha256_keys(&self) -> bool {
        self.users.have_sha256_keys()
    }

    fn find_rest<'a>(&self, username: &'a str, unix_now: u64) -> Result<RestName<'a>, Refused> {
        if self.secrets.is_empty() {
            return Err(Refused::UnknownUser);
        }
        let name = RestName::parse(username, self.separator).ok_or(Refused::UnknownUser)?;
        if let Some(ago_s) = unix_now.checked_sub(name.expiry).filter(|ago_s| *ago_s > 0) {
            return Err(Refused::Expired { ago_s });
        }
        let ahead_s = name.expiry - unix_now;
        match self.max_ttl {
            Some(max_s) if ahead_s > max_s => Err(Refused::TooFarAhead { ahead_s, max_s }),
            _ => Ok(name),
        }
    }
}

/// Why a user name gave no credential to try. For logs and for `credential verify`; a client only sees 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// Neither a static user nor a time-limited name (or no secret is configured).
    UnknownUser,
    /// The expiry in the name has passed.
    Expired {
        /// How long ago.
        ago_s: u64,
    },
    /// The expiry in the name is further ahead than `max_ttl` allows.
    TooFarAhead {
        /// How far it lies ahead.
        ahead_s: u64,
        /// How far it may.
        max_s: u64,
    },
    /// The bytes cannot be a user name at all.
    NotAUserName(BadName),
    /// An operator has revoked the credential, or all of its user's.
    Revoked,
}

impl Refused {
    /// The reason in a metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown-user",
            Self::Expired { .. } => "expired",
            Self::TooFarAhead { .. } => "too-far-ahead",
            Self::NotAUserName(_) => "no-user-name",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownUser => f.write_str("unknown user"),
            Self::Expired { ago_s } => write!(f, "expired {ago_s} s ago"),
            Self::TooFarAhead { ahead_s, max_s } => {
                write!(f, "expires {ahead_s} s from now, more than the {max_s} s of max_ttl")
            }
            Self::NotAUserName(bad) => write!(f, "not a user name: {bad}"),
            Self::Revoked => f.write_str("revoked by an operator"),
        }
    }
}

/// The credentials a user name could belong to: its static user first, then one for each shared secret.
#[derive(Clone, Debug)]
pub struct Candidates<'a> {
    authenticator: &'a Authenticator,
    username: &'a str,
    user: Option<StaticUser<'a>>,
    rest: Option<RestName<'a>>,
    next_secret: usize,
}

impl<'a> Iterator for Candidates<'a> {
    type Item = Candidate<'a>;

    fn next(&mut self) -> Option<Candidate<'a>> {
        let (authenticator, username) = (self.authenticator, self.username);
        let candidate = |user_id, expiry, source, proof| Candidate {
            authenticator,
            username,
            user_id,
            expiry,
            source,
            proof,
        };
        if let Some(user) = self.user.take() {
            return Some(candidate(username, None, CredentialSource::User, CandidateProof::User(user)));
        }
        let name = self.rest?;
        let secret = authenticator.secrets.get(self.next_secret)?;
        self.next_secret += 1;
        let source = CredentialSource::Secret { position: self.next_secret };
        Some(candidate(name.id, Some(name.expiry), source, CandidateProof::Secret(secret)))
    }
}

/// One credential that a request may have been signed with.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    authenticator: &'a Authenticator,
    username: &'a str,
    user_id: &'a str,
    expiry: Option<u64>,
    source: CredentialSource,
    proof: CandidateProof<'a>,
}

#[derive(Clone, Debug)]
enum CandidateProof<'a> {
    User(StaticUser<'a>),
    Secret(&'a RestSecret),
}

impl<'a> Candidate<'a> {
    /// The key to check MESSAGE-INTEGRITY with; `None` when a pre-hashed user has no key of this algorithm.
    pub fn key(&self, algorithm: PasswordAlgorithm) -> Option<Key> {
        match &self.proof {
            CandidateProof::User(user) => user.key(algorithm),
            CandidateProof::Secret(secret) => {
                let password = secret.password(self.username);
                Some(Key::derive(
                    algorithm,
                    self.username,
                    &self.authenticator.realm,
                    password.expose().as_bytes(),
                ))
            }
        }
    }

    /// The whole user name, as it stands in the key.
    pub fn username(&self) -> &'a str {
        self.username
    }

    /// Which secret or user this is, to be named in a message.
    pub fn source(&self) -> CredentialSource {
        self.source
    }

    /// Who it is, whatever the expiry in the name: what quotas count and logs show.
    pub fn user_id(&self) -> &'a str {
        self.user_id
    }

    /// The last Unix second this credential is good for; `None` for a static user.
    pub fn expiry(&self) -> Option<u64> {
        self.expiry
    }
}

/// Where a credential comes from, without saying what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialSource {
    /// A static user.
    User,
    /// A shared secret.
    Secret {
        /// Its place in the configuration, from 1.
        position: usize,
    },
}

impl fmt::Display for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.write_str("static user"),
            Self::Secret { position } => write!(f, "secret {position}"),
        }
    }
}

#[cfg(test)]
mod tests;
