//! The service as its manager sees it: up, reloading, alive, on its way out.

use std::time::{Duration, Instant};

use super::{Notifier, watchdog::Watchdog};
use crate::control::advert::{Advert, Listening};
use crate::net::worker::WorkerLine;

/// All that the service manager is told, at the right time.
#[derive(Debug)]
pub(in super::super) struct Service {
    notifier: Notifier,
    watchdog: Option<Watchdog>,
    /// What it does, and where clients are heard, for `systemctl status`.
    doing: &'static str,
    /// When the manager was last asked for patience with the end.
    extended: Option<Instant>,
    listeners: String,
    /// What the status says, and since when.
    told: Option<(u32, Instant)>,
}

/// A status that changes more often than this is of no use to people.
const STATUS_PATIENCE: Duration = Duration::from_secs(10);

/// How the server drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Leaving {
    /// The manager wants it to end.
    ForGood,
    /// An operator wants it to, and may think better of it.
    Perhaps,
}

/// How much patience the manager is asked for at a time, while the server drains for good.
const PATIENCE: Duration = Duration::from_secs(60);

impl Service {
    pub(in super::super) fn of_this_process() -> Self {
        let (notifier, watchdog) = (Notifier::of_this_process(), Watchdog::of_this_process(Instant::now()));
        Self { notifier, watchdog, doing: "serving", extended: None, listeners: String::new(), told: None }
    }

    /// Everything is open and served.
    pub(in super::super) fn ready(&mut self, advert: &Advert) {
        let listeners: Vec<_> = advert.listeners.iter().map(Listening::to_string).collect();
        self.listeners = listeners.join(",");
        self.told = Some((0, Instant::now()));
        self.notifier.ready(&self.status(0));
    }

    pub(in super::super) fn reloading(&self) {
        self.notifier.reloading("reloading");
    }

    /// The reload is over, whatever came of it: the server goes on.
    pub(in super::super) fn reloaded(&mut self, allocations: u32) {
        self.told = Some((allocations, Instant::now()));
        self.notifier.ready(&self.status(allocations));
    }

    /// The server drains. If it stops for good then, the manager is asked for patience as long as that takes.
    pub(in super::super) fn leaving(&mut self, leaving: Leaving, allocations: u32) {
        self.doing = "draining";
        match leaving {
            Leaving::ForGood => {
                self.notifier.stopping("draining");
                self.notifier.extend(PATIENCE);
                self.extended = Some(Instant::now());
            }
            // A manager that is told of an end cannot be told that there is none.
            Leaving::Perhaps => self.notifier.status(&self.status(allocations)),
        }
    }

    /// It serves on after all.
    pub(in super::super) fn staying(&mut self, allocations: u32) {
        self.doing = "serving";
        self.notifier.status(&self.status(allocations));
    }

    pub(in super::super) fn stopping(&self) {
        self.notifier.stopping("stopping");
    }

    /// How often to call [`Self::turn`] at least.
    pub(in super::super) fn every(&self, otherwise: Duration) -> Duration {
        self.watchdog.as_ref().map_or(otherwise, |watchdog| watchdog.every().min(otherwise))
    }

    /// The main loop turns: what has to be told now?
    pub(in super::super) fn turn<C>(&mut self, now: Instant, workers: &[WorkerLine<C>], allocations: u32) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.look(now, workers, &self.notifier);
        }
        if self.extended.is_some_and(|extended| now >= extended + PATIENCE / 4) {
            self.notifier.extend(PATIENCE);
            self.extended = Some(now);
        }
        let is_news = |(told, at): (u32, Instant)| told != allocations && now >= at + STATUS_PATIENCE;
        if self.told.is_some_and(is_news) {
            self.told = Some((allocations, now));
            self.notifier.status(&self.status(allocations));
        }
    }

    fn status(&self, allocations: u32) -> String {
        let plural = if allocations == 1 { "" } else { "s" };
        format!("{} {allocations} allocation{plural} on {}", self.doing, self.listeners)
    }
}
