//! Values as people write them: "10m", "64 KiB", "50 Mbit/s", "20/s", or "unlimited".

use std::{fmt, str::FromStr};

/// Why a value is not understood, with what would be: shown behind the file, line and caret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(pub String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

/// A span of time in whole seconds: "30s", "10m", "1h30m", "1d".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub u64);

/// An amount of memory: "64 KiB", "4 MiB", "1500 B".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// A bandwidth, counted in bits as network people do: "500 kbit/s", "50 Mbit/s".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BitsPerSecond(pub u64);

/// How often something may happen: "20/s".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PerSecond(pub u32);

/// A number of things, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u32);

/// A number of things, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CountOrNone(pub u32);

/// A bound that can be lifted by writing "unlimited".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit<T> {
    /// No bound.
    Unlimited,
    /// Up to and including this.
    At(T),
}

impl<T> Limit<T> {
    /// The bound, or `None` when there is none.
    pub fn bound(self) -> Option<T> {
        match self {
            Self::Unlimited => None,
            Self::At(bound) => Some(bound),
        }
    }
}

/// How often something is done, or "off".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// Never.
    Off,
    /// Once in this time.
    Time(Seconds),
}

/// Unit names with their factors, the largest first, so that printing finds the shortest text.
type Units = &'static [(&'static str, u64)];

const TIMES: Units = &[("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
const SIZES: Units = &[
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];
const RATES: Units = &[("Gbit/s", 1_000_000_000), ("Mbit/s", 1_000_000), ("kbit/s", 1_000), ("bit/s", 1)];

impl FromStr for Seconds {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let accepted = "a whole number of s, m, h, d or w, like \"30s\", \"10m\" or \"1h30m\"";
        let mut rest = text.trim();
        let mut total = Some(0u64);
        while let Some((number, unit, behind)) = number_and_unit(rest) {
            total = total.zip(scaled(number, unit, TIMES)).and_then(|(sum, part)| sum.checked_add(part));
            rest = behind.trim_start();
        }
        match total {
            Some(total) if rest.is_empty() && !text.trim().is_empty() => Ok(Self(total)),
            _ => Err(not_a("duration", text, accepted)),
        }
    }
}

impl FromStr for Bytes {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        one_scaled(text, SIZES).map(Self).ok_or_else(|| {
            not_a("size", text, "a whole number of B, kB, KiB, MB, MiB, GB or GiB, like \"64 KiB\"")
        })
    }
}

impl FromStr for BitsPerSecond {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        one_scaled(text, RATES).map(Self).ok_or_else(|| {
            not_a("bandwidth", text, "a whole number of bit/s, kbit/s, Mbit/s or Gbit/s, like \"50 Mbit/s\"")
        })
    }
}

impl FromStr for PerSecond {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let number = text.trim().strip_suffix("/s").and_then(|number| number.trim_end().parse().ok());
        number
            .filter(|number| *number > 0)
            .map(Self)
            .ok_or_else(|| not_a("rate", text, "a whole number per second from 1, like \"20/s\""))
    }
}

impl FromStr for Count {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let number = text.trim().parse().ok().filter(|number| *number > 0);
        number.map(Self).ok_or_else(|| not_a("count", text, "a whole number from 1 to 4294967295"))
    }
}

impl FromStr for CountOrNone {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let number = text.trim().parse().ok();
        number.map(Self).ok_or_else(|| not_a("count", text, "a whole number from 0 to 4294967295"))
    }
}

impl<T: FromStr<Err = Invalid>> FromStr for Limit<T> {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.trim() == "unlimited" {
            return Ok(Self::Unlimited);
        }
        text.parse().map(Self::At).map_err(|Invalid(message)| Invalid(format!("{message}, or \"unlimited\"")))
    }
}

impl FromStr for Every {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.trim() == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::Time).map_err(|Invalid(message)| Invalid(format!("{message}, or \"off\"")))
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Time(time) => time.fmt(f),
        }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show_scaled(f, self.0, TIMES, "")
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show_scaled(f, self.0, SIZES, " ")
    }
}

impl fmt::Display for BitsPerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show_scaled(f, self.0, RATES, " ")
    }
}

impl fmt::Display for PerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for CountOrNone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl<T: fmt::Display> fmt::Display for Limit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::At(bound) => bound.fmt(f),
        }
    }
}

