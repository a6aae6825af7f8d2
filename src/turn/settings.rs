//! What the operator decided, as the core needs it. One immutable snapshot; a reload swaps it.

use std::time::Duration;

use super::bucket::Rate;
use super::nat_discovery::NatDiscovery;
use super::peers::{PeerPolicy, PeerRules};
use super::quota::AllocationLimits;
use crate::wire::ChannelNumber;

/// RFC 8656 §3: the lifetime of an allocation whose client does not ask for more.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);

/// What the operator decided.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The longest lifetime a client can ask for; the default lifetime is never shortened by it.
    pub max_lifetime: Duration,
    /// How long a nonce is good.
    pub nonce_lifetime: Duration,
    /// Which channels clients may bind.
    pub channels: ChannelRange,
    /// What an expired credential still allows.
    pub expiry: CredentialExpiry,
    /// Whether somebody outside is asked about users ([`super::Output::FindKey`]).
    pub asks: bool,
    /// Whether the driver can set the DF bit.
    pub dont_fragment: bool,
    /// How many allocations there may be.
    pub allocations: AllocationLimits,
    /// How many permissions one allocation may hold.
    pub permissions_per_allocation: usize,
    /// How many channels one allocation may hold.
    pub channels_per_allocation: usize,
    /// How many connections to peers one TCP allocation may hold; where it is 0 there are no TCP allocations.
    pub connections_per_allocation: usize,
    /// Payload bytes in each direction of one allocation.
    pub bandwidth_per_allocation: Option<Rate>,
    /// Payload bytes in each direction of all allocations of this relay together.
    pub bandwidth: Option<Rate>,
    /// Unauthenticated error answers to one source. A challenge costs 1, a wrong password
    /// [`WRONG_PASSWORD_COST`]; meeting the challenge gives its cost back. Over a connection only the wrong password
    /// costs anything.
    pub challenge_budget: Rate,
    /// Binding answers to one source over UDP; loopback has no limit, because nobody outside can pretend to be it.
    pub binding_budget: Rate,
    /// Who may be relayed to.
    pub peers: PeerPolicy,
    /// Where clients may find out what their NAT does.
    pub nat_discovery: NatDiscovery,
}

/// A wrong password is no accident of a crowd behind one address, so it exhausts the budget sooner.
pub const WRONG_PASSWORD_COST: u64 = 10;

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_lifetime: Duration::from_secs(3600),
            nonce_lifetime: Duration::from_secs(600),
            channels: ChannelRange::Rfc8656,
            expiry: CredentialExpiry::Strict,
            asks: false,
            dont_fragment: true,
            allocations: AllocationLimits { per_user: u32::MAX, per_address: u32::MAX, total: u32::MAX },
            permissions_per_allocation: 100,
            channels_per_allocation: 100,
            connections_per_allocation: 100,
            bandwidth_per_allocation: None,
            bandwidth: None,
            challenge_budget: Rate { per_second: 100, burst: 1000 },
            binding_budget: Rate { per_second: 2000, burst: 4000 },
            peers: PeerPolicy::new(PeerRules::default()),
            nat_discovery: NatDiscovery::default(),
        }
    }
}

impl Settings {
    /// The lifetime a request gets that asks for `requested` seconds (RFC 8656 §7.2, §8.2).
    pub(super) fn lifetime(&self, requested: Option<u32>) -> Duration {
        let wanted = requested.map_or(Duration::ZERO, |seconds| Duration::from_secs(seconds.into()));
        wanted.min(self.max_lifetime).max(DEFAULT_LIFETIME)
    }
}

/// Which channels clients may bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelRange {
    /// 0x4000 to 0x4FFF.
    Rfc8656,
    /// 0x4000 to 0x7FFF, for clients that never heard of RFC 8656.
    Rfc5766,
}

impl ChannelRange {
    pub(super) fn contains(self, channel: ChannelNumber) -> bool {
        match self {
            Self::Rfc8656 => channel <= ChannelNumber::LAST,
            Self::Rfc5766 => true,
        }
    }
}

/// What an expired credential still allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialExpiry {
    /// Nothing but to release what it holds.
    Strict,
    /// To keep and use the allocation that was made while it was good.
    AtAllocation,
}
