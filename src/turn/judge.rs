//! Who judges a password: the server's own credentials, or keys that somebody outside has given for the user.

use std::sync::Arc;

use super::allocation::UserName;
use super::auth::Obstacle;
use super::refusal::{Denial, Tried};
use super::request::Request;
use super::time::Now;
use super::verdict::{Grant, GrantedKeys, Terms, Verdict};
use crate::auth::name;
use crate::auth::{Authenticator, CredentialSource, Key, PasswordAlgorithm, Refused};
use crate::wire::Message;

/// What was decided outside, or nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Judge<'v> {
    grant: Option<&'v Grant>,
}

/// A password that was right.
#[derive(Debug)]
pub(super) struct Proven {
    pub(super) key: Key,
    pub(super) user: UserName,
    /// The last Unix second of the credential.
    pub(super) expires: Option<u64>,
    pub(super) terms: Option<Arc<Terms>>,
    pub(super) origin: Origin,
}

/// Whose key a password was held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A static user's.
    User,
    /// Made with a shared secret.
    Secret,
    /// Given by somebody outside.
    Granted,
}

/// What is held against a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt<'m> {
    pub(super) message: &'m Message<'m>,
    pub(super) username: &'m [u8],
    pub(super) algorithm: PasswordAlgorithm,
    pub(super) now: Now,
}

impl<'v> Judge<'v> {
    /// By a decision, unless that is a refusal.
    pub(super) fn of(verdict: &'v Verdict) -> Result<Self, Obstacle> {
        match verdict {
            Verdict::Granted(grant) => Ok(Self { grant: Some(grant) }),
            Verdict::Refused { .. } => Err(Obstacle::denied(Denial::Verdict)),
        }
    }

    /// Finds the key that made the message's integrity.
    pub(super) fn prove(
        self,
        authenticator: &Authenticator,
        attempt: Attempt<'_>,
    ) -> Result<Proven, Obstacle> {
        match self.grant.and_then(|grant| grant.keys.as_ref().map(|keys| (grant, keys))) {
            Some((grant, keys)) => prove_granted(authenticator, grant, keys, attempt),
            None => self.prove_own(authenticator, attempt),
        }
    }

    /// By the server's own secrets and users.
    fn prove_own(self, authenticator: &Authenticator, attempt: Attempt<'_>) -> Result<Proven, Obstacle> {
        let Attempt { message, username, algorithm, now } = attempt;
        let mut tried = Tried::default();
        for candidate in authenticator.find(username, now.unix).map_err(refused)? {
            let origin = match candidate.source() {
                CredentialSource::User => {
                    tried.user = true;
                    Origin::User
                }
                CredentialSource::Secret { .. } => {
                    tried.secrets = tried.secrets.saturating_add(1);
                    Origin::Secret
                }
            };
            let Some(key) = candidate.key(algorithm) else { continue };
            if message.verify(key.as_bytes()).is_err() {
                continue;
            }
            let own_id = self.grant.and_then(|grant| grant.user_id.as_deref());
            if own_id.is_some_and(|id| authenticator.has_revoked(candidate.username(), id)) {
                return Err(refused(Refused::Revoked));
            }
            let user = UserName::new(candidate.username(), own_id.unwrap_or(candidate.user_id()));
            let expires = earlier(candidate.expiry(), self.grant.and_then(|grant| grant.expires));
            let terms = self.grant.and_then(|grant| grant.terms.clone());
            return Ok(Proven { key, user, expires, terms, origin });
        }
        Err(Obstacle::denied(Denial::WrongPassword(tried)))
    }
}

/// By keys from outside. What was revoked here is revoked for them as well.
fn prove_granted(
    authenticator: &Authenticator,
    grant: &Grant,
    keys: &GrantedKeys,
    Attempt { message, username, algorithm, now }: Attempt<'_>,
) -> Result<Proven, Obstacle> {
    let username = name::check_username(username).map_err(|bad| refused(Refused::NotAUserName(bad)))?;
    let own_id = authenticator.user_id(username);
    let user_id = grant.user_id.as_deref().unwrap_or(own_id);
    if [own_id, user_id].iter().any(|id| authenticator.has_revoked(username, id)) {
        return Err(refused(Refused::Revoked));
    }
    let ago_s = grant.expires.and_then(|expires| now.unix.checked_sub(expires)).filter(|ago_s| *ago_s > 0);
    if let Some(ago_s) = ago_s {
        return Err(refused(Refused::Expired { ago_s }));
    }
    let key = keys.get(algorithm).filter(|key| message.verify(key.as_bytes()).is_ok());
    let Some(key) = key else { return Err(Obstacle::denied(Denial::WrongPassword(Tried::default()))) };
    Ok(Proven {
        key: key.clone(),
        user: UserName::new(username, user_id),
        expires: grant.expires,
        terms: grant.terms.clone(),
        origin: Origin::Granted,
    })
}

const fn refused(refused: Refused) -> Obstacle {
    Obstacle::denied(Denial::Credential(refused))
}

fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl<'m> Request<'m> {
    /// What somebody outside has said against its user.
    pub(super) fn words(&self) -> Option<&'m str> {
        match self.verdict? {
            Verdict::Refused { reason } => Some(reason),
            Verdict::Granted(_) => None,
        }
    }
}
