//! A token bucket: so much per second, and a little saved up.

use super::time::Millis;

/// How fast a bucket fills and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Units per second.
    pub per_second: u64,
    /// The most that can be taken at once after a pause.
    pub burst: u64,
}

/// Counts in thousandths of a unit, so that a millisecond's share of a slow rate is not rounded away.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenBucket {
    thousandths: u64,
    filled: Millis,
}

impl TokenBucket {
    pub(super) fn full(rate: Rate, now: Millis) -> Self {
        Self { thousandths: rate.burst.saturating_mul(1000), filled: now }
    }

    /// Takes this many units, or none if there are not enough.
    #[inline]
    pub(super) fn take(&mut self, units: u64, rate: Rate, now: Millis) -> bool {
        self.fill(rate, now);
        match self.thousandths.checked_sub(units.saturating_mul(1000)) {
            Some(rest) => {
                self.thousandths = rest;
                true
            }
            None => false,
        }
    }

    /// How many units can be taken.
    pub(super) fn level(&mut self, rate: Rate, now: Millis) -> u64 {
        self.fill(rate, now);
        self.thousandths / 1000
    }

    /// When this many units, which must not exceed the burst, can be taken.
    pub(super) fn when(&mut self, units: u64, rate: Rate, now: Millis) -> Millis {
        self.fill(rate, now);
        let missing = units.saturating_mul(1000).saturating_sub(self.thousandths);
        Millis(now.0.saturating_add(missing.div_ceil(rate.per_second.max(1))))
    }

    /// Puts units back.
    pub(super) fn refund(&mut self, units: u64, rate: Rate) {
        self.put(units.saturating_mul(1000), rate);
    }

    #[inline]
    fn fill(&mut self, rate: Rate, now: Millis) {
        let elapsed = now.0.saturating_sub(self.filled.0);
        if elapsed > 0 {
            self.put(elapsed.saturating_mul(rate.per_second), rate);
            self.filled = now;
        }
    }

    fn put(&mut self, thousandths: u64, rate: Rate) {
        let full = rate.burst.saturating_mul(1000);
        self.thousandths = self.thousandths.saturating_add(thousandths).min(full);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_at_once_and_its_rate_afterwards() {
        let rate = Rate { per_second: 3, burst: 5 };
        let mut bucket = TokenBucket::full(rate, Millis(0));
        let taken = (0..100).filter(|_| bucket.take(1, rate, Millis(0))).count();
        assert_eq!(taken, 5);
        let taken = (0..10_000).filter(|ms| bucket.take(1, rate, Millis(*ms))).count();
        assert_eq!(taken, 29, "3 a second for just under 10 seconds");
    }

    #[test]
    fn a_bucket_tells_when_there_will_be_enough() {
        let rate = Rate { per_second: 3, burst: 5 };
        let mut bucket = TokenBucket::full(rate, Millis(0));
        assert!(bucket.take(5, rate, Millis(0)));
        for units in 0..=5 {
            let when = bucket.when(units, rate, Millis(0));
            let mut later = bucket;
            assert!(later.take(units, rate, when), "{units} at {when:?}");
            assert!(when.0 == 0 || !bucket.clone().take(units, rate, Millis(when.0 - 1)), "and not before");
        }
        assert_eq!(bucket.level(rate, Millis(1000)), 3);
    }

    #[test]
    fn a_bucket_never_holds_more_than_its_burst() {
        let rate = Rate { per_second: u64::MAX, burst: 2 };
        let mut bucket = TokenBucket::full(rate, Millis(0));
        bucket.refund(u64::MAX, rate);
        assert!(!bucket.take(3, rate, Millis(u64::MAX)));
        assert!(bucket.take(2, rate, Millis(u64::MAX)));
    }
}