/// Splits "10 Mbit/s rest" into the digits, the unit up to the next digit or space, and the rest.
fn number_and_unit(text: &str) -> Option<(&str, &str, &str)> {
    let (number, rest) = text.split_at(text.find(|char: char| !char.is_ascii_digit())?);
    let rest = rest.trim_start();
    let end = rest.find(|char: char| char.is_ascii_digit() || char.is_whitespace()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    (!number.is_empty() && !unit.is_empty()).then_some((number, unit, rest))
}

fn scaled(number: &str, unit: &str, units: Units) -> Option<u64> {
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn one_scaled(text: &str, units: Units) -> Option<u64> {
    match number_and_unit(text.trim())? {
        (number, unit, "") => scaled(number, unit, units),
        _ => None,
    }
}

fn show_scaled(f: &mut fmt::Formatter<'_>, value: u64, units: Units, space: &str) -> fmt::Result {
    // Zero is a multiple of everything; the smallest unit says it best. The last factor is 1, so one always fits.
    let fits = |(_, factor): &&(&str, u64)| value >= *factor && value.is_multiple_of(*factor);
    let (unit, factor) = units.iter().find(fits).or(units.last()).expect("a table of units is never empty");
    write!(f, "{}{space}{unit}", value / factor)
}

fn not_a(kind: &str, text: &str, accepted: &str) -> Invalid {
    Invalid(format!("{text:?} is not a {kind}: expected {accepted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_shown_in_the_largest_unit_that_fits() {
        fn check<T: FromStr<Err = Invalid> + fmt::Display>(cases: &[(&str, &str)]) {
            for (text, shown) in cases {
                let value: T = text.parse().unwrap_or_else(|invalid| panic!("{text}: {invalid}"));
                assert_eq!(value.to_string(), *shown, "{text}");
                assert_eq!(shown.parse::<T>().map(|again| again.to_string()), Ok((*shown).to_owned()));
            }
        }
        check::<Seconds>(&[
            ("0s", "0s"),
            ("30s", "30s"),
            ("600s", "10m"),
            (" 10 m ", "10m"),
            ("1h30m", "90m"),
            ("1h 30m", "90m"),
            ("24h", "1d"),
            ("7d", "1w"),
        ]);
        check::<Bytes>(&[
            ("64 KiB", "64 KiB"),
            ("64KiB", "64 KiB"),
            ("4096 KiB", "4 MiB"),
            ("1500 B", "1500 B"),
        ]);
        check::<Bytes>(&[("2000 kB", "2 MB"), ("0 B", "0 B")]);
        check::<BitsPerSecond>(&[
            ("50 Mbit/s", "50 Mbit/s"),
            ("1500 kbit/s", "1500 kbit/s"),
            ("8bit/s", "8 bit/s"),
        ]);
        check::<PerSecond>(&[("20/s", "20/s"), ("20 /s", "20/s")]);
        check::<Count>(&[("256", "256")]);
        check::<CountOrNone>(&[("0", "0"), ("64", "64")]);
        check::<Limit<BitsPerSecond>>(&[("unlimited", "unlimited"), ("1000 kbit/s", "1 Mbit/s")]);
        check::<Every>(&[("off", "off"), ("300s", "5m")]);
        check::<Limit<Count>>(&[("unlimited", "unlimited"), ("7", "7")]);
    }

    #[test]
    fn the_factors_are_right() {
        assert_eq!("1w2d3h4m5s".parse(), Ok(Seconds(604_800 + 2 * 86_400 + 3 * 3_600 + 4 * 60 + 5)));
        assert_eq!("3 GiB".parse(), Ok(Bytes(3 * 1024 * 1024 * 1024)));
        assert_eq!("3 GB".parse(), Ok(Bytes(3_000_000_000)));
        assert_eq!("2 Gbit/s".parse(), Ok(BitsPerSecond(2_000_000_000)));
    }

    #[test]
    fn what_is_not_a_value_is_refused_with_what_would_be() {
        fn refused<T: FromStr<Err = Invalid>>(texts: &[&str], expected: &str) {
            for text in texts {
                let Err(Invalid(message)) = text.parse::<T>() else { panic!("{text} was accepted") };
                assert_eq!(message, format!("{text:?} is not a {expected}"));
            }
        }
        refused::<Seconds>(
            &[
                "",
                "10",
                "m",
                "10 parsecs",
                "-1s",
                "1.5h",
                "10mm",
                "5m3",
                "18446744073709551615w",
                "99999999999999999999s",
            ],
            "duration: expected a whole number of s, m, h, d or w, like \"30s\", \"10m\" or \"1h30m\"",
        );
        refused::<Bytes>(
            &["", "64", "64 K", "64 kib", "1 KiB 2 KiB", "99999999999 GiB"],
            "size: expected a whole number of B, kB, KiB, MB, MiB, GB or GiB, like \"64 KiB\"",
        );
        refused::<BitsPerSecond>(
            &["50", "50 MB/s", "50 mbit/s"],
            "bandwidth: expected a whole number of bit/s, kbit/s, Mbit/s or Gbit/s, like \"50 Mbit/s\"",
        );
        refused::<PerSecond>(
            &["20", "0/s", "/s"],
            "rate: expected a whole number per second from 1, like \"20/s\"",
        );
        refused::<Count>(
            &["0", "-1", "many", "4294967296"],
            "count: expected a whole number from 1 to 4294967295",
        );
        refused::<Every>(
            &["never"],
            "duration: expected a whole number of s, m, h, d or w, like \"30s\", \"10m\" or \"1h30m\", or \"off\"",
        );
        refused::<Limit<Count>>(
            &["none"],
            "count: expected a whole number from 1 to 4294967295, or \"unlimited\"",
        );
    }
}
