//! When to order: in time before a certificate ends, and ever more seldom while it fails.

/// Seconds since 1970, by the wall clock: certificates end by it, and it is what outlives a restart.
pub(super) type UnixSeconds = u64;

/// The time a certificate is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: UnixSeconds,
    pub(super) not_after: UnixSeconds,
}

impl Validity {
    /// When to have the next one: after about two thirds, so that a last third is left for what may go wrong. Up to a
    /// thirtieth earlier, by chance, so that servers set up together do not come together.
    pub(super) fn renewal(self, random: u64) -> UnixSeconds {
        let life = self.not_after.saturating_sub(self.not_before);
        let early = random % (life / 30 + 1);
        self.not_before.saturating_add(life / 3 * 2 + life % 3).saturating_sub(early)
    }

    /// The same where the CA has told what it would like: a moment in its window, by chance, so that not all come at
    /// once; a window that is past means at once (RFC 9773 §4.2). But whatever the CA says, not in the first tenth of
    /// the life, so that nothing makes us order without end, and not in the last one, so that a failure can be mended.
    pub(super) fn renewal_within(self, window: Window, random: u64) -> UnixSeconds {
        let length = window.end.saturating_sub(window.start);
        let moment = window.start.saturating_add(random.checked_rem(length).unwrap_or_default());
        let margin = self.not_after.saturating_sub(self.not_before) / 10;
        moment.min(self.not_after.saturating_sub(margin)).max(self.not_before.saturating_add(margin))
    }
}

/// When the CA would like a certificate to be renewed (RFC 9773 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: UnixSeconds,
    pub(super) end: UnixSeconds,
}

/// How long after a start, or a new certificate, the CA is first asked for its window: later than a server that fails
/// again and again lives, and not all at once after a power failure.
pub(super) fn first_question(random: u64) -> u64 {
    10 + random % 10
}

/// When to ask again, from when the CA says it may be. RFC 9773 §4.3.2 leaves the bounds to the client.
pub(super) fn next_question(retry_after: u64) -> u64 {
    retry_after.clamp(3600, 86_400)
}

/// How long to wait after so many failures in a row: a minute, then three times as long each time, up to six hours,
/// and by chance up to a quarter less or more. That makes at most five tries in the first hour, which is how many
/// failed validations public CAs allow a name, and four a day after that.
pub(super) fn back_off(failures: u32, random: u64) -> u64 {
    let wait = FIRST_WAIT.saturating_mul(3u64.saturating_pow(failures.saturating_sub(1))).min(LONGEST_WAIT);
    wait - wait / 4 + random % (wait / 2 + 1)
}

/// No wait is longer than this; one that is kept and says so comes from a clock that was wrong.
pub(super) const MAX_BACK_OFF: u64 = LONGEST_WAIT + LONGEST_WAIT / 4;

/// The wait when the CA says that there were too many requests already, whose limits count by the hour at least.
pub(super) fn rate_limit_back_off(failures: u32, random: u64) -> u64 {
    back_off(failures, random).max(3600 + random % 1800)
}

/// The wait when the CA has not heard of the attempt: nobody minds if it is short.
pub(super) fn unheard_back_off(failures: u32, random: u64) -> u64 {
    back_off(failures, random).min(600 + random % 300)
}

const FIRST_WAIT: u64 = 60;
const LONGEST_WAIT: u64 = 6 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    #[test]
    fn a_certificate_is_renewed_after_about_two_thirds_of_its_life() {
        let validity = Validity { not_before: 1_000, not_after: 1_000 + 90 * DAY };
        assert_eq!(validity.renewal(0), 1_000 + 60 * DAY);
        assert_eq!(validity.renewal(3 * DAY), 1_000 + 57 * DAY);
        for random in [1, 77_777, u64::MAX / 3, u64::MAX] {
            assert!((1_000 + 57 * DAY..=1_000 + 60 * DAY).contains(&validity.renewal(random)), "{random}");
        }
        let short = Validity { not_before: 0, not_after: 12 };
        assert_eq!([short.renewal(0), short.renewal(1)], [8, 8]);
        let backwards = Validity { not_before: 50, not_after: 10 };
        assert_eq!(backwards.renewal(u64::MAX), 50);
        let endless = Validity { not_before: 0, not_after: u64::MAX };
        assert!(endless.renewal(u64::MAX) < u64::MAX);
    }

    #[test]
    fn a_moment_is_chosen_within_the_window_of_the_ca() {
        let validity = Validity { not_before: 1_000, not_after: 2_000 };
        let moment = |start, end, random| validity.renewal_within(Window { start, end }, random);
        assert_eq!([0, 3, 10, 19].map(|random| moment(1_500, 1_510, random)), [1_500, 1_503, 1_500, 1_509]);
        assert_eq!([moment(1_500, 1_500, 77), moment(1_500, 50, 77)], [1_500, 1_500]);
        assert_eq!(moment(10, 20, 5), 1_100, "not in the first tenth");
        assert_eq!(moment(3_000, u64::MAX, u64::MAX - 1), 1_900, "not in the last tenth");
        assert_eq!([0, 21_600, u64::MAX].map(next_question), [3600, 21_600, 86_400]);
        assert!((10..20).contains(&first_question(u64::MAX)));
    }

    #[test]
    fn each_failure_triples_the_wait_up_to_six_hours() {
        // In the middle of what chance makes of it.
        let middle = |failures| {
            let (shortest, longest) = (0..=21_600)
                .map(|random| back_off(failures, random))
                .fold((u64::MAX, 0), |(min, max), wait| (min.min(wait), max.max(wait)));
            assert!(longest <= MAX_BACK_OFF);
            assert!(longest * 3 >= shortest * 5 - 5, "{shortest} to {longest}");
            shortest.midpoint(longest)
        };
        let waits = [1, 2, 3, 4, 5, 6, 7, 100, u32::MAX].map(middle);
        assert_eq!(waits, [60, 180, 540, 1620, 4860, 14_580, 21_600, 21_600, 21_600]);
        let within_an_hour = (1..).scan(0, |at, failures| {
            let this = *at;
            *at += back_off(failures, 0);
            (this < 3600).then_some(this)
        });
        assert_eq!(within_an_hour.count(), 5);
        assert!((3600..5400).contains(&rate_limit_back_off(1, u64::MAX)));
        assert_eq!(rate_limit_back_off(9, 0), back_off(9, 0));
        assert_eq!(unheard_back_off(1, 0), back_off(1, 0));
        assert!((600..900).contains(&unheard_back_off(9, u64::MAX)));
    }
}
