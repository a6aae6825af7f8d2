//! Leaves a webhook alone that is down, so that it costs neither its own recovery nor our clients' time.

use std::time::{Duration, Instant};

/// Counts failures in a row.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    /// Since when, and until when, nothing is asked.
    open_until: Option<Instant>,
    /// A question was let through to see whether it answers again.
    is_trying: bool,
}

/// So many failures in a row are no accident.
const ENOUGH: u32 = 5;
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

impl Breaker {
    /// Whether a question may be asked now.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        match self.open_until {
            None => true,
            Some(until) if now < until || self.is_trying => false,
            Some(_) => {
                self.is_trying = true;
                true
            }
        }
    }

    /// Whether it is left alone.
    pub(super) fn is_open(&self) -> bool {
        self.open_until.is_some()
    }

    pub(super) fn succeed(&mut self) {
        *self = Self::default();
    }

    pub(super) fn fail(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let was_trying = std::mem::take(&mut self.is_trying);
        // What was asked before it was left alone may still fail, and says nothing new.
        if self.failures >= ENOUGH && (was_trying || self.open_until.is_none()) {
            let doublings = (self.failures - ENOUGH).min(5);
            self.open_until = Some(now + (SHORTEST * (1 << doublings)).min(LONGEST));
        } else if self.open_until.is_some() {
            self.failures -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_five_failures_one_question_at_a_time_finds_out_whether_it_is_back() {
        let mut breaker = Breaker::default();
        let mut now = Instant::now();
        for _ in 0..4 {
            assert!(breaker.admits(now));
            breaker.fail(now);
        }
        breaker.succeed();
        for _ in 0..5 {
            assert!(breaker.admits(now), "a success begins anew");
            breaker.fail(now);
        }
        for wait in [1, 2, 4, 8, 16, 30, 30] {
            assert!(breaker.is_open() && !breaker.admits(now));
            // Late failures change nothing.
            breaker.fail(now);
            now += Duration::from_secs(wait) - Duration::from_millis(1);
            assert!(!breaker.admits(now), "{wait}");
            now += Duration::from_millis(1);
            assert!(breaker.admits(now) && !breaker.admits(now), "{wait}: one");
            breaker.fail(now);
        }
        now += LONGEST;
        assert!(breaker.admits(now));
        breaker.succeed();
        assert!(!breaker.is_open() && breaker.admits(now) && breaker.admits(now));
    }
}
