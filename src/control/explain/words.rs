//! Decisions in words: what happened, and what would help.

use std::fmt;

use super::decision::{Decision, What};
use crate::auth::Refused;
use crate::turn::{Denial, EndReason, Flow, QuotaError, Refusal, Traffic, Tried, method_name};

/// What happened, as a sentence without its end.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Began { session, relay, additional, .. } => {
                write!(f, "allocation {session} created with relay address {relay}")?;
                additional.map_or(Ok(()), |additional| write!(f, " and {additional}"))
            }
            What::Ended { session, reason, age, traffic } => {
                let age = age.as_secs();
                write!(f, "allocation {session} ended after {age} s: {}", end(*reason))?;
                write!(f, "; {}", Relayed(traffic))
            }
            What::Refused { method, denial, words, peer } => {
                write!(f, "{} refused: {}", method_name(*method), Cause(*denial))?;
                if let Some(peer) = peer {
                    write!(f, " (peer {peer})")?;
                }
                words.as_ref().map_or(Ok(()), |words| write!(f, ": {words}"))
            }
            What::Tls { sni, reason, .. } => {
                write!(f, "tls failed: {reason}")?;
                sni.as_ref().map_or(Ok(()), |sni| write!(f, " (asked for {sni})"))
            }
        }
    }
}

impl Decision {
    /// The error code the client was told, where it was told one.
    pub const fn code(&self) -> Option<u16> {
        match &self.what {
            What::Refused { denial, .. } => code(*denial),
            What::Began { .. } | What::Ended { .. } | What::Tls { .. } => None,
        }
    }

    /// A word for programs to tell kinds of decisions apart.
    pub const fn kind(&self) -> &'static str {
        match &self.what {
            What::Began { .. } => "created",
            What::Ended { .. } => "ended",
            What::Refused { denial: Denial::Request(refusal), .. } => request_kind(*refusal),
            What::Refused { denial, .. } => denial.name(),
            What::Tls { .. } => "tls",
        }
    }

    /// What would help, where that can be said.
    pub fn hint(&self) -> Option<&'static str> {
        match &self.what {
            What::Ended { traffic, .. } if is_one_way(traffic) => Some(
                "data went one way only: the peer does not answer, sends from another address than the client has \
                 permitted, or a firewall is in between",
            ),
            What::Refused { denial, .. } => hint(*denial),
            What::Began { .. } | What::Ended { .. } | What::Tls { .. } => None,
        }
    }
}

/// A denial as the rest of a sentence that begins with what was refused.
struct Cause(Denial);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Denial::Request(refusal) => f.write_str(request(refusal)),
            Denial::Silenced => f.write_str(
                "no answer is given, because this address has drawn its share of answers without logging in",
            ),
            Denial::Draining => f.write_str("the server drains and takes no new allocations"),
            Denial::Verdict => f.write_str("the auth webhook says no"),
            Denial::Credential(Refused::UnknownUser) => {
                f.write_str("unknown user: neither a static user nor a time-limited name")
            }
            Denial::Credential(Refused::Expired { ago_s }) | Denial::CredentialExpired { ago_s } => {
                write!(f, "the credential expired {ago_s} s ago")
            }
            Denial::Credential(Refused::TooFarAhead { ahead_s, max_s }) => write!(
                f,
                "the credential expires {ahead_s} s from now, further ahead than auth.max_ttl ({max_s} s)"
            ),
            Denial::Credential(Refused::NotAUserName(bad)) => write!(f, "not a user name: {bad}"),
            Denial::Credential(Refused::Revoked) => f.write_str("the credential or its user was revoked"),
            Denial::WrongPassword(tried) => wrong_password(tried, f),
            Denial::WrongRealm => f.write_str("the client answered the challenge of another realm"),
            Denial::OtherUser => f.write_str("the allocation belongs to another user"),
            Denial::Peer(rule) => write!(f, "peer denied by rule `{rule}`"),
            Denial::Quota(QuotaError::User) => {
                f.write_str("the user holds as many allocations as limits.allocations_per_user says")
            }
            Denial::Quota(QuotaError::Address) => f.write_str(
                "the client's address holds as many allocations as limits.allocations_per_ip says",
            ),
            Denial::Quota(QuotaError::Total) => {
                f.write_str("the server holds as many allocations as limits.allocations says")
            }
            Denial::NoPort => f.write_str("port pool empty: every relay port is taken"),
            Denial::NoSocket => f.write_str("the system gives no socket; the log says why"),
            Denial::NoFamily => f.write_str("the server has no relay address of the wanted family"),
            Denial::Permissions => {
                f.write_str("the allocation holds as many as limits.permissions_per_allocation says")
            }
            Denial::Channels => {
                f.write_str("the allocation holds as many as limits.channels_per_allocation says")
            }
            Denial::Connections => {
                f.write_str("the allocation holds as many as limits.connections_per_allocation says")
            }
            Denial::OldChannel => f.write_str("channel above 0x4FFF, as clients from before RFC 8656 use"),
            Denial::TokenUnknown => f.write_str("the reservation token is unknown, used or expired"),
        }
    }
}

