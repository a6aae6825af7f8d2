//! Tells the service manager that the server is alive, as long as it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Notifier;
use crate::net::worker::WorkerLine;

/// Signs of life for a manager that asks for them. One is given only when every worker has answered a question since the
/// last one, and by the main loop itself, so there is none when any of them is stuck.
#[derive(Debug)]
pub(super) struct Watchdog {
    /// Between two looks at the workers.
    every: Duration,
    next: Instant,
    /// The number of the question that the workers were asked last.
    question: u64,
    workers: Vec<Pulse>,
}

/// One worker, as far as it has answered.
#[derive(Debug, Default)]
struct Pulse {
    /// The number of the last question it has answered.
    answered: Arc<AtomicU64>,
    /// It is known to be stuck.
    is_stuck: bool,
}

impl Watchdog {
    /// What the manager has asked of this process, if anything.
    pub(super) fn of_this_process(now: Instant) -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let limit = asked_for(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"), std::process::id())?;
        Some(Self::new(limit, now))
    }

    /// For a manager that gives up when it hears nothing for `limit`. With four looks in that time a sign of life that
    /// has to wait for a slow worker once still comes before half of it is over.
    fn new(limit: Duration, now: Instant) -> Self {
        let every = limit / 4;
        Self { every, next: now, question: 0, workers: Vec::new() }
    }

    /// How often to call [`Self::look`] at least.
    pub(super) const fn every(&self) -> Duration {
        self.every
    }

    /// Looks at the workers if it is time: gives a sign of life if all have answered, and asks them again.
    pub(super) fn look<C>(&mut self, now: Instant, workers: &[WorkerLine<C>], notifier: &Notifier) {
        if now < self.next {
            return;
        }
        self.next = now + self.every;
        self.workers.resize_with(workers.len(), Pulse::default);
        let mut all_turn = true;
        for (number, pulse) in self.workers.iter_mut().enumerate() {
            all_turn &= pulse.note(number, self.question);
        }
        if all_turn {
            notifier.alive();
        }
        self.question += 1;
        for (worker, pulse) in workers.iter().zip(&self.workers) {
            let (question, answered) = (self.question, pulse.answered.clone());
            // One that takes no question gives no answer either, and that is what counts.
            let _ = worker.with_core(move |_, _, _| answered.store(question, Ordering::Relaxed));
        }
    }
}

impl Pulse {
    /// Whether the worker has answered the question, and a log line when that has changed.
    fn note(&mut self, number: usize, question: u64) -> bool {
        let turns = self.answered.load(Ordering::Relaxed) == question;
        match (turns, self.is_stuck) {
            (false, false) => {
                tracing::error!(
                    worker = number,
                    "worker does not answer; the service manager gets no sign of life until it does"
                );
            }
            (true, true) => tracing::warn!(worker = number, "worker answers again"),
            (true, false) | (false, true) => {}
        }
        self.is_stuck = !turns;
        turns
    }
}

