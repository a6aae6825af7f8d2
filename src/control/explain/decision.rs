//! One decision about one client.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::Question;
use crate::auth::Refused;
use crate::control::sessions::SessionId;
use crate::turn::{Denial, EndReason, Traffic};
use crate::wire::Method;

/// What the server decided, about whom, and when.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Whom it is about.
    pub client: SocketAddr,
    /// How the client came: "udp", "tcp" or "tls".
    pub transport: &'static str,
    /// The user name it sent, and the part of that which stays when the credential is renewed.
    pub user: Option<(Box<str>, Box<str>)>,
    /// What was decided.
    pub what: What,
    /// When it was first decided like this, in Unix seconds.
    pub first: u64,
    /// When it was last.
    pub last: u64,
    /// How often.
    pub times: u64,
}

/// What was decided.
#[derive(Clone, Debug)]
pub enum What {
    /// The client got a relay address.
    Began {
        /// The allocation.
        session: SessionId,
        /// The relay address as peers see it.
        relay: SocketAddr,
        /// That of the other family.
        additional: Option<SocketAddr>,
    },
    /// An allocation ended.
    Ended {
        /// The allocation.
        session: SessionId,
        /// Why.
        reason: EndReason,
        /// How long it had lasted.
        age: Duration,
        /// What went through it.
        traffic: Traffic,
    },
    /// A request was refused.
    Refused {
        /// What was asked for.
        method: Method,
        /// Why not.
        denial: Denial,
        /// The same in the words of whoever decided.
        words: Option<Box<str>>,
        /// The peer that was asked for.
        peer: Option<SocketAddr>,
    },
    /// TLS failed.
    Tls {
        /// The name the client asked for.
        sni: Option<Box<str>>,
        /// The alert's name, or what stands for it.
        alert: &'static str,
        /// What it means.
        reason: Cow<'static, str>,
    },
}

impl Decision {
    /// One that was taken once, now.
    pub fn new(
        client: SocketAddr,
        transport: &'static str,
        user: Option<(Box<str>, Box<str>)>,
        what: What,
        now: u64,
    ) -> Self {
        Self { client, transport, user, what, first: now, last: now, times: 1 }
    }

    /// Where it comes from, if it is about somebody who gives a name and does not prove it. A network of IPv6 is one source.
    pub(super) fn stranger(&self) -> Option<IpAddr> {
        let What::Refused { denial, .. } = &self.what else { return None };
        let is_unproven = matches!(
            denial,
            Denial::Credential(_) | Denial::WrongPassword(_) | Denial::WrongRealm | Denial::Verdict
        );
        is_unproven.then(|| match self.client.ip() {
            IpAddr::V4(ip) => ip.into(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        })
    }

    pub(super) fn fits(&self, question: &Question) -> bool {
        let is_user = |wanted: &String| {
            self.user.as_ref().is_some_and(|(name, id)| **name == **wanted || **id == **wanted)
        };
        question.ip.is_none_or(|ip| self.client.ip() == ip) && question.user.as_ref().is_none_or(is_user)
    }

    /// Whether another one says the same of the same client.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let is_same_what = match (&self.what, &other.what) {
            (
                What::Refused { method, denial, words, peer },
                What::Refused {
                    method: other_method,
                    denial: other_denial,
                    words: other_words,
                    peer: other_peer,
                },
            ) => {
                let peers = [peer, other_peer].map(|peer| peer.map(|peer| peer.ip()));
                kind(*denial) == kind(*other_denial)
                    && (method, words) == (other_method, other_words)
                    && peers[0] == peers[1]
            }
            (What::Tls { sni, alert, .. }, What::Tls { sni: other_sni, alert: other_alert, .. }) => {
                (sni, alert) == (other_sni, other_alert)
            }
            (What::Began { .. } | What::Ended { .. } | What::Refused { .. } | What::Tls { .. }, _) => false,
        };
        is_same_what && self.client.ip() == other.client.ip() && self.user == other.user
    }
}

/// The reason without the numbers that differ each time.
pub(in crate::control) fn kind(denial: Denial) -> Denial {
    match denial {
        Denial::CredentialExpired { .. } => Denial::CredentialExpired { ago_s: 0 },
        Denial::Credential(Refused::Expired { .. }) => Denial::Credential(Refused::Expired { ago_s: 0 }),
        Denial::Credential(Refused::TooFarAhead { max_s, .. }) => {
            Denial::Credential(Refused::TooFarAhead { ahead_s: 0, max_s })
        }
        Denial::Credential(Refused::UnknownUser | Refused::NotAUserName(_) | Refused::Revoked)
        | Denial::WrongPassword(_)
        | Denial::Request(_)
        | Denial::Silenced
        | Denial::Draining
        | Denial::Verdict
        | Denial::WrongRealm
        | Denial::OtherUser
        | Denial::Peer(_)
        | Denial::Quota(_)
        | Denial::NoPort
        | Denial::NoSocket
        | Denial::NoFamily
        | Denial::Permissions
        | Denial::Channels
        | Denial::Connections
        | Denial::OldChannel
        | Denial::TokenUnknown => denial,
    }
}
