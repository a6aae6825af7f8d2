//! What the workers have counted, as it was at one moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::process;
use crate::control::plane::ask_each;
use crate::net::counters::Counters as NetCounters;
use crate::net::worker::WorkerLine;
use crate::turn::{Counters, Relay};

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
    /// Asks these workers, between which there are so many connections of clients.
    pub(super) async fn take(workers: &[WorkerLine<Relay>], connections: u32, memory: &Memory) -> Self {
        let next = memory.next.clone();
        let answers = ask_each(workers, move |relay, _, _| Answer {
            number: next.fetch_add(1, Ordering::Relaxed),
            counters: *relay.counters(),
        });
        let relays = memory.renew(answers.await.into_iter().map(Result::ok));
        let views = workers.iter().zip(relays).map(|(line, (relay, is_unresponsive))| WorkerView {
            net: line.counters(),
            relay,
            is_unresponsive,
        });
        Self { workers: views.collect(), cpu: process::worker_cpu(), connections }
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
    use crate::auth::authenticator::{Authenticator, Credentials};
    use crate::net::ports::RelayPorts;
    use crate::net::stream::{CapLimits, Caps, StreamOptions};
    use crate::net::sys::udp::BufferSizes;
    use crate::net::worker::{Clock, Setup, Siblings, WorkerHandle, start};
    use crate::turn::{
        DropReason, FiveTuple, Input, ListenerId, Now, Output, Parts, Quota, RelayNumber, Transport,
    };

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

    fn workers(count: u16) -> Vec<WorkerHandle<Relay>> {
        let authenticator = Arc::new(Authenticator::new(Credentials::default()));
        let quota = Arc::new(Quota::new(1));
        let ports = Arc::new(RelayPorts::new(&[], 49_152..=49_153, [1; 32]));
        let started = (0..).zip(Siblings::family(count.into())).map(|(own, siblings)| {
            let relay = Relay::new(Parts {
                settings: Arc::default(),
                authenticator: authenticator.clone(),
                quota: quota.clone(),
                nonce_key: [1; 32],
                seed: 1,
                number: RelayNumber { own, count },
            });
            let setup = Setup {
                listeners: Vec::new(),
                stream_listeners: Vec::new(),
                streams: StreamOptions::default(),
                caps: Arc::new(Caps::new(CapLimits::NONE, 1)),
                siblings,
                ports: ports.clone(),
                relay_buffers: BufferSizes::default(),
                clock: Clock::new(),
                observer: Box::new(|_| ()),
            };
            start("test", setup, relay).unwrap()
        });
        started.collect()
    }

    /// Counts a datagram that makes no sense.
    fn confuse(relay: &mut Relay, now: Now) {
        let client = FiveTuple::new("192.0.2.1:1".parse().unwrap(), ListenerId::new(Transport::Udp, 0));
        relay.handle(now, Input::FromClient { client, bytes: &[0xFF; 9] }, &mut |_| ());
    }

    #[test]
    fn a_blocked_worker_breaks_no_scrape() {
        let crew = workers(2);
        let lines: Vec<_> = crew.iter().map(|worker| worker.line().clone()).collect();
        let memory = Memory::new(lines.len());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let scrape = || {
            let snapshot = runtime.block_on(Snapshot::take(&lines, 0, &memory));
            let silent: Vec<_> = snapshot.workers.iter().map(|worker| worker.is_unresponsive).collect();
            (snapshot.relay(|it| it.dropped(DropReason::NotStun)), silent)
        };
        for line in &lines {
            line.with_core(|relay, now, _| confuse(relay, now)).unwrap();
        }
        assert_eq!(scrape(), (2, vec![false, false]));

        let (release, when_released) = std::sync::mpsc::channel::<()>();
        let block = move |relay: &mut Relay, now: Now, _: &mut dyn FnMut(Output<'static, '_>)| {
            confuse(relay, now);
            // An error says that the test has gone on.
            let _ = when_released.recv();
        };
        lines[1].with_core(block).unwrap();
        lines[0].with_core(|relay, now, _| confuse(relay, now)).unwrap();
        assert_eq!(scrape(), (3, vec![false, true]));
        drop(release);
        assert_eq!(scrape(), (4, vec![false, false]));
        crew.into_iter().for_each(|worker| worker.stop().unwrap());
    }
}