/// How long the manager waits for a sign of life of the process `own`.
fn asked_for(limit: Option<String>, pid: Option<String>, own: u32) -> Option<Duration> {
    // Without a number it is for whoever is started.
    let is_for_us = pid.is_none_or(|pid| pid.parse::<u32>().is_ok_and(|pid| pid == own));
    let limit = limit?.parse().ok().filter(|&limit| is_for_us && limit > 0)?;
    Some(Duration::from_micros(limit))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::super::notifier::tests::Manager;
    use super::*;
    use crate::net::ports::RelayPorts;
    use crate::net::stream::{CapLimits, Caps, StreamOptions};
    use crate::net::sys::udp::BufferSizes;
    use crate::net::worker::{Clock, Core, Setup, Siblings, WorkerHandle, start};
    use crate::turn::{ConnectionId, Direction, FiveTuple, Input, Millis, Now, Output, Passage};
    use std::sync::mpsc::{self, Sender};

    /// Has nothing to do.
    struct Idle;

    impl Core for Idle {
        fn handle<'a>(&mut self, _: Now, _: Input<'a>, _: &mut impl FnMut(Output<'a, '_>)) {}

        fn next_deadline(&self) -> Option<Millis> {
            None
        }

        fn expire(&mut self, _: Now, _: &mut impl FnMut(Output<'static, '_>)) {}

        fn pass(&mut self, _: Now, _: ConnectionId, _: Direction, _: usize) -> Passage {
            Passage::Never
        }

        fn holds(&self, _: FiveTuple) -> bool {
            false
        }
    }

    fn workers(count: usize) -> Vec<WorkerHandle<Idle>> {
        let ports = Arc::new(RelayPorts::new(&[], 49_152..=49_153, [1; 32]));
        let started = Siblings::family(count).into_iter().map(|siblings| {
            let setup = Setup {
                listeners: Vec::new(),
                stream_listeners: Vec::new(),
                streams: StreamOptions::default(),
                caps: Arc::new(Caps::new(CapLimits::NONE, 0)),
                siblings,
                ports: ports.clone(),
                relay_buffers: BufferSizes::default(),
                clock: Clock::new(),
                observer: Box::new(|_| ()),
            };
            start("test", setup, Idle).unwrap()
        });
        started.collect()
    }

    /// Waits until a worker has done what it was asked to before.
    fn settle(worker: &WorkerLine<Idle>) {
        let (done, when_done) = mpsc::channel();
        worker.with_core(move |_, _, _| done.send(()).unwrap()).unwrap();
        when_done.recv_timeout(Duration::from_secs(30)).unwrap();
    }

    /// A worker is stuck until the other end is dropped.
    fn block(worker: &WorkerLine<Idle>) -> Sender<()> {
        let (release, when_released) = mpsc::channel();
        worker
            .with_core(move |_, _, _| {
                let _ = when_released.recv();
            })
            .unwrap();
        release
    }

    #[test]
    fn signs_of_life_stop_while_a_worker_is_stuck_and_come_again_when_it_turns() {
        let manager = Manager::new("watchdog");
        let crew = workers(2);
        let lines: Vec<_> = crew.iter().map(|worker| worker.line().clone()).collect();
        let mut now = Instant::now();
        let mut dog = Watchdog::new(Duration::from_secs(4), now);
        let mut look = |after: Duration| {
            now += after;
            dog.look(now, &lines, &manager.notifier);
            dog.workers.iter().map(|pulse| pulse.is_stuck).collect::<Vec<_>>()
        };
        let second = Duration::from_secs(1);

        for _ in 0..3 {
            assert_eq!(look(second), [false, false]);
            assert_eq!(manager.heard(), "WATCHDOG=1");
            lines.iter().for_each(settle);
        }
        look(second / 2);
        assert!(manager.heard_nothing_more(), "it is not time yet");

        let release = block(&lines[1]);
        // The last question was answered before.
        look(second);
        assert_eq!(manager.heard(), "WATCHDOG=1");
        for _ in 0..3 {
            settle(&lines[0]);
            assert_eq!(look(second), [false, true]);
            assert!(manager.heard_nothing_more(), "a worker is stuck");
        }

        drop(release);
        lines.iter().for_each(settle);
        assert_eq!(look(second), [false, false]);
        assert_eq!(manager.heard(), "WATCHDOG=1");

        let [first, second_worker] = crew.try_into().ok().unwrap();
        second_worker.stop().unwrap();
        settle(&lines[0]);
        assert_eq!(look(second), [false, false], "it was asked before it ended");
        manager.heard();
        settle(&lines[0]);
        assert_eq!(look(second), [false, true], "one that has ended does not answer");
        assert!(manager.heard_nothing_more());
        first.stop().unwrap();
    }

    #[test]
    fn the_watchdog_is_for_the_process_that_is_named() {
        let second = Some(Duration::from_secs(1));
        let cases = [
            (Some("1000000"), Some("42"), second),
            (Some("1000000"), None, second),
            (Some("1000000"), Some("43"), None),
            (Some("0"), None, None),
            (Some("soon"), None, None),
            (None, Some("42"), None),
        ];
        for (limit, pid, expected) in cases {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            assert_eq!(asked_for(owned(limit), owned(pid), 42), expected, "{limit:?} {pid:?}");
        }
    }
}
