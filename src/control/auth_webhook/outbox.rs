//! Verdicts on their way to the workers. One whose queue is full gets them when it has room again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::net::worker::Busy;
use crate::turn::{QueryId, Verdict};

/// What a worker is to be told.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) worker: u16,
    pub(super) query: QueryId,
    pub(super) verdict: Arc<Verdict>,
}

/// Those that have not been handed over, with when they came.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<(Instant, Delivery)>,
    /// Given up since the last delivery.
    lost: u64,
}

/// As many as four workers can wait for.
const MOST: usize = 4096;
/// By then every client has given up.
const TOO_LATE: Duration = Duration::from_secs(60);

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes one more. The oldest makes room for it: its client has waited for the longest, and may be gone.
    pub(super) fn put(&mut self, now: Instant, delivery: Delivery) {
        if self.waiting.len() >= MOST {
            self.waiting.pop_front();
            self.lost += 1;
        }
        self.waiting.push_back((now, delivery));
    }

    /// Hands over what there is room for, and says how many it had to give up.
    pub(super) fn deliver(
        &mut self,
        now: Instant,
        mut hand_over: impl FnMut(&Delivery) -> Result<(), Busy>,
    ) -> u64 {
        let mut lost = std::mem::take(&mut self.lost);
        let mut full: Vec<u16> = Vec::new();
        self.waiting.retain(|(since, delivery)| {
            if now.saturating_duration_since(*since) >= TOO_LATE {
                lost += 1;
                return false;
            }
            if full.contains(&delivery.worker) {
                return true;
            }
            match hand_over(delivery) {
                Ok(()) => false,
                Err(Busy { ended: true }) => {
                    lost += 1;
                    false
                }
                Err(Busy { ended: false }) => {
                    full.push(delivery.worker);
                    true
                }
            }
        });
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(worker: u16, index: u32) -> Delivery {
        let query = QueryId { index, generation: 1 };
        Delivery { worker, query, verdict: Arc::new(Verdict::Refused { reason: "no".into() }) }
    }

    #[test]
    fn what_a_full_worker_does_not_take_it_gets_later_and_others_at_once() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        for (worker, index) in [(0, 1), (0, 2), (1, 3), (2, 4)] {
            outbox.put(now, delivery(worker, index));
        }
        let (mut tried, mut taken) = (0, Vec::new());
        let lost = outbox.deliver(now, |delivery| {
            tried += 1;
            match delivery.worker {
                0 => Err(Busy { ended: false }),
                1 => Err(Busy { ended: true }),
                _ => {
                    taken.push(delivery.query.index);
                    Ok(())
                }
            }
        });
        assert_eq!((lost, tried, taken.as_slice(), outbox.is_empty()), (1, 3, &[4][..], false));
        let lost = outbox.deliver(now, |delivery| {
            taken.push(delivery.query.index);
            Ok(())
        });
        assert_eq!((lost, taken, outbox.is_empty()), (0, vec![4, 1, 2], true));
    }

    #[test]
    fn what_is_too_late_or_too_much_is_given_up_and_counted() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        let full = |_: &Delivery| Err(Busy { ended: false });
        for index in (0..).take(MOST + 2) {
            outbox.put(now, delivery(0, index));
        }
        assert_eq!(outbox.deliver(now, full), 2);
        assert_eq!(outbox.deliver(now + TOO_LATE - Duration::from_millis(1), full), 0);
        assert_eq!(outbox.deliver(now + TOO_LATE, full), MOST as u64);
        assert!(outbox.is_empty());
    }
}
