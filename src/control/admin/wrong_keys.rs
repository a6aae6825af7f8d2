//! How often wrong keys come from where.
//!
//! The right key always passes: many share the address of a web server in front, and none of them may lock the others
//! out. Keys are too long to be guessed; what is limited is what guessing costs us, and the log.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Wrong keys of one source within a period that are answered as such.
const PER_PERIOD: u32 = 20;
const PERIOD: Duration = Duration::from_secs(60);
/// Sources that are remembered. When there are more, the one that was counted first is forgotten.
const SOURCES: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct WrongKeys(Mutex<HashMap<IpAddr, Count>>);

#[derive(Clone, Copy, Debug)]
struct Count {
    since: Instant,
    keys: u32,
}

/// What to do about a wrong key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The first of its source for a while: it is worth a line in the log.
    First,
    Again,
    /// There were so many that they are only told to wait.
    TooMany,
}

impl WrongKeys {
    pub(super) fn count(&self, source: IpAddr, now: Instant) -> Verdict {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let source = prefix(source);
        sources.retain(|_, count| now.saturating_duration_since(count.since) < PERIOD);
        if sources.len() >= SOURCES && !sources.contains_key(&source) {
            let oldest = sources.iter().min_by_key(|(_, count)| count.since).map(|(source, _)| *source);
            sources.retain(|source, _| Some(*source) != oldest);
        }
        let count = sources.entry(source).or_insert(Count { since: now, keys: 0 });
        count.keys = count.keys.saturating_add(1);
        match count.keys {
            1 => Verdict::First,
            keys if keys <= PER_PERIOD => Verdict::Again,
            _ => Verdict::TooMany,
        }
    }
}

/// Whoever has one IPv6 address has all of its /64.
fn prefix(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_goes_on_is_told_to_wait_and_others_are_not() {
        let (wrong, start) = (WrongKeys::default(), Instant::now());
        let count = |source: &str, at| wrong.count(source.parse().unwrap(), start + Duration::from_secs(at));
        assert_eq!(count("2001:db8::1", 0), Verdict::First);
        for _ in 1..PER_PERIOD {
            assert_eq!(count("2001:db8::2", 1), Verdict::Again);
        }
        assert_eq!(count("2001:db8::3", 2), Verdict::TooMany);
        assert_eq!(count("2001:db8:0:1::3", 2), Verdict::First);
        assert_eq!(count("2001:db8::1", 60), Verdict::First);
    }

    #[test]
    fn only_so_many_sources_are_remembered() {
        let (wrong, now) = (WrongKeys::default(), Instant::now());
        for number in 0..3 * u32::try_from(SOURCES).unwrap() {
            wrong.count(IpAddr::V4(number.into()), now);
        }
        assert_eq!(wrong.0.lock().unwrap().len(), SOURCES);
    }
}
