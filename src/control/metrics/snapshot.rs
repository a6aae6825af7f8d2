//! What the workers have counted, as it was at one moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::process;
use crate::control::plane::Plane;
use crate::net::counters::Counters as NetCounters;
use crate::turn::Counters;

/// The figures of one scrape.
pub(super) struct Snapshot {
    /// In the order of their numbers.
    pub(super) workers: Vec<WorkerView>,
    /// The CPU time of the workers' threads, by number.
    pub(super) cpu: Vec<(usize, f64)>,
    /// Connections of clients.
    pub(super) connections: u32,
}

/// What is known of a worker.
#[derive(Default)]
pub(super) struct WorkerView {
    pub(super) net: NetCounters,
    pub(super) relay: Counters,
    pub(super) is_unresponsive: bool,
}

/// One of the workers' counters, and what it is called in a label.
pub(super) type NetFigure = (&'static str, fn(&NetCounters) -> u64);

/// What each worker has said last, to be told again when it says nothing: a counter must never go back.
pub(super) struct Memory {
    answers: Mutex<Box<[Answer]>>,
    /// The number of the next answer.
    next: Arc<AtomicU64>,
}

#[derive(Clone, Copy, Default)]
struct Answer {
    /// Grows with each answer of a worker.
    number: u64,
    counters: Counters,
}

impl Snapshot {
    /// Asks all workers.
    pub(super) async fn take(plane: &Plane, memory: &Memory) -> Self {
        let next = memory.next.clone();
        let answers = plane
            .ask_all(move |relay, _, _| Answer {
                number: next.fetch_add(1, Ordering::Relaxed),
                counters: *relay.counters(),
            })
            .await
            .into_iter()
            .map(Result::ok);
        let relays = memory.renew(answers);
        let views = plane.workers().iter().zip(relays).map(|(line, (relay, is_unresponsive))| WorkerView {
            net: line.counters(),
            relay,
            is_unresponsive,
        });
        Self { workers: views.collect(), cpu: process::worker_cpu(), connections: plane.connections() }
    }

    /// The sum of a counter of the sockets over all workers.
    pub(super) fn net(&self, number: impl Fn(&NetCounters) -> u64) -> u64 {
        self.workers.iter().map(|worker| number(&worker.net)).sum()
    }

    /// The sum of a counter of the relays over all workers.
    pub(super) fn relay(&self, number: impl Fn(&Counters) -> u64) -> u64 {
        self.workers.iter().map(|worker| number(&worker.relay)).sum()
    }
}

impl Memory {
    pub(super) fn new(workers: usize) -> Self {
        let answers = vec![Answer::default(); workers].into();
        Self { answers: Mutex::new(answers), next: Arc::new(AtomicU64::new(1)) }
    }

    /// Keeps what is newer than what was known, and gives the newest of each worker and whether it is silent. Two
    /// scrapes at once may come here in another order than the worker answered them.
    fn renew(&self, answers: impl Iterator<Item = Option<Answer>>) -> Vec<(Counters, bool)> {
        let mut known = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = known.iter_mut().zip(answers).map(|(known, answer)| {
            let is_silent = answer.is_none();
            if let Some(answer) = answer.filter(|answer| answer.number > known.number) {
                *known = answer;
            }
            (known.counters, is_silent)
        });
        newest.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(number: u64, suppressed: u64) -> Option<Answer> {
        Some(Answer { number, counters: Counters { suppressed, ..Counters::default() } })
    }

    #[test]
    fn a_silent_worker_keeps_its_last_numbers_and_an_older_answer_changes_nothing() {
        let memory = Memory::new(2);
        let renew = |answers: [Option<Answer>; 2]| {
            let newest = memory.renew(answers.into_iter());
            newest.iter().map(|(counters, is_silent)| (counters.suppressed, *is_silent)).collect::<Vec<_>>()
        };
        assert_eq!(renew([None, answer(5, 7)]), [(0, true), (7, false)]);
        assert_eq!(renew([answer(6, 1), None]), [(1, false), (7, true)]);
        assert_eq!(renew([answer(4, 0), answer(9, 8)]), [(1, false), (8, false)]);
    }
}
