//! What was answered about users, for as long as that is good.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answer::Decision;
use crate::config::checked::{CacheLimits, LONGEST_TTL};
use crate::turn::Verdict;

/// Answers by user, and by user and address where they hold for that alone.
#[derive(Debug)]
pub(super) struct Cache {
    limits: CacheLimits,
    grants: Shelf,
    /// Apart from the others: whoever asks about names that are nobody's must not push out those of users.
    refusals: Shelf,
}

/// Whom an answer is about.
type About = (Box<str>, Option<IpAddr>);

#[derive(Debug, Default)]
struct Shelf {
    entries: HashMap<About, Entry>,
    /// In the order they came, with the number of each: one that was replaced has a later one.
    order: VecDeque<(About, u64)>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    verdict: Arc<Verdict>,
    until: Instant,
    number: u64,
}

impl Cache {
    pub(super) fn new(limits: CacheLimits) -> Self {
        Self { limits, grants: Shelf::default(), refusals: Shelf::default() }
    }

    /// What is known of a user at this address.
    pub(super) fn get(&self, user: &str, address: IpAddr, now: Instant) -> Option<Arc<Verdict>> {
        [Some(address), None].into_iter().find_map(|address| {
            let about = (user.into(), address);
            // A refusal is younger than the grant beside it, or that would have been used.
            self.refusals.get(&about, now).or_else(|| self.grants.get(&about, now))
        })
    }

    /// Remembers an answer for as long as it says, or as is configured.
    pub(super) fn put(
        &mut self,
        user: &str,
        address: IpAddr,
        decision: &Decision,
        verdict: Arc<Verdict>,
        (now, unix): (Instant, u64),
    ) {
        let (shelf, usual) = match &*verdict {
            Verdict::Granted(_) => (&mut self.grants, self.limits.grants),
            Verdict::Refused { .. } => (&mut self.refusals, self.limits.refusals),
        };
        let left = decision.expires.map(|expires| Duration::from_secs(expires.saturating_sub(unix)));
        let ttl = decision.ttl.map_or(usual, Duration::from_secs).min(LONGEST_TTL);
        let ttl = left.map_or(ttl, |left| ttl.min(left));
        if !ttl.is_zero() {
            let about = (user.into(), decision.by_address.then_some(address));
            shelf.put(about, verdict, now + ttl, self.limits.entries);
        }
    }
}

impl Shelf {
    fn get(&self, about: &About, now: Instant) -> Option<Arc<Verdict>> {
        self.entries.get(about).filter(|entry| now < entry.until).map(|entry| entry.verdict.clone())
    }

    fn put(&mut self, about: About, verdict: Arc<Verdict>, until: Instant, most: usize) {
        self.next += 1;
        self.entries.insert(about.clone(), Entry { verdict, until, number: self.next });
        self.order.push_back((about, self.next));
        // The oldest goes first. What stands in the order and was replaced is only struck off, and bounds the order.
        while self.entries.len() > most || self.order.len() > 2 * most {
            let Some((oldest, number)) = self.order.pop_front() else { break };
            if self.entries.get(&oldest).is_some_and(|entry| entry.number == number) {
                self.entries.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::Grant;

    const LIMITS: CacheLimits =
        CacheLimits { entries: 2, grants: Duration::from_secs(60), refusals: Duration::from_secs(5) };

    fn decision(is_grant: bool, ttl: Option<u64>, by_address: bool, expires: Option<u64>) -> Decision {
        let verdict = match is_grant {
            true => Verdict::Granted(Grant::default()),
            false => Verdict::Refused { reason: "no".into() },
        };
        Decision { verdict, ttl, by_address, expires }
    }

    struct Rig {
        cache: Cache,
        start: Instant,
    }

    impl Rig {
        fn new() -> Self {
            Self { cache: Cache::new(LIMITS), start: Instant::now() }
        }

        fn put(&mut self, user: &str, decision: &Decision) {
            let verdict = Arc::new(decision.verdict.clone());
            self.cache.put(user, ip(1), decision, verdict, (self.start, 1000));
        }

        fn knows(&self, user: &str, address: u8, after_s: u64) -> bool {
            self.cache.get(user, ip(address), self.start + Duration::from_secs(after_s)).is_some()
        }
    }

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn answers_are_good_for_as_long_as_they_say_or_as_is_usual() {
        let cases = [
            ("a grant", decision(true, None, false, None), 60),
            ("a refusal", decision(false, None, false, None), 5),
            ("a grant that says so", decision(true, Some(7), false, None), 7),
            ("one that says too much", decision(true, Some(u64::MAX), false, None), 86_400),
            ("one that ends before", decision(true, Some(100), false, Some(1010)), 10),
        ];
        for (what, decision, good) in cases {
            let mut rig = Rig::new();
            rig.put("dave", &decision);
            assert!(rig.knows("dave", 9, good - 1) && !rig.knows("dave", 9, good), "{what}");
        }
        let mut rig = Rig::new();
        rig.put("dave", &decision(true, Some(0), false, None));
        rig.put("dave", &decision(true, None, false, Some(999)));
        assert!(!rig.knows("dave", 1, 0), "what is not to be remembered is not");
    }

    #[test]
    fn an_answer_for_one_address_is_not_used_for_another() {
        let mut rig = Rig::new();
        rig.put("dave", &decision(true, None, true, None));
        assert!(rig.knows("dave", 1, 0) && !rig.knows("dave", 2, 0) && !rig.knows("bob", 1, 0));
    }

    #[test]
    fn the_oldest_make_room_and_refusals_take_none_from_grants() {
        let mut rig = Rig::new();
        rig.put("dave", &decision(true, None, false, None));
        for nobody in 0..100 {
            rig.put(&format!("nobody-{nobody}"), &decision(false, None, false, None));
        }
        assert!(rig.knows("dave", 1, 0));
        rig.put("bob", &decision(true, None, false, None));
        // One that is renewed is as young as the last.
        rig.put("dave", &decision(true, None, false, None));
        rig.put("carol", &decision(true, None, false, None));
        assert_eq!(["dave", "bob", "carol"].map(|user| rig.knows(user, 1, 0)), [true, false, true]);
        for _ in 0..100 {
            rig.put("dave", &decision(true, None, false, None));
        }
        assert!(rig.cache.grants.order.len() <= 4 && rig.knows("dave", 1, 0));
    }
}
