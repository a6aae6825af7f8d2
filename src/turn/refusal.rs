//! Why a request was refused: the code the client gets, and the cause that only operators see.

use super::quota::QuotaError;
use crate::auth::Refused;

/// Why a request was refused, as far as its client is told. The only place where a reason becomes a STUN
/// error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
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
    /// The code in the ERROR-CODE attribute (RFC 8489 §14.8, RFC 8656 §19, RFC 6062 §6.3).
    pub const fn code(self) -> u16 {
        match self {
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
    /// The user name leads to no credential, or to one that is over.
    Credential(Refused),
    /// The password is wrong: no key of this user made the message's integrity.
    WrongPassword,
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
    /// No relay port or descriptor is left.
    NoPort,
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
