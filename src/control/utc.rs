//! Unix seconds, now and as text that people and programs can read (RFC 3339, UTC).

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

/// The wall clock in Unix seconds. A clock before 1970 counts as 1970.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A moment, shown as `2026-11-20T16:00:00Z`, with milliseconds if they are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc {
    seconds: u64,
    millis: Option<u64>,
}

impl Utc {
    /// `None` behind the year 9999, which has no such text.
    pub fn new(seconds: u64) -> Option<Self> {
        const YEAR_10000: u64 = 253_402_300_800;
        (seconds < YEAR_10000).then_some(Self { seconds, millis: None })
    }

    /// The same from milliseconds.
    pub fn of_millis(millis: u64) -> Option<Self> {
        Self::new(millis / 1000).map(|utc| Self { millis: Some(millis % 1000), ..utc })
    }
}

impl Utc {
    /// The same as `Fri, 20 Nov 2026 16:00:00 +0000` (RFC 2822).
    pub fn rfc_2822(self) -> String {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let name = |names: &[&'static str], at: u64| {
            usize::try_from(at).ok().and_then(|at| names.get(at).copied()).unwrap_or_default()
        };
        let days = self.seconds / 86_400;
        let (year, month, day) = date(days);
        let (weekday, month) = (name(&DAYS, days % 7), name(&MONTHS, month - 1));
        let second = self.seconds % 86_400;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} +0000")
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.seconds / 86_400);
        let second = self.seconds % 86_400;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
            second / 3600,
            second / 60 % 60,
            second % 60
        )?;
        match self.millis {
            Some(millis) => write!(f, ".{millis:03}Z"),
            None => f.write_str("Z"),
        }
    }
}

/// Days since 1970 as a date. Counted from 1 March of year 0, so that the leap day is the last day of a year.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_FROM_0000_03_01: u64 = 719_468;
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let days = days + DAYS_FROM_0000_03_01;
    let (era, day_of_era) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // From March on, months have 153 days in each five.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_as_date_and_time() {
        // Made with `date -u -d @N`.
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_760_000_000, "2025-10-09T08:53:20Z"),
            (1_772_323_199, "2026-02-28T23:59:59Z"),
            (1_772_323_200, "2026-03-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(Utc::new(seconds).unwrap().to_string(), expected);
        }
        assert_eq!(Utc::new(253_402_300_800), None);
        assert_eq!(Utc::of_millis(1_760_000_000_007).unwrap().to_string(), "2025-10-09T08:53:20.007Z");
    }

    #[test]
    fn mail_has_its_own_form() {
        // Made with `date -u -R -d @N`.
        let cases = [
            (0, "Thu, 01 Jan 1970 00:00:00 +0000"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
            (1_760_000_000, "Thu, 09 Oct 2025 08:53:20 +0000"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(Utc::new(seconds).unwrap().rfc_2822(), expected);
        }
    }
}
