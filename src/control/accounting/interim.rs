//! Records of allocations that go on: when they are due, and those that were made and are not handed over yet.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::identity::RecordId;
use super::record::Record;

/// Everything about them that lasts.
#[derive(Debug, Default)]
pub(super) struct Interims {
    every: Option<Duration>,
    due: Option<Instant>,
    /// All allocations have one at the same moment, which is more than a web server can take at once.
    made: VecDeque<Arc<Record>>,
    /// When the next portion of them may be handed over, however much else there is to do.
    next: Option<Instant>,
    /// Allocations among them that have ended since.
    gone: HashSet<RecordId>,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Make records of all there is.
    Make,
    /// Hand over some of those that were made.
    HandOver,
}

/// Handed over at once.
const PORTION: usize = 256;
/// Between two portions: five thousand a second.
const PACE: Duration = Duration::from_millis(50);

impl Interims {
    /// Makes them this often from now on.
    pub(super) fn set(&mut self, every: Option<Duration>) {
        if self.every != every {
            self.every = every;
            self.due = every.map(|every| Instant::now() + every);
        }
    }

    /// Waits until something is to be done. May be given up at any time.
    pub(super) async fn wait(&self) -> Step {
        if let Some(next) = self.next {
            sleep_until(next).await;
            return Step::HandOver;
        }
        match self.due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
        Step::Make
    }

    /// Takes what was made. The next is due when it would have been without the time it took, unless that has passed.
    pub(super) fn put(&mut self, records: Vec<Arc<Record>>) {
        self.made.extend(records);
        let now = Instant::now();
        self.next = self.next.or((!self.made.is_empty()).then_some(now + PACE));
        self.due = self.every.zip(self.due).map(|(every, due)| (due + every).max(now));
    }

    /// An allocation has ended: what was made of it before must not stand behind that.
    pub(super) fn forget(&mut self, id: RecordId) {
        if !self.made.is_empty() {
            self.gone.insert(id);
        }
    }

    /// The next portion.
    pub(super) fn portion(&mut self) -> Vec<Arc<Record>> {
        let count = self.made.len().min(PORTION);
        let gone = std::mem::take(&mut self.gone);
        let portion = self.made.drain(..count).filter(|record| !gone.contains(&record.id)).collect();
        self.next = None;
        if !self.made.is_empty() {
            self.gone = gone;
            self.next = Some(Instant::now() + PACE);
        }
        portion
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{Moment, State};
    use super::*;
    use std::time::SystemTime;

    fn record() -> Arc<Record> {
        Arc::new(Record {
            state: State::start(Duration::ZERO),
            id: RecordId([0; 16]),
            session: "0-0-0".parse().unwrap(),
            at: Moment(SystemTime::now()),
            server: "here".into(),
            realm: "example.org".into(),
            user_id: "alice".into(),
            user: "alice".into(),
            client: ([192, 0, 2, 1], 1).into(),
            transport: "udp",
            listener: None,
            relay: Vec::new(),
        })
    }

    /// On a busy server there is always something else, for which the waiting is given up.
    #[test]
    fn a_portion_is_handed_over_however_often_the_waiting_is_given_up() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut interims = Interims::default();
            interims.set(Some(Duration::ZERO));
            interims.put(vec![record(), record()]);
            let mut tries = 0..1000;
            while tokio::time::timeout(PACE / 10, interims.wait()).await.is_err() {
                assert!(tries.next().is_some(), "never");
            }
            assert_eq!(interims.wait().await, Step::HandOver);
            assert_eq!(interims.portion().len(), 2);
            assert_eq!(interims.wait().await, Step::Make);
        });
    }

    #[test]
    fn they_are_due_at_a_steady_pace_and_never_when_off() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut interims = Interims::default();
            let soon = Duration::from_millis(10);
            assert!(tokio::time::timeout(soon, interims.wait()).await.is_err(), "off");
            interims.set(Some(soon));
            let first = interims.due.unwrap();
            assert_eq!(interims.wait().await, Step::Make);
            interims.put(Vec::new());
            assert!(interims.due.unwrap() >= first + soon);
            interims.set(Some(soon));
            assert!(
                interims.due.unwrap() >= first + soon,
                "a reload that changes nothing does not begin anew"
            );
            interims.set(None);
            assert!(tokio::time::timeout(2 * soon, interims.wait()).await.is_err(), "off again");
        });
    }
}