fn wrong_password(tried: Tried, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("password does not match ")?;
    match (tried.user, tried.secrets) {
        (true, 0) => f.write_str("that of the static user"),
        (false, 0) => f.write_str("the key from the auth webhook"),
        (user, secrets) => {
            if user {
                f.write_str("that of the static user, nor ")?;
            }
            match secrets {
                1 => f.write_str("secret 1"),
                more => write!(f, "any of the secrets 1 to {more}"),
            }
        }
    }
}

const fn end(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Released => "the client gave it back",
        EndReason::Expired => "the client stopped refreshing it",
        EndReason::Disconnected => "the client's connection is closed",
        EndReason::Stopped => "the server stops",
        EndReason::Kicked => "an operator ended it",
        EndReason::Revoked => "its credential was revoked, or its user removed",
    }
}

struct Relayed<'a>(&'a Traffic);

impl fmt::Display for Relayed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Traffic { up, down } = self.0;
        let amount = |flow: &Flow| format!("{} packets ({} bytes)", flow.packets, flow.bytes);
        write!(f, "{} up, {} down", amount(up), amount(down))?;
        match up.dropped + down.dropped {
            0 => Ok(()),
            dropped => write!(f, ", {dropped} dropped"),
        }
    }
}

fn is_one_way(traffic: &Traffic) -> bool {
    (traffic.up.bytes == 0) != (traffic.down.bytes == 0)
}

/// What is wrong with a request, or with the moment it comes at.
const fn request(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::TryAlternate => "the server drains, and the client is told another one to ask",
        Refusal::BadRequest => "something in the request is missing or makes no sense",
        Refusal::Unauthenticated => {
            "no credentials in the request: the client is challenged, as all are at first"
        }
        Refusal::Forbidden => "forbidden",
        Refusal::UnknownAttribute => "the request has an attribute that must be understood and is not",
        Refusal::AllocationMismatch => {
            "there is no allocation on this 5-tuple (expired, ended, or the client's NAT gave it another address), \
             or for Allocate there already is one"
        }
        Refusal::StaleNonce => "nonce stale: the client gets a new one and has to ask again",
        Refusal::FamilyUnsupported => "the address family is not known",
        Refusal::WrongCredentials => "the allocation belongs to another user",
        Refusal::TransportUnsupported => {
            "only UDP is relayed, and TCP where limits.connections_per_allocation is not 0"
        }
        Refusal::FamilyMismatch => "the allocation has no relay address of the family of the peer",
        Refusal::ConnectionExists => "there already is a connection to this peer",
        Refusal::ConnectionFailed => "the peer refuses the connection or does not answer",
        Refusal::QuotaReached => "quota reached",
        Refusal::InsufficientCapacity => "nothing is left to give",
    }
}

