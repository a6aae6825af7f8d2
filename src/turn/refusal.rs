//! Why a request was refused: the code the client gets, and the cause that only operators see.

use super::quota::QuotaError;
use crate::auth::Refused;

/// Why a request was refused, as far as its client is told. The only place where a reason becomes a STUN
/// error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Another server is to be asked.
    TryAlternate,
    /// Something is missing or makes no sense.
    BadRequest,
    /// No credentials, or wrong ones.
    Unauthenticated,
    /// The peer may not be relayed to.
    Forbidden,
    /// An attribute must be understood and is not.
    UnknownAttribute,
    /// There is no allocation on this 5-tuple, or there already is one.
    AllocationMismatch,
    /// The nonce is old, or another client's.
    StaleNonce,
    /// No relay address of this family.
    FamilyUnsupported,
    /// The allocation belongs to another user.
    WrongCredentials,
    /// Nothing but UDP and TCP is relayed.
    TransportUnsupported,
    /// A peer's address is not of the relay address's family.
    FamilyMismatch,
    /// There is, or will be, a connection to this peer.
    ConnectionExists,
    /// The peer cannot be connected to.
    ConnectionFailed,
    /// The user or the address holds as many allocations as it may.
    QuotaReached,
    /// Nothing is left to give.
    InsufficientCapacity,
}

impl Refusal {
    /// All of them, by their codes.
    pub const ALL: [Self; 15] = [
        Self::TryAlternate,
        Self::BadRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::UnknownAttribute,
        Self::AllocationMismatch,
        Self::StaleNonce,
        Self::FamilyUnsupported,
        Self::WrongCredentials,
        Self::TransportUnsupported,
        Self::FamilyMismatch,
        Self::ConnectionExists,
        Self::ConnectionFailed,
        Self::QuotaReached,
        Self::InsufficientCapacity,
    ];

    /// The code in the ERROR-CODE attribute (RFC 8489 §14.8, RFC 8656 §19, RFC 6062 §6.3).
    pub const fn code(self) -> u16 {
        match self {
            Self::TryAlternate => 300,
            Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::UnknownAttribute => 420,
            Self::AllocationMismatch => 437,
            Self::StaleNonce => 438,
            Self::FamilyUnsupported => 440,
            Self::WrongCredentials => 441,
            Self::TransportUnsupported => 442,
            Self::FamilyMismatch => 443,
            Self::ConnectionExists => 446,
            Self::ConnectionFailed => 447,
            Self::QuotaReached => 486,
            Self::InsufficientCapacity => 508,
        }
    }

    /// The code as it stands in an attribute: hundreds, and the rest (RFC 8489 §14.8, RFC 8656 §18.12).
    pub(super) fn class_and_number(self) -> [u8; 2] {
        [self.code() / 100, self.code() % 100].map(|part| part.to_be_bytes()[1])
    }

    /// The reason phrase: the RFC's name of the code. Sent to authenticated clients only, because it makes the
    /// answer longer.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::TryAlternate => "Try Alternate",
            Self::BadRequest => "Bad Request",
            Self::Unauthenticated => "Unauthenticated",
            Self::Forbidden => "Forbidden",
            Self::UnknownAttribute => "Unknown Attribute",
            Self::AllocationMismatch => "Allocation Mismatch",
            Self::StaleNonce => "Stale Nonce",
            Self::FamilyUnsupported => "Address Family not Supported",
            Self::WrongCredentials => "Wrong Credentials",
            Self::TransportUnsupported => "Unsupported Transport Protocol",
            Self::FamilyMismatch => "Peer Address Family Mismatch",
            Self::ConnectionExists => "Connection Already Exists",
            Self::ConnectionFailed => "Connection Timeout or Failure",
            Self::QuotaReached => "Allocation Quota Reached",
            Self::InsufficientCapacity => "Insufficient Capacity",
        }
    }
}

/// Why a request was refused, as operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Denial {
    /// Nothing that an operator has decided: the request itself, or the moment it comes at, is wrong. It is known by
    /// what the client is told.
    Request(Refusal),
    /// Answers to this source are withheld: it has drawn its share of them without logging in.
    Silenced,
    /// The server is about to stop and takes no new allocations.
    Draining,
    /// Whoever was asked about the user says no.
    Verdict,
    /// The user name leads to no credential, or to one that is over.
    Credential(Refused),
    /// The password is wrong: no key of this user made the message's integrity.
    WrongPassword(Tried),
    /// The client answered the challenge of another realm.
    WrongRealm,
    /// The allocation belongs to another user.
    OtherUser,
    /// The credential under which the allocation was made has expired.
    CredentialExpired {
        /// Seconds since then.
        ago_s: u64,
    },
    /// A rule forbids the peer; this is its name.
    Peer(&'static str),
    /// A limit on the number of allocations.
    Quota(QuotaError),
    /// No relay port is left.
    NoPort,
    /// The system does not give a socket.
    NoSocket,
    /// The host has no relay address of this family.
    NoFamily,
    /// The allocation holds as many permissions as it may.
    Permissions,
    /// The allocation holds as many channels as it may.
    Channels,
    /// The allocation holds as many peer connections as it may.
    Connections,
    /// A channel that only RFC 5766 knew, where [`super::ChannelRange::Rfc8656`] is in force.
    OldChannel,
    /// The reservation token is unknown, used or expired.
    TokenUnknown,
}

/// Against what a wrong password was held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tried {
    /// The static user of this name.
    pub user: bool,
    /// The first so many shared secrets.
    pub secrets: u16,
}

impl Denial {
    /// The reason in a metric's label: the same for all numbers in it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request(_) => "request",
            Self::Silenced => "silenced",
            Self::Draining => "draining",
            Self::Verdict => "verdict",
            Self::Credential(refused) => refused.name(),
            Self::WrongPassword(_) => "wrong-password",
            Self::WrongRealm => "wrong-realm",
            Self::OtherUser => "other-user",
            Self::CredentialExpired { .. } => "expired",
            Self::Peer(_) => "peer",
            Self::Quota(QuotaError::User) => "user-quota",
            Self::Quota(QuotaError::Address) => "address-quota",
            Self::Quota(QuotaError::Total) => "total-quota",
            Self::NoPort => "no-port",
            Self::NoSocket => "no-socket",
            Self::NoFamily => "no-family",
            Self::Permissions => "permissions",
            Self::Channels => "channels",
            Self::Connections => "connections",
            Self::OldChannel => "old-channel",
            Self::TokenUnknown => "token-unknown",
        }
    }

    /// Whether it is about who the client is, so that it counts as a failed login.
    pub const fn is_of_login(self) -> bool {
        match self {
            Self::Verdict
            | Self::Credential(_)
            | Self::WrongPassword(_)
            | Self::WrongRealm
            | Self::OtherUser
            | Self::CredentialExpired { .. } => true,
            Self::Request(_)
            | Self::Silenced
            | Self::Draining
            | Self::Peer(_)
            | Self::Quota(_)
            | Self::NoPort
            | Self::NoSocket
            | Self::NoFamily
            | Self::Permissions
            | Self::Channels
            | Self::Connections
            | Self::OldChannel
            | Self::TokenUnknown => false,
        }
    }
}
