//! When to warn that a certificate expires.

use super::{CertificateStatus, Notice, Origin};

const DAY: u64 = 86_400;

/// Remembers what was said about which certificate.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    told: Vec<Told>,
}

#[derive(Debug)]
struct Told {
    origin: Origin,
    not_after: u64,
    stage: Stage,
    at: u64,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    NotYetValid,
    Fresh,
    /// Time to look why it was not renewed.
    Soon,
    /// Told every day.
    Urgent,
    Expired,
}

impl Expiry {
    /// What is to be said at `now`, in Unix seconds: each stage once, and every day from the third day before the end.
    pub(super) fn check(&mut self, certificates: &[CertificateStatus], now: u64) -> Vec<Notice> {
        let is_served = |told: &Told| {
            certificates.iter().any(|it| it.origin == told.origin && it.not_after == told.not_after)
        };
        self.told.retain(is_served);
        certificates.iter().filter_map(|it| self.check_one(it, now)).collect()
    }

    fn check_one(&mut self, it: &CertificateStatus, now: u64) -> Option<Notice> {
        let stage = Stage::of(it, now);
        let same = |told: &&mut Told| told.origin == it.origin && told.not_after == it.not_after;
        let told = self.told.iter_mut().find(same);
        let is_due = match &told {
            None => true,
            Some(told) if told.stage != stage => true,
            Some(told) => stage.is_daily() && now.saturating_sub(told.at) >= DAY,
        };
        if !is_due {
            return None;
        }
        match told {
            Some(told) => (told.stage, told.at) = (stage, now),
            None => {
                let (origin, not_after) = (it.origin.clone(), it.not_after);
                self.told.push(Told { origin, not_after, stage, at: now });
            }
        }
        match stage {
            Stage::Fresh => None,
            Stage::Soon | Stage::Urgent => {
                Some(Notice::Expires(it.clone(), it.not_after.saturating_sub(now)))
            }
            Stage::Expired => Some(Notice::Expired(it.clone())),
            Stage::NotYetValid => Some(Notice::NotYetValid(it.clone())),
        }
    }
}

impl Stage {
    /// 14 and 3 days ahead; less where the whole life is short, as that of certificates for a few days.
    fn of(it: &CertificateStatus, now: u64) -> Self {
        let life = it.not_after.saturating_sub(it.not_before);
        let (soon, urgent) = ((14 * DAY).min(life / 4), (3 * DAY).min(life / 10));
        match it.not_after.checked_sub(now) {
            _ if now < it.not_before => Self::NotYetValid,
            None | Some(0) => Self::Expired,
            Some(left) if left <= urgent => Self::Urgent,
            Some(left) if left <= soon => Self::Soon,
            Some(_) => Self::Fresh,
        }
    }

    fn is_daily(self) -> bool {
        match self {
            Self::Urgent | Self::Expired | Self::NotYetValid => true,
            Self::Fresh | Self::Soon => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(not_before: u64, not_after: u64) -> CertificateStatus {
        let names = vec!["turn.example.org".to_owned()];
        CertificateStatus { names, not_before, not_after, origin: Origin::File("chain.pem".into()) }
    }

    /// What is said over a life of `days`, looked at every hour: the hour before the end, or behind it, and what.
    fn said(days: u64) -> Vec<(i64, &'static str)> {
        let (begin, end) = (1_000 * DAY, (1_000 + days) * DAY);
        let it = [certificate(begin, end)];
        let mut expiry = Expiry::default();
        let mut said = Vec::new();
        for now in (begin - DAY..end + 2 * DAY).step_by(3600) {
            for notice in expiry.check(&it, now) {
                let what = match notice {
                    Notice::Expires(..) => "expires",
                    Notice::Expired(_) => "expired",
                    Notice::NotYetValid(_) => "early",
                    Notice::Loaded(_) | Notice::Broken { .. } | Notice::Mended(_) | Notice::Advice(_) => {
                        "other"
                    }
                };
                said.push(((i64::try_from(end).unwrap() - i64::try_from(now).unwrap()) / 3600, what));
            }
        }
        said
    }

    #[test]
    fn a_warning_comes_14_and_3_days_ahead_then_daily_and_at_the_end() {
        let expected = [
            (91 * 24, "early"),
            (14 * 24, "expires"),
            (72, "expires"),
            (48, "expires"),
            (24, "expires"),
            (0, "expired"),
            (-24, "expired"),
        ];
        assert_eq!(said(90), expected);
    }

    #[test]
    fn a_short_life_is_warned_of_later() {
        assert_eq!(
            said(4),
            [(5 * 24, "early"), (24, "expires"), (9, "expires"), (0, "expired"), (-24, "expired")]
        );
    }

    #[test]
    fn a_renewed_certificate_is_forgotten_and_begins_anew() {
        let mut expiry = Expiry::default();
        let now = 1_000 * DAY;
        assert_eq!(expiry.check(&[certificate(now - 89 * DAY, now + DAY)], now).len(), 1);
        assert_eq!(expiry.check(&[certificate(now, now + 90 * DAY)], now).len(), 0);
        assert_eq!(expiry.told.len(), 1);
        assert_eq!(expiry.check(&[certificate(now, now + 90 * DAY)], now + 80 * DAY).len(), 1);
    }
}
