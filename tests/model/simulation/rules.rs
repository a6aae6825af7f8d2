//! What the operator of a simulation decided.

use std::time::Duration;

use turnbridge::turn::{
    AllocationLimits, ChannelRange, Corner, CredentialExpiry, ListenerId, NatDiscovery, Quartet, Rate,
    Settings,
};

use super::cast;
use super::random::Random;

/// The settings in the model's words. Times in seconds.
#[derive(Clone, Debug)]
pub struct Rules {
    pub policy: usize,
    pub old_channels: bool,
    pub strict_expiry: bool,
    pub dont_fragment: bool,
    pub max_lifetime: u64,
    pub nonce_lifetime: u64,
    pub permissions: usize,
    pub channels: usize,
    /// Connections to peers of one allocation; without any there are no TCP allocations.
    pub connections: usize,
    pub limits: AllocationLimits,
    pub own_rate: Option<Rate>,
    pub total_rate: Option<Rate>,
    /// How many unauthenticated answers a source may draw, where that is few.
    pub challenges: Option<Rate>,
    /// The same for Binding.
    pub bindings: Option<Rate>,
    pub discovery: Discovery,
}

/// Who is offered NAT behaviour discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discovery {
    Off,
    Modern,
    /// Clients of RFC 3489 too.
    Classic,
}

/// The listeners that answer for each other, around the square: the next one has another address or port, and the next
/// but one both. Clients talk to the first and the third; nobody else's listeners are the others.
pub const CORNERS: [(u16, &str); 4] =
    [(0, "203.0.113.5:3478"), (7, "203.0.113.9:3478"), (1, "203.0.113.9:3479"), (8, "203.0.113.5:3479")];

impl Rules {
    pub fn random(random: &mut Random) -> Self {
        let few = |random: &mut Random| {
            let rate = Rate { per_second: 1, burst: u64::try_from(random.within(4..40)).unwrap() };
            random.once_in(8).then_some(rate)
        };
        let bandwidth = |random: &mut Random| {
            Some(Rate { per_second: *random.pick(&[100, 1000]), burst: *random.pick(&[300, 3000]) })
        };
        let (own_rate, total_rate) = match random.below(5) {
            3 => (bandwidth(random), None),
            4 => (None, bandwidth(random)),
            _ => (None, None),
        };
        Self {
            policy: random.below(3),
            old_channels: random.once_in(2),
            strict_expiry: !random.once_in(3),
            dont_fragment: !random.once_in(4),
            max_lifetime: *random.pick(&[3600, 3600, 900, 300]),
            nonce_lifetime: *random.pick(&[600, 600, 60]),
            permissions: *random.pick(&[100, 5, 2]),
            channels: *random.pick(&[100, 5, 2]),
            connections: *random.pick(&[100, 3, 3, 0]),
            limits: AllocationLimits {
                per_user: *random.pick(&[100, 3, 1]),
                per_address: *random.pick(&[100, 3, 2]),
                total: *random.pick(&[100, 8, 4]),
            },
            own_rate,
            total_rate,
            challenges: few(random),
            bindings: few(random),
            discovery: *random.pick(&[Discovery::Off, Discovery::Modern, Discovery::Classic]),
        }
    }

    pub fn settings(&self) -> Settings {
        let plenty = Rate { per_second: 1 << 40, burst: 1 << 40 };
        Settings {
            max_lifetime: Duration::from_secs(self.max_lifetime),
            nonce_lifetime: Duration::from_secs(self.nonce_lifetime),
            channels: if self.old_channels { ChannelRange::Rfc5766 } else { ChannelRange::Rfc8656 },
            expiry: match self.strict_expiry {
                true => CredentialExpiry::Strict,
                false => CredentialExpiry::AtAllocation,
            },
            asks: false,
            dont_fragment: self.dont_fragment,
            allocations: self.limits,
            permissions_per_allocation: self.permissions,
            channels_per_allocation: self.channels,
            connections_per_allocation: self.connections,
            bandwidth_per_allocation: self.own_rate,
            bandwidth: self.total_rate,
            challenge_budget: self.challenges.unwrap_or(plenty),
            binding_budget: self.bindings.unwrap_or(plenty),
            peers: cast::policy(self.policy),
            nat_discovery: self.nat_discovery(),
        }
    }

    fn nat_discovery(&self) -> NatDiscovery {
        let [a1p1, a2p1, a2p2, a1p2] = CORNERS.map(|(listener, address)| Corner {
            listener: ListenerId(listener),
            address: address.parse().unwrap(),
        });
        let quartets = match self.discovery {
            Discovery::Off => Vec::new(),
            Discovery::Modern | Discovery::Classic => vec![Quartet { corners: [a1p1, a2p1, a1p2, a2p2] }],
        };
        NatDiscovery { quartets, classic: self.discovery == Discovery::Classic }
    }

    /// RFC 8656 §7.2: at least the default, and no more than the server's maximum above it.
    pub fn lifetime(&self, requested: Option<u32>) -> u64 {
        match requested {
            Some(seconds) if u64::from(seconds) > 600 => u64::from(seconds).min(self.max_lifetime.max(600)),
            Some(_) | None => 600,
        }
    }
}

/// A token bucket told in thousandths of a byte.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    level: u128,
    at: u64,
}

impl Bucket {
    pub fn full(rate: Rate, now: u64) -> Self {
        Self { level: u128::from(rate.burst) * 1000, at: now }
    }

    pub fn take(&mut self, bytes: usize, rate: Rate, now: u64) -> bool {
        let filled = self.level + u128::from(now - self.at) * u128::from(rate.per_second);
        self.level = filled.min(u128::from(rate.burst) * 1000);
        self.at = now;
        let wanted = bytes as u128 * 1000;
        if wanted > self.level {
            return false;
        }
        self.level -= wanted;
        true
    }
}
