//! Why a certain user cannot connect: the last decisions, kept for whoever asks.

mod decision;
mod words;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) use decision::kind;
pub use decision::{Decision, What};

/// The last decisions of the whole server, the oldest first. Written by the thread that writes the log, read by whoever
/// explains; bounded, so the busiest hour costs no more memory than the quietest.
#[derive(Debug, Default)]
pub struct Decisions(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    all: VecDeque<Decision>,
    /// How many of them are about somebody who has proved nothing, by source.
    of_strangers: HashMap<IpAddr, usize>,
}

/// Whose decisions are wanted; all of what is given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// A user name as the client sends it, or the part of it that stays.
    pub user: Option<String>,
    /// The client's address.
    pub ip: Option<IpAddr>,
}

/// Decisions that are kept.
const KEPT: usize = 4096;
/// How far back a decision is looked for that was the same, so that a client that tries again and again does not push
/// out all others.
const NEAR: usize = 256;
/// Decisions that are kept of one source that gives name after name and proves none.
const OF_ONE_STRANGER: usize = 128;

impl Decisions {
    /// Takes in a decision.
    pub(super) fn note(&self, decision: Decision) {
        self.lock().note(decision);
    }

    /// The last `limit` decisions that fit, the newest first.
    pub fn about(&self, question: &Question, limit: usize) -> Vec<Decision> {
        let mut found: Vec<_> =
            self.lock().all.iter().rev().filter(|decision| decision.fits(question)).cloned().collect();
        // One that was repeated stands where it was first. Within a second, what began later is newer.
        found.sort_by_key(|decision| std::cmp::Reverse(decision.last));
        found.truncate(limit);
        found
    }

    /// A decision is whole once it is in the list, so a thread that panicked while holding it has broken nothing.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn note(&mut self, decision: Decision) {
        if let Some(same) = self.all.iter_mut().rev().take(NEAR).find(|known| known.is_same(&decision)) {
            let (first, times) = (same.first, same.times + 1);
            *same = Decision { first, times, ..decision };
            return;
        }
        if let Some(source) = decision.stranger() {
            let count = self.of_strangers.entry(source).or_default();
            if *count >= OF_ONE_STRANGER {
                // Its latest makes room, so that the first of them, and all others, stay.
                let latest = self.all.iter_mut().rev().find(|known| known.stranger() == Some(source));
                if let Some(latest) = latest {
                    *latest = decision;
                }
                return;
            }
            *count += 1;
        }
        if self.all.len() >= KEPT {
            self.drop_oldest();
        }
        self.all.push_back(decision);
    }

    fn drop_oldest(&mut self) {
        let Some(source) = self.all.pop_front().and_then(|oldest| oldest.stranger()) else { return };
        if let Entry::Occupied(mut count) = self.of_strangers.entry(source) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::{Denial, Refusal, Tried};
    use crate::wire::Method;
    use std::net::{Ipv4Addr, SocketAddr};

    fn refused(client: &str, user: &str, denial: Denial, at: u64) -> Decision {
        let what = What::Refused { method: Method::ALLOCATE, denial, words: None, peer: None };
        Decision::new(client.parse().unwrap(), "udp", Some((user.into(), user.into())), what, at)
    }

    #[test]
    fn a_question_finds_the_newest_first_by_user_and_by_address() {
        let decisions = Decisions::default();
        let wrong = Denial::WrongPassword(Tried::default());
        for (at, (client, user)) in
            (1..).zip([("192.0.2.1:1", "alice"), ("192.0.2.2:1", "bob"), ("192.0.2.1:2", "bob")])
        {
            decisions.note(refused(client, user, wrong, at));
        }
        let about = |user: Option<&str>, ip: Option<&str>| {
            let question = Question { user: user.map(Into::into), ip: ip.map(|ip| ip.parse().unwrap()) };
            decisions.about(&question, 2).iter().map(|decision| decision.last).collect::<Vec<_>>()
        };
        assert_eq!(about(Some("bob"), None), [3, 2]);
        assert_eq!(about(None, Some("192.0.2.1")), [3, 1]);
        assert_eq!(about(Some("bob"), Some("192.0.2.2")), [2]);
        assert_eq!(about(None, None), [3, 2], "no more than asked for");
        assert_eq!(about(Some("carol"), None), [0; 0]);
    }

    #[test]
    fn who_tries_again_and_again_takes_one_place() {
        let decisions = Decisions::default();
        for at in 1..=1000 {
            decisions.note(refused("192.0.2.1:1", "alice", Denial::CredentialExpired { ago_s: at }, at));
        }
        decisions.note(refused("192.0.2.1:1", "alice", Denial::Request(Refusal::StaleNonce), 1001));
        let [stale, expired] = &decisions.about(&Question::default(), 10)[..] else { panic!() };
        assert_eq!((stale.times, expired.times, expired.first, expired.last), (1, 1000, 1, 1000));
        assert!(expired.to_string().contains("1000 s ago"), "the last one counts: {expired}");
    }

    #[test]
    fn a_stranger_with_many_names_pushes_out_nobody() {
        let decisions = Decisions::default();
        let wrong = Denial::WrongPassword(Tried::default());
        decisions.note(refused("192.0.2.1:1", "alice", wrong, 1));
        for at in 2..2 * KEPT as u64 {
            decisions.note(refused("192.0.2.66:1", &format!("made-up-{at}"), wrong, at));
        }
        let about =
            |user: &str| decisions.about(&Question { user: Some(user.to_owned()), ip: None }, 10).len();
        assert_eq!((about("alice"), about("made-up-2"), about("made-up-8191")), (1, 1, 1));
        assert_eq!(decisions.lock().all.len(), 1 + OF_ONE_STRANGER);
        // What is pushed out by others in the end is counted no longer.
        for source in 0..u32::try_from(KEPT).unwrap() {
            let client = SocketAddr::from((Ipv4Addr::from_bits(0x0A00_0000 + source), 1));
            decisions.note(refused(&client.to_string(), "bob", wrong, 10_000));
        }
        assert_eq!(about("made-up-2"), 0);
        assert!(!decisions.lock().of_strangers.contains_key(&"192.0.2.66".parse().unwrap()));
    }

    #[test]
    fn memory_is_bounded() {
        let decisions = Decisions::default();
        for at in 0..2 * KEPT as u64 {
            decisions.note(refused("192.0.2.1:1", &at.to_string(), Denial::NoPort, at));
        }
        assert_eq!(decisions.about(&Question::default(), usize::MAX).len(), KEPT);
    }
}
