//! What somebody outside decides about a user: a question, its answer, and the terms in it.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::bucket::Rate;
use super::peers::Ranges;
use crate::auth::{Key, PasswordAlgorithm};

/// Names a question of one relay ([`super::Output::FindKey`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueryId {
    /// Its place among those that wait.
    pub index: u32,
    /// Tells a late answer to an earlier question from one to this.
    pub generation: u32,
}

/// The answer ([`super::Input::KeyFound`]).
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Whoever has the password may come in.
    Granted(Grant),
    /// Nobody may, under this name.
    Refused {
        /// Why, for operators.
        reason: Box<str>,
    },
}

/// Under which conditions a user may come in. Nothing in it leaves all to the server's own credentials and limits.
#[derive(Clone, Debug, Default)]
pub struct Grant {
    /// What the user's requests are signed with; without any, the server's own secrets and users judge the password.
    pub keys: Option<GrantedKeys>,
    /// Who it is, for quotas and accounting, where that is not the name or the id in it.
    pub user_id: Option<Box<str>>,
    /// The last Unix second the keys are good for.
    pub expires: Option<u64>,
    /// What is different for this user.
    pub terms: Option<Arc<Terms>>,
}

/// Keys as `auth` makes them from a password, or one of them alone.
#[derive(Clone, Debug)]
pub struct GrantedKeys {
    /// For clients of all ages.
    pub md5: Option<Key>,
    /// For those of RFC 8489.
    pub sha256: Option<Key>,
}

/// Limits and rules of one user that go over those of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// How many allocations the user may hold.
    pub allocations: Option<u32>,
    /// Payload bytes in each direction of each of them.
    pub bandwidth: Option<Rate>,
    /// Whom they may talk to.
    pub peers: Option<PeerTerms>,
}

/// Peer ranges of one user, judged before those of the configuration.
#[derive(Clone, Debug, Default)]
pub struct PeerTerms {
    allow: Ranges,
    deny: Ranges,
}

impl PeerTerms {
    /// As in `[peers]`: what is allowed is allowed whatever else denies it.
    pub fn new(allow: &[IpNet], deny: &[IpNet]) -> Self {
        Self { allow: Ranges::new(allow), deny: Ranges::new(deny) }
    }

    pub(super) fn allow(&self, ip: IpAddr) -> bool {
        self.allow.contains(ip)
    }

    pub(super) fn deny(&self, ip: IpAddr) -> bool {
        self.deny.contains(ip)
    }
}

impl GrantedKeys {
    pub(super) fn get(&self, algorithm: PasswordAlgorithm) -> Option<&Key> {
        match algorithm {
            PasswordAlgorithm::Md5 => self.md5.as_ref(),
            PasswordAlgorithm::Sha256 => self.sha256.as_ref(),
        }
    }
}