const fn request_kind(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::TryAlternate => "redirected",
        Refusal::BadRequest => "malformed",
        Refusal::Unauthenticated => "challenged",
        Refusal::UnknownAttribute => "unknown-attribute",
        Refusal::AllocationMismatch => "allocation-mismatch",
        Refusal::StaleNonce => "stale-nonce",
        Refusal::FamilyUnsupported => "no-family",
        Refusal::TransportUnsupported => "no-transport",
        Refusal::FamilyMismatch => "family-mismatch",
        Refusal::ConnectionExists => "connection-exists",
        Refusal::ConnectionFailed => "connection-failed",
        Refusal::Forbidden
        | Refusal::WrongCredentials
        | Refusal::QuotaReached
        | Refusal::InsufficientCapacity => "request",
    }
}

/// The code that goes with a denial.
const fn code(denial: Denial) -> Option<u16> {
    Some(match denial {
        Denial::Request(refusal) => refusal.code(),
        Denial::Silenced => return None,
        Denial::Credential(_)
        | Denial::Verdict
        | Denial::WrongPassword(_)
        | Denial::WrongRealm
        | Denial::CredentialExpired { .. } => 401,
        Denial::OtherUser => 441,
        Denial::Peer(_) => 403,
        Denial::Quota(QuotaError::User | QuotaError::Address) => 486,
        Denial::NoFamily => 440,
        Denial::OldChannel => 400,
        Denial::Draining
        | Denial::Quota(QuotaError::Total)
        | Denial::NoPort
        | Denial::NoSocket
        | Denial::Permissions
        | Denial::Channels
        | Denial::Connections
        | Denial::TokenUnknown => 508,
    })
}

fn hint(denial: Denial) -> Option<&'static str> {
    Some(match denial {
        Denial::Request(Refusal::Unauthenticated) => {
            "if nothing follows, the challenge did not reach the client, or it has no user name and password"
        }
        Denial::Credential(Refused::UnknownUser) => {
            "check the user name; a time-limited one needs a secret in auth.secrets and the separator of auth.separator"
        }
        Denial::Credential(Refused::Expired { .. }) | Denial::CredentialExpired { .. } => {
            "the application has to fetch a new credential before the old one ends; check the clocks as well"
        }
        Denial::Credential(Refused::TooFarAhead { .. }) => {
            "mint with a shorter lifetime, or raise auth.max_ttl"
        }
        Denial::WrongPassword(tried) if tried.secrets > 0 => {
            "the application mints with another secret than the server has; `turnbridge credential verify` compares"
        }
        Denial::WrongPassword(_) => "check the password; the realm is part of a configured key",
        Denial::WrongRealm => "the client or a proxy caches the challenge of another server",
        Denial::Peer("private" | "loopback" | "link-local" | "unique-local" | "shared") => {
            "one candidate of the peer; normal where another one works. To relay to this range list it in peers.allow"
        }
        Denial::Peer("own-service" | "own-host") => {
            "this server itself is never a peer, except for its relay ports"
        }
        Denial::Quota(_) => "raise the limit, or find out who holds the others with `turnbridge sessions`",
        Denial::NoPort => "widen relay.ports, or add a relay address",
        Denial::NoSocket => "mostly the limit of open files: LimitNOFILE, or ulimit -n",
        Denial::NoFamily => "give the host an address of this family, or list it in relay.addresses",
        Denial::OldChannel => "turn.channel_numbers = \"rfc5766\" admits them",
        Denial::Silenced => {
            "it comes back within seconds; limits.challenge_rate and challenge_burst set how much"
        }
        Denial::Draining => "another server has to take it; drain.alternates names some to the clients",
        Denial::Credential(Refused::Revoked) => "`turnbridge revoke --undo` takes a revocation back",
        Denial::Request(_)
        | Denial::Verdict
        | Denial::Credential(Refused::NotAUserName(_))
        | Denial::OtherUser
        | Denial::Peer(_)
        | Denial::Permissions
        | Denial::Channels
        | Denial::Connections
        | Denial::TokenUnknown => return None,
    })
}
