//! Why a certain user cannot connect: the last decisions, kept for whoever asks.

mod decision;
mod words;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) use decision::kind;
pub use decision::{Decision, What};

/// The last decisions of the whole server, the oldest first. Written by the thread that writes the log, read by whoever
/// explains; bounded, so the busiest hour costs no more memory than the quietest.
#[derive(Debug, Default)]
pub struct Decisions(Mutex<VecDeque<Decision>>);

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

impl Decisions {
    /// Takes in a decision.
    pub(super) fn note(&self, decision: Decision) {
        let mut kept = self.lock();
        if let Some(same) = kept.iter_mut().rev().take(NEAR).find(|known| known.is_same(&decision)) {
            let (first, times) = (same.first, same.times + 1);
            *same = Decision { first, times, ..decision };
            return;
        }
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(decision);
    }

    /// The last `limit` decisions that fit, the newest first.
    pub fn about(&self, question: &Question, limit: usize) -> Vec<Decision> {
        let mut found: Vec<_> =
            self.lock().iter().rev().filter(|decision| decision.fits(question)).cloned().collect();
        // One that was repeated stands where it was first. Within a second, what began later is newer.
        found.sort_by_key(|decision| std::cmp::Reverse(decision.last));
        found.truncate(limit);
        found
    }

    /// A decision is whole once it is in the list, so a thread that panicked while holding it has broken nothing.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Decision>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::{Denial, Refusal, Tried};
    use crate::wire::Method;

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
    fn memory_is_bounded() {
        let decisions = Decisions::default();
        for at in 0..2 * KEPT as u64 {
            decisions.note(refused("192.0.2.1:1", &at.to_string(), Denial::NoPort, at));
        }
        assert_eq!(decisions.about(&Question::default(), usize::MAX).len(), KEPT);
    }
}
