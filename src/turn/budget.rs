//! How many unauthenticated answers a source may draw, so that a forged source is not flooded (THREATS A16, L02).

use std::hash::BuildHasher;
use std::net::IpAddr;

use foldhash::fast::FixedState;

use super::bucket::{Rate, TokenBucket};
use super::source::Source;
use super::time::Millis;

/// Buckets per budget. Sources share one when their hashes meet; the memory is the same for any number of them.
const BUCKETS: usize = 8192;

/// A token bucket for each source.
#[derive(Debug)]
pub(super) struct SourceBudget {
    buckets: Box<[TokenBucket]>,
    hasher: FixedState,
}

impl SourceBudget {
    pub(super) fn new(rate: Rate, seed: u64) -> Self {
        let buckets = vec![TokenBucket::full(rate, Millis(0)); BUCKETS].into_boxed_slice();
        Self { buckets, hasher: FixedState::with_seed(seed) }
    }

    /// Whether this source may draw an answer that costs this much.
    pub(super) fn take(&mut self, source: IpAddr, cost: u64, rate: Rate, now: Millis) -> bool {
        self.bucket(source).take(cost, rate, now)
    }

    /// Gives back what a source paid for a challenge that it then met: honest clients never run out, however
    /// many of them share an address.
    pub(super) fn refund(&mut self, source: IpAddr, cost: u64, rate: Rate) {
        self.bucket(source).refund(cost, rate);
    }

    fn bucket(&mut self, source: IpAddr) -> &mut TokenBucket {
        // The table's length is a power of two, so the remainder is the hash's low bits.
        let place = self.hasher.hash_one(Source::of(source)) % BUCKETS as u64;
        &mut self.buckets[usize::try_from(place).unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 1, burst: 3 };

    fn drawn(budget: &mut SourceBudget, source: &str) -> usize {
        let source = source.parse().unwrap();
        (0..10).filter(|_| budget.take(source, 1, RATE, Millis(0))).count()
    }

    #[test]
    fn one_source_cannot_spend_what_another_has() {
        let mut budget = SourceBudget::new(RATE, 1);
        assert_eq!(drawn(&mut budget, "192.0.2.1"), 3);
        assert_eq!(drawn(&mut budget, "192.0.2.1"), 0);
        assert_eq!(drawn(&mut budget, "192.0.2.2"), 3);
    }

    #[test]
    fn an_ipv6_source_is_its_64_bit_prefix() {
        let mut budget = SourceBudget::new(RATE, 1);
        assert_eq!(drawn(&mut budget, "2001:db8:0:1::1"), 3);
        assert_eq!(drawn(&mut budget, "2001:db8:0:1:ffff::2"), 0);
        assert_eq!(drawn(&mut budget, "2001:db8:0:2::1"), 3);
    }

    #[test]
    fn a_refund_is_no_gift() {
        let mut budget = SourceBudget::new(RATE, 1);
        let source = "192.0.2.1".parse().unwrap();
        budget.refund(source, 100, RATE);
        assert_eq!(drawn(&mut budget, "192.0.2.1"), 3);
    }
}
