//! Log lines that strangers can cause are written once in a while, with the number left out.

use std::time::Duration;

use crate::turn::Millis;

/// Lets one line through per period.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    next: Millis,
    suppressed: u64,
}

const PERIOD: Duration = Duration::from_secs(10);

impl Throttle {
    /// Whether to write the line; if so, how many were left out since the last one.
    pub(crate) fn pass(&mut self, now: Millis) -> Option<u64> {
        if now < self.next {
            self.suppressed += 1;
            return None;
        }
        self.next = now.after(PERIOD);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_period_says_how_many_were_left_out() {
        let mut throttle = Throttle::default();
        let at = [0, 1, 9_999, 10_000, 10_001, 30_000].map(|ms| throttle.pass(Millis(ms)));
        assert_eq!(at, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
